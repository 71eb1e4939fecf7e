/**
 * Who asks the gateway: tokens of an issuer that the bench runs itself, so that it can make as many as it likes, from as
 * many addresses that no rate per address is reached.
 */
import { createServer } from "node:http";
import { exportJWK, generateKeyPair, SignJWT } from "jose";

export const AUDIENCE = "causeway-bench";
const KEY_ID = "bench";
/** The rate per address is 120 in ten seconds (wrangler.toml): a window at saturation begins some 20,000 requests. */
const ADDRESSES = 8_192;
const LIFETIME = "2h";

export type Callers = {
  readonly issuer: string;
  /** Header sets of so many people, each with the token it has had for a while. */
  readonly people: (count: number) => Promise<Record<string, string>[]>;
  /** Header sets of one person, each with a token that nobody has seen before. */
  readonly newTokens: (count: number) => Promise<Record<string, string>[]>;
  readonly stop: () => void;
};

/** Starts the issuer. RS256, which most identity providers sign with. */
export async function callers(): Promise<Callers> {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const jwk = { ...(await exportJWK(publicKey)), kid: KEY_ID, use: "sig", alg: "RS256" };
  let issuer = "";
  const server = createServer((request, response) => {
    const page = request.url === "/jwks" ? { keys: [jwk] } : { issuer, jwks_uri: `${issuer}/jwks` };
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(page));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  if (typeof address !== "object" || address === null) throw new Error("the bench's issuer does not listen");
  issuer = `http://127.0.0.1:${address.port}`;
  let issued = 0;
  const token = (subject: string): Promise<string> =>
    new SignJWT({ groups: ["ai-users"], tier: "bench", jti: String(issued++) })
      .setProtectedHeader({ alg: "RS256", kid: KEY_ID })
      .setIssuer(issuer)
      .setAudience(AUDIENCE)
      .setSubject(subject)
      .setIssuedAt()
      .setExpirationTime(LIFETIME)
      .sign(privateKey);
  return {
    issuer,
    people: async (count) => {
      const tokens = await Promise.all(Array.from({ length: count }, (_, nth) => token(`person-${nth}`)));
      return Array.from({ length: ADDRESSES }, (_, nth) => headersOf(tokens[nth % count] ?? "", nth));
    },
    newTokens: async (count) => {
      const tokens = await Promise.all(Array.from({ length: count }, () => token("person-0")));
      return tokens.map(headersOf);
    },
    stop: () => server.close(),
  };
}

function headersOf(token: string, nth: number): Record<string, string> {
  const at = nth % ADDRESSES;
  return { authorization: `Bearer ${token}`, "cf-connecting-ip": `203.${at >> 8}.${at & 255}.7` };
}
