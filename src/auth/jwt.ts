/**
 * An access token to verified claims, by the rules of RFC 8725: algorithms pinned per issuer and asymmetric, the key
 * taken from the issuer that the token names, everything that must be there required. What was verified once is
 * remembered until it expires, so that a repeated token costs a look-up.
 */
import { jwtVerify } from "jose";
import type { TrustedIssuer } from "#src/catalog/issuer.ts";
import { type KeyRing, type KeyRingWorld, keysFor } from "./key-ring.ts";
import { readToken, type TokenText } from "./token-text.ts";
import type { VerifiedTokens } from "./verified-tokens.ts";

const CLOCK_TOLERANCE_S = 30;
/** What may stand in `typ` where the catalog names nothing (RFC 9068, 4): never an ID token or a logout token. */
const ACCESS_TOKEN_TYPES = new Set(["jwt", "at+jwt", "application/at+jwt"]);

export type Claims = TokenText["claims"];

export type TokenVerdict =
  | { readonly kind: "verified"; readonly claims: Claims; readonly issuer: TrustedIssuer; readonly kid: string }
  | { readonly kind: "refused"; readonly cause: string }
  /** The issuer's keys cannot be had, so the token can be neither accepted nor refused. */
  | { readonly kind: "undecided" };

export type TokenWorld = Omit<KeyRingWorld, "epoch"> & {
  readonly issuers: readonly TrustedIssuer[];
  readonly ringOf: (issuer: string) => KeyRing;
  readonly verified: VerifiedTokens;
  /** The newest purge of keys. Asked only when a signature has to be judged. */
  readonly epoch: () => Promise<number>;
};

/** Verifies one token. Never throws. */
export async function verifyToken(text: string, world: TokenWorld): Promise<TokenVerdict> {
  const token = world.verified.recall(text) ?? readToken(text);
  if (token === null) return refused("not a well-formed access token");
  const issuer = world.issuers.find((trusted) => trusted.issuer === token.claims.iss);
  if (issuer === undefined) return refused("an issuer that is not trusted");
  const { alg, kid, typ } = token.header;
  if (!issuer.algorithms.some((algorithm) => algorithm === alg))
    return refused("an algorithm that is not the issuer's");
  if (!isAccessToken(typ, issuer.typ)) return refused("a typ that is not an access token's");

  const ring = world.ringOf(issuer.issuer);
  const epoch = await world.epoch();
  const nowMs = world.now();
  const known = world.verified.has(token, epoch, nowMs);
  // Also for a known token: keys that have grown old are asked for again, and one that was withdrawn is then unknown.
  const inHand = await keysFor(ring, kid, { ...world, epoch });
  if (inHand === null) return { kind: "undecided" };
  if (!inHand.hasKid) return refused("a key that the issuer does not have");
  if (known) return { kind: "verified", claims: token.claims, issuer, kid };
  try {
    await jwtVerify(text, inHand.keys, {
      algorithms: issuer.algorithms,
      issuer: issuer.issuer,
      audience: issuer.audience,
      requiredClaims: ["exp", "iat", "sub", "iss", "aud"],
      maxTokenAge: issuer.maxAge,
      clockTolerance: CLOCK_TOLERANCE_S,
      currentDate: new Date(nowMs),
    });
  } catch (cause) {
    return refused(cause instanceof Error ? cause.name : "unknown");
  }
  world.verified.add(token, issuer.maxAge, epoch, nowMs);
  return { kind: "verified", claims: token.claims, issuer, kid };
}

function isAccessToken(typ: string | undefined, wanted: string | undefined): boolean {
  if (wanted !== undefined) return typ?.toLowerCase() === wanted.toLowerCase();
  return typ === undefined || ACCESS_TOKEN_TYPES.has(typ.toLowerCase());
}

function refused(cause: string): TokenVerdict {
  return { kind: "refused", cause };
}
