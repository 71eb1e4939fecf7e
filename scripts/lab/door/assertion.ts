// The token that the edge signs for a request it let in, and what cloudflared makes of it (`access.required`).
import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from "jose";

/** The team's domain: who signs. */
const ISSUER = "https://lab.cloudflareaccess.com";
/** What the edge signs lasts no longer than the request may take. */
const LASTS = "1m";

/** `filtered`: cloudflared answers 403 without a body; `failed`: it cannot judge the token, and answers 502. */
export type Judgement = "passed" | "filtered" | "failed";

export interface Signer {
  /** What stands in Cf-Access-Jwt-Assertion for a service token. */
  sign(audience: string, clientId: string): Promise<string>;
  /** As cloudflared's middleware: a token of the team's, for one of the tags at least. */
  judge(assertion: string | undefined, audTags: readonly string[]): Promise<Judgement>;
}

/** A team with a signing key of its own. */
export async function buildSigner(): Promise<Signer> {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: "lab", alg: "RS256" }] });
  return {
    sign: (audience, clientId) =>
      new SignJWT({ type: "app", common_name: clientId })
        .setProtectedHeader({ alg: "RS256", kid: "lab" })
        .setIssuer(ISSUER)
        .setAudience([audience])
        .setSubject("")
        .setIssuedAt()
        .setExpirationTime(LASTS)
        .sign(privateKey),
    judge: async (assertion, audTags) => {
      if (assertion === undefined || assertion === "") return "filtered";
      try {
        const { payload } = await jwtVerify(assertion, keys, { issuer: ISSUER });
        const audience = [payload.aud ?? []].flat();
        return audience.some((tag) => audTags.includes(tag)) ? "passed" : "filtered";
      } catch {
        return "failed";
      }
    },
  };
}
