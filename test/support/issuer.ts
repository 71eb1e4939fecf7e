/**
 * An identity provider for tests: a key pair, tokens signed with it, and a `fetch` that serves its discovery document
 * and key set and counts what was asked. Its documents can be replaced to play an issuer that misbehaves.
 */
import { exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

export const ISSUER = "https://id.example.test/application/o/causeway/";
export const AUDIENCE = "causeway";

type Answer = () => Response | Promise<Response>;

export type SigningKey = {
  readonly alg: string;
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
};

export type TestIssuer = {
  readonly key: SigningKey;
  readonly publicJwk: JWK;
  /** Signs the claims of a good token, changed where the test says so; undefined removes a claim or a header member. */
  sign(
    changed?: Record<string, unknown>,
    header?: { kid?: string | undefined; typ?: string | undefined },
  ): Promise<string>;
  readonly fetcher: typeof fetch;
  /** URLs asked for, in order. */
  readonly asked: string[];
  /** Replaced by a test to misbehave. */
  readonly answers: { discovery: Answer; keys: Answer };
};

/** A key pair whose public half can stand in a key set. */
export async function signingKey(kid = "k1", alg = "RS256"): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { alg, kid, privateKey, publicJwk: { ...(await exportJWK(publicKey)), kid, alg, use: "sig" } };
}

/** The claims of a good token, issued at `nowMs`; it lives ten minutes. */
export function goodClaims(nowMs: number, issuer = ISSUER): Record<string, unknown> & { iat: number; exp: number } {
  const iat = Math.floor(nowMs / 1000);
  return { iss: issuer, aud: AUDIENCE, sub: "basic-user", groups: ["ai-users"], tier: "basic", iat, exp: iat + 600 };
}

/**
 * @param nowMs the time at which its tokens are issued
 * @param issuer its URL, as in the `iss` claim
 */
export async function testIssuer(nowMs: number, issuer = ISSUER, kid = "k1", alg = "RS256"): Promise<TestIssuer> {
  const key = await signingKey(kid, alg);
  const asked: string[] = [];
  const base = issuer.replace(/\/$/, "");
  const answers: TestIssuer["answers"] = {
    discovery: () => Response.json({ issuer, jwks_uri: `${base}/jwks/` }),
    keys: () => Response.json({ keys: [key.publicJwk] }),
  };
  const serve = async (url: string): Promise<Response> => {
    asked.push(url);
    if (url === `${base}/.well-known/openid-configuration`) return answers.discovery();
    if (url === `${base}/jwks/`) return answers.keys();
    return new Response("not found", { status: 404 });
  };
  return {
    key,
    publicJwk: key.publicJwk,
    asked,
    answers,
    sign: (changed = {}, header = {}) => {
      const claims = Object.entries({ ...goodClaims(nowMs, issuer), ...changed });
      const members = Object.entries({ kid, ...header }).filter(([, value]) => value !== undefined);
      return new SignJWT(Object.fromEntries(claims.filter(([, value]) => value !== undefined)) as JWTPayload)
        .setProtectedHeader({ alg, ...Object.fromEntries(members) })
        .sign(key.privateKey);
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
