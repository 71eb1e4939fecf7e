/**
 * An access token to a principal, by the rules of RFC 8725: algorithms pinned and asymmetric, issuer, audience, expiry
 * and subject required. The token's text is checked strictly before anything parses it and is never used as a key.
 */
import { errors, type JWTPayload, jwtVerify } from "jose";
import { type KeyMemory, keysOf } from "./jwks.ts";
import { type Principal, rolesOf } from "./principal.ts";

const ALGORITHMS = ["RS256", "ES256", "EdDSA"];
const MAX_TOKEN_BYTES = 8 * 1024;
const MAX_SUBJECT_LENGTH = 255;
const CLOCK_TOLERANCE_S = 30;
const MAX_AGE = "24h";
/** Three base64url parts without padding. */
const THREE_PARTS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

export type Issuer = { readonly issuer: string; readonly audience: string; readonly keys: KeyMemory };

export type TokenVerdict =
  | { readonly kind: "verified"; readonly principal: Principal }
  | { readonly kind: "refused"; readonly cause: unknown }
  /** The issuer's keys cannot be had, so the token can be neither accepted nor refused. */
  | { readonly kind: "undecided" };

/**
 * Verifies one token.
 *
 * @param tierOf maps the `tier` claim to a tier of the catalog
 */
export async function verifyToken(
  token: string,
  from: Issuer,
  tierOf: (claim: unknown) => string,
  fetcher: typeof fetch,
  nowMs: number,
): Promise<TokenVerdict> {
  if (token.length > MAX_TOKEN_BYTES || !THREE_PARTS.test(token))
    return { kind: "refused", cause: "not a compact JWT" };
  for (const wanted of ["known", "unknown-kid"] as const) {
    const keys = await keysOf(from.issuer, from.keys, wanted, fetcher, nowMs);
    if (keys === null) return { kind: "undecided" };
    try {
      const { payload } = await jwtVerify(token, keys, {
        algorithms: ALGORITHMS,
        issuer: from.issuer,
        audience: from.audience,
        requiredClaims: ["exp", "iat", "sub"],
        maxTokenAge: MAX_AGE,
        clockTolerance: CLOCK_TOLERANCE_S,
        currentDate: new Date(nowMs),
      });
      return principalOf(payload, tierOf);
    } catch (cause) {
      if (!(cause instanceof errors.JWKSNoMatchingKey) || wanted === "unknown-kid") return { kind: "refused", cause };
    }
  }
  return { kind: "refused", cause: "no matching key" };
}

function principalOf(payload: JWTPayload, tierOf: (claim: unknown) => string): TokenVerdict {
  const { iss, sub, groups, tier } = payload;
  if (typeof sub !== "string" || sub === "" || sub.length > MAX_SUBJECT_LENGTH || sub.includes("\0")) {
    return { kind: "refused", cause: "sub is not a usable name" };
  }
  const principal = {
    accountId: `${iss}|${sub}`,
    userId: sub,
    tier: tierOf(tier),
    roles: rolesOf(groups),
    keyId: null,
  };
  return { kind: "verified", principal };
}
