/**
 * An identity provider for tests: a key pair, tokens signed with it, and a `fetch` that serves its discovery document
 * and key set and counts what was asked. Its documents can be replaced to play an issuer that misbehaves.
 */
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

export const ISSUER = "https://id.example.test/application/o/causeway/";
export const AUDIENCE = "causeway";

type Answer = () => Response | Promise<Response>;

export type TestIssuer = {
  readonly publicJwk: JWK;
  /** Signs the claims of a good token, changed where the test says so; undefined removes a claim. */
  sign(changed?: Record<string, unknown>, header?: { kid?: string | undefined }): Promise<string>;
  readonly fetcher: typeof fetch;
  /** URLs asked for, in order. */
  readonly asked: string[];
  /** Replaced by a test to misbehave. */
  readonly answers: { discovery: Answer; keys: Answer };
};

/**
 * @param nowMs the time at which its tokens are issued; they live ten minutes
 * @param issuer its URL, as in the `iss` claim
 */
export async function testIssuer(nowMs: number, issuer = ISSUER, kid = "k1"): Promise<TestIssuer> {
  const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
  const publicJwk: JWK = { ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" };
  const asked: string[] = [];
  const base = issuer.replace(/\/$/, "");
  const answers = {
    discovery: () => Response.json({ issuer, jwks_uri: `${base}/jwks/` }) as Response | Promise<Response>,
    keys: () => Response.json({ keys: [publicJwk] }) as Response | Promise<Response>,
  };
  const serve = async (url: string): Promise<Response> => {
    asked.push(url);
    if (url === `${base}/.well-known/openid-configuration`) return answers.discovery();
    if (url === `${base}/jwks/`) return answers.keys();
    return new Response("not found", { status: 404 });
  };
  return {
    publicJwk,
    asked,
    answers,
    sign: (changed = {}, header = {}) => {
      const iat = Math.floor(nowMs / 1000);
      const good = {
        iss: issuer,
        aud: AUDIENCE,
        sub: "basic-user",
        groups: ["ai-users"],
        tier: "basic",
        iat,
        exp: iat + 600,
      };
      const claims = Object.entries({ ...good, ...changed }).filter(([, value]) => value !== undefined);
      const named = "kid" in header ? header.kid : kid;
      return new SignJWT(Object.fromEntries(claims) as JWTPayload)
        .setProtectedHeader(named === undefined ? { alg: "RS256" } : { alg: "RS256", kid: named })
        .sign(privateKey);
    },
    fetcher: async (input, init) => {
      init?.signal?.throwIfAborted();
      const answer = await serve(input instanceof Request ? input.url : String(input));
      const target = answer.headers.get("location");
      // As the platform does, unless it is told not to.
      return target === null || init?.redirect === "manual" ? answer : serve(target);
    },
  };
}
