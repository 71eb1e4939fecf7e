/**
 * The door: a request's credential to a principal, or a refusal. The same for HTTP, event streams and WebSockets, so it
 * takes a plain request and no framework's context. Every refusal reads the same from outside; why is for the log.
 */
import type { Catalog } from "#src/catalog/schema.ts";
import { Problem } from "#src/problem.ts";
import { isWellFormedKey, kvKeyOf, principalOfKey } from "./api-key.ts";
import { type Claims, type TokenWorld, verifyToken } from "./jwt.ts";
import { type KeyRecords, recordOf } from "./key-records.ts";
import { rolesOf, scopesOf, tenantOf, tierOf } from "./principal.ts";
import type { Identity } from "./proof.ts";

export type Door = {
  readonly tokens: TokenWorld;
  readonly catalog: Pick<Catalog, "roles" | "tiers">;
  readonly secret: string;
  readonly keyRecords: KeyRecords;
  /** Where API key records lie. */
  readonly kv: Pick<KVNamespace, "get">;
};

/** A header that holds a credential and nothing else, as Anthropic's clients send theirs. */
export type KeyHeader = "x-api-key";

/** RFC 9110, 11.6.2: the scheme is case-insensitive; one space, one token. */
const BEARER = /^bearer ([^\s,]+)$/i;
/** Sent twice, a header arrives as one with a comma in it. */
const BARE = /^[^\s,]+$/;
/** The issuer, or KV, is asked again by then. */
const RETRY_AFTER_S = 5;

/**
 * Who sends this request.
 *
 * @param keyHeader another header that may hold the credential, on routes whose clients send it there
 * @throws Problem `invalid_api_key`, or `unavailable` when nobody can tell
 */
export async function authenticate(request: Request, door: Door, keyHeader?: KeyHeader): Promise<Identity> {
  return identify(credentialOf(request, keyHeader), door);
}

/**
 * Whose an access token or an API key is, however it came.
 *
 * @throws Problem as `authenticate` does
 */
export function identify(token: string, door: Door): Promise<Identity> {
  return token.startsWith("cw_") ? fromApiKey(token, door) : fromToken(token, door);
}

/**
 * The one credential.
 *
 * @throws Problem `invalid_api_key` for none, for one that is malformed, and for two: whose word would count?
 */
function credentialOf({ headers }: Request, keyHeader: KeyHeader | undefined): string {
  const header = headers.get("authorization");
  const bare = keyHeader === undefined ? null : headers.get(keyHeader);
  if (header !== null && bare !== null) throw refusal("invalid_token", "two credentials");
  const token = bare !== null ? BARE.exec(bare)?.[0] : BEARER.exec(header ?? "")?.[1];
  if (token === undefined) throw refusal(header === null && bare === null ? null : "invalid_token", "no bearer token");
  return token;
}

async function fromToken(token: string, { tokens, catalog }: Door): Promise<Identity> {
  const verdict = await verifyToken(token, tokens);
  if (verdict.kind === "refused") throw refusal("invalid_token", verdict.cause);
  if (verdict.kind === "undecided") throw unproven();
  const { claims, issuer, kid } = verdict;
  const roles = rolesOf(claimAt(claims, issuer.claims.groups), catalog.roles);
  const principal = {
    accountId: `${claims.iss}|${claims.sub}`,
    userId: claims.sub,
    tenant: tenantOf(claimAt(claims, issuer.claims.tenant), claims.iss),
    tier: tierOf(claimAt(claims, issuer.claims.tier), catalog.tiers),
    roles,
    scopes: scopesOf(roles),
    keyId: null,
  };
  const untilS = Math.min(claims.exp, claims.iat + issuer.maxAge);
  return { principal, proof: { untilMs: untilS * 1000, signedBy: { issuer: claims.iss, kid } } };
}

async function fromApiKey(text: string, { secret, kv, keyRecords, catalog, tokens }: Door): Promise<Identity> {
  if (!(await isWellFormedKey(text))) throw refusal("invalid_token", "the key's checksum is wrong");
  const nowMs = tokens.now();
  const record = await recordOf(await kvKeyOf(secret, text), keyRecords, kv, nowMs).catch((cause: unknown) => {
    throw new Problem("unavailable", { retryAfterS: RETRY_AFTER_S, cause });
  });
  if (record === null) throw refusal("invalid_token", "no such key");
  const principal = principalOfKey(record, catalog.tiers, nowMs);
  if (principal === null) throw refusal("invalid_token", "the key has expired");
  return { principal, proof: { untilMs: record.expiresAtMs, signedBy: null } };
}

/** A claim by its name, or else by its path. */
function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  return path.split(".").reduce<unknown>((value, member) => {
    const isObject = typeof value === "object" && value !== null && Object.hasOwn(value, member);
    return isObject ? Reflect.get(value, member) : undefined;
  }, claims);
}

/**
 * A token that nobody can judge now, because its issuer's keys cannot be had: not accepted, and from outside like any
 * other refusal, but worth a retry, which SDKs take from `x-should-retry`. It tells nothing against who sent it.
 */
function unproven(): Problem {
  const { facts } = refusal("invalid_token", "the issuer's keys cannot be had");
  const headers = { ...facts.headers, "x-should-retry": "true" };
  return new Problem("invalid_api_key", { ...facts, headers, retryAfterS: RETRY_AFTER_S });
}

/**
 * The one refusal. RFC 6750, 3: no error code where no credential was sent.
 *
 * @param cause for the log
 */
export function refusal(error: "invalid_token" | null, cause: string): Problem {
  const challenge = error === null ? "" : `, error="${error}"`;
  return new Problem("invalid_api_key", {
    headers: { "www-authenticate": `Bearer realm="causeway"${challenge}` },
    cause,
  });
}
