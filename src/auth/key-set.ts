/**
 * An issuer's key set as it comes from the wire: which keys of it may be used. A key set is public, so anything in it
 * that must be secret, or that is too weak to trust, is left out. Pure but for the parsing of keys.
 */
import type { JSONWebKeySet, JWK } from "jose";
import { z } from "zod";

export const MAX_KEYS = 32;
/** NIST SP 800-131A: RSA below 2048 bits is disallowed. */
const MIN_RSA_BITS = 2_048;
/** An exponent below 65537 has a history of attacks (FIPS 186-5, A.1.1). */
const MIN_RSA_EXPONENT = 65_537n;

export const keyId = z.string().regex(/^[A-Za-z0-9._:-]{1,128}$/);

const jwk = z.looseObject({
  kty: z.enum(["RSA", "EC", "OKP"]),
  kid: keyId,
  use: z.literal("sig").optional(),
  key_ops: z.array(z.string()).optional(),
  n: z.string().optional(),
  e: z.string().optional(),
  crv: z.enum(["P-256", "P-384", "P-521", "Ed25519"]).optional(),
});
const document = z.looseObject({ keys: z.array(z.unknown()).max(MAX_KEYS) });

/** Members that only a private or a symmetric key has (RFC 7518, 6.2.2, 6.3.2, 6.4.1). */
const SECRET_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/**
 * The keys of a JWKS document that may verify a signature.
 *
 * @throws ZodError when it is no key set
 */
export function usableKeys(jwks: unknown): JSONWebKeySet["keys"] {
  const keys = document.parse(jwks).keys.flatMap((key) => {
    const parsed = jwk.safeParse(key);
    return parsed.success && isUsable(parsed.data) ? [parsed.data as JWK] : [];
  });
  // Which of two keys of one name is meant cannot be known, so neither is.
  return keys.filter(({ kid }) => keys.filter((other) => other.kid === kid).length === 1);
}

function isUsable(key: z.infer<typeof jwk>): boolean {
  if (SECRET_MEMBERS.some((member) => key[member] !== undefined)) return false;
  if (key.key_ops !== undefined && !key.key_ops.includes("verify")) return false;
  if (key.kty !== "RSA") return key.crv !== undefined;
  return bits(key.n) >= MIN_RSA_BITS && integer(key.e) >= MIN_RSA_EXPONENT;
}

function bits(base64url: string | undefined): number {
  return integer(base64url).toString(2).length;
}

function integer(base64url: string | undefined): bigint {
  // A text of 4n + 1 characters is no base64: decoding it would throw, and take the good keys beside it along.
  if (base64url === undefined || !/^[A-Za-z0-9_-]+$/.test(base64url) || base64url.length % 4 === 1) return 0n;
  const hex = Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (character) =>
    character.charCodeAt(0).toString(16).padStart(2, "0"),
  ).join("");
  return BigInt(`0x${hex || "0"}`);
}
