/**
 * A bearer token's text, taken apart strictly before any cryptography: three canonical base64url parts, a small header
 * of known members, and claims that are one object to every reader. Cheap to refuse, and nothing an attacker chose is
 * followed. Pure.
 */
import { base64url } from "jose";
import { z } from "zod";
import { duplicateMember } from "#src/strict-json.ts";
import { keyId } from "./key-set.ts";

export const MAX_TOKEN_BYTES = 8 * 1024;
const MAX_HEADER_CHARACTERS = 1_400; // 1 KiB in base64url
const MAX_SUBJECT_LENGTH = 255;
/** The last second that a four-digit year can name; beyond it a date is a trick, not a time. */
const LAST_SECOND = 253_402_300_799;
const THREE_PARTS = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;

const absent = z.never().optional();
const header = z.looseObject({
  alg: z.string(),
  kid: keyId,
  typ: z.string().optional(),
  // A key, or an address of one, that the token brings along proves nothing (RFC 8725, 3.10); extensions that must be
  // understood are not; a token within a token or compressed is no access token.
  jwk: absent,
  jku: absent,
  x5u: absent,
  x5c: absent,
  crit: absent,
  b64: absent,
  cty: absent,
  zip: absent,
});
const seconds = z.number().positive().max(LAST_SECOND);
const claims = z.looseObject({
  iss: z.string().min(1),
  sub: z
    .string()
    .min(1)
    .max(MAX_SUBJECT_LENGTH)
    .refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text)),
  exp: seconds,
  iat: seconds,
  nbf: seconds.optional(),
  jti: z.string().max(MAX_SUBJECT_LENGTH).optional(),
});

export type TokenText = {
  readonly text: string;
  readonly header: z.infer<typeof header>;
  /** Not verified: good for choosing the issuer whose keys decide, and for nothing else. */
  readonly claims: z.infer<typeof claims>;
};

/** The token's parts, or null for anything that is not a well-formed access token. Never throws. */
export function readToken(text: string): TokenText | null {
  const parts = text.length <= MAX_TOKEN_BYTES ? THREE_PARTS.exec(text) : null;
  const [, headerText = "", claimsText = "", signature = ""] = parts ?? [];
  if (parts === null || headerText.length > MAX_HEADER_CHARACTERS || !isCanonical(signature)) return null;
  const head = header.safeParse(documentOf(headerText));
  const body = claims.safeParse(documentOf(claimsText));
  return head.success && body.success ? { text, header: head.data, claims: body.data } : null;
}

/** The last character of a base64url text may carry bits that decode to nothing: many texts, one meaning. */
function isCanonical(part: string): boolean {
  try {
    return base64url.encode(base64url.decode(part)) === part;
  } catch {
    return false;
  }
}

function documentOf(part: string): unknown {
  if (!isCanonical(part)) return undefined;
  try {
    const json = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(base64url.decode(part));
    const document: unknown = JSON.parse(json);
    return duplicateMember(json) === null ? document : undefined;
  } catch {
    return undefined;
  }
}
