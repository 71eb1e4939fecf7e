/** What the local issuer keeps between runs: its signing key and its clients' secrets, in `issuer.json`, mode 0600. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { exportJWK, generateKeyPair } from "jose";
import { z } from "zod";
import { PRINCIPAL_NAMES } from "./principals.ts";
import { readJson, type StateDir, writeAtomic } from "./state-dir.ts";

const issuerKeys = z.object({
  /** Private RSA key as a JWK. */
  jwk: z.looseObject({ kty: z.literal("RSA"), kid: z.string(), n: z.string(), e: z.string(), d: z.string() }),
  clients: z.record(z.string(), z.string().min(32)),
});
export type IssuerKeys = z.infer<typeof issuerKeys>;

export function issuerKeysPath(state: Pick<StateDir, "root">): string {
  return join(state.root, "issuer.json");
}

/** The kept keys, or null when there are none that can be read. */
export function readIssuerKeys(path: string): IssuerKeys | null {
  const kept = issuerKeys.safeParse(readJson(path));
  return kept.success ? kept.data : null;
}

/** The kept keys; made when there are none, completed when a principal is new. */
export async function keptIssuerKeys(state: StateDir): Promise<IssuerKeys> {
  const path = issuerKeysPath(state);
  const kept = readIssuerKeys(path);
  if (kept !== null && PRINCIPAL_NAMES.every((name) => name in kept.clients)) return kept;
  const secrets = PRINCIPAL_NAMES.map((name) => [name, kept?.clients[name] ?? randomBytes(32).toString("base64url")]);
  const keys = issuerKeys.parse({ jwk: kept?.jwk ?? (await signingKey()), clients: Object.fromEntries(secrets) });
  writeAtomic(path, JSON.stringify(keys));
  return keys;
}

async function signingKey() {
  const { privateKey } = await generateKeyPair("RS256", { modulusLength: 2048, extractable: true });
  return { ...(await exportJWK(privateKey)), kid: randomBytes(8).toString("hex"), alg: "RS256", use: "sig" };
}
