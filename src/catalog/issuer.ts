/**
 * The OIDC issuers whose access tokens are taken, and how their tokens are to be read. Grammar only, like `schema.ts`;
 * what it leaves out is as safe as it can be.
 */
import { z } from "zod";

/** Asymmetric only: with a shared secret whoever can verify could also sign (RFC 8725, 3.2). */
const algorithm = z.enum(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]);

const DEFAULT_ALGORITHMS = ["RS256", "ES256", "EdDSA"] as const;
const DEFAULT_MAX_AGE_S = 86_400;

/** A claim by its name, or by its path where it lies deeper: `realm_access.roles`. */
const claim = z.string().regex(/^[^.]+(\.[^.]+)*$/, "a claim's name, or a path with dots");

/** An OIDC issuer whose access tokens are taken, beside the one of the Worker's own variables. */
export const issuer = z.strictObject({
  /** As in the `iss` claim, to the letter: a slash at the end counts. */
  issuer: z.url({ protocol: /^https?$/, error: "an http or https URL" }),
  audience: z.string().min(1),
  algorithms: z
    .array(algorithm)
    .min(1)
    .default([...DEFAULT_ALGORITHMS]),
  /** The token's `typ` must be this one; absent: any that says access token (RFC 9068) or nothing in particular. */
  typ: z.string().min(1).optional(),
  /** Tokens issued longer ago are refused, whatever their expiry says. In seconds. */
  maxAge: z.number().int().positive().default(DEFAULT_MAX_AGE_S),
  claims: z
    .strictObject({ groups: claim.default("groups"), tier: claim.default("tier"), tenant: claim.default("tenant") })
    .prefault({}),
});

export type TrustedIssuer = z.infer<typeof issuer>;

/** The issuer that the Worker's own variables name, with everything else as the catalog would have it by default. */
export function trustedIssuer(url: string, audience: string): TrustedIssuer {
  const claims = { groups: "groups", tier: "tier", tenant: "tenant" };
  return { issuer: url, audience, algorithms: [...DEFAULT_ALGORITHMS], maxAge: DEFAULT_MAX_AGE_S, claims };
}
