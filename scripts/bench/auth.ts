/**
 * `npm run bench -- auth`: what the door costs, layer by layer, in CPU time per credential. Runs the gateway's own code
 * on Node, whose Web Crypto differs from workerd's by a few µs; the ratios are what to look at.
 */
import { randomBytes } from "node:crypto";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { issueApiKey } from "#src/auth/api-key.ts";
import { authenticate, type Door } from "#src/auth/authenticate.ts";
import { type AuthMemory, newAuthMemory, ringOf } from "#src/auth/memory.ts";
import { trustedIssuer } from "#src/catalog/issuer.ts";

const ISSUER = "https://issuer.test";
const SECRET = "only-for-the-bench-only-for-the-bench-only";
const ROUNDS = 5;
const CALLS = 5_000;

type Layer = { readonly name: string; readonly credential: string; readonly memory: () => AuthMemory };

const layers: Layer[] = [];
const publicKeys: object[] = [];
const kv = new Map<string, string>();
for (const alg of ["RS256", "ES256", "EdDSA"]) {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  publicKeys.push({ ...(await exportJWK(publicKey)), kid: alg, use: "sig", alg });
  const credential = await new SignJWT({ groups: ["ai-users"], tier: "default" })
    .setProtectedHeader({ alg, kid: alg })
    .setIssuer(ISSUER)
    .setAudience("causeway")
    .setSubject("someone")
    .setIssuedAt()
    .setExpirationTime("10m")
    .sign(privateKey);
  const warm = newAuthMemory();
  layers.push({
    name: `${alg}, a new token each time`,
    credential,
    memory: () => ({ ...newAuthMemory(), rings: warm.rings }),
  });
  layers.push({ name: `${alg}, the same token again`, credential, memory: () => warm });
}
const grant = {
  owner: "bench",
  tier: "default",
  scopes: ["inference" as const],
  label: "bench",
  expiresAtMs: Date.now() + 3_600_000,
};
const issued = await issueApiKey(SECRET, grant, (bytes) => randomBytes(bytes));
kv.set(issued.kvKey, JSON.stringify(issued.record));
const keyMemory = newAuthMemory();
layers.push({ name: "an API key, its record remembered", credential: issued.key, memory: () => keyMemory });
layers.push({ name: "no token at all: text refused", credential: "not-a-token", memory: () => keyMemory });

/** Median CPU µs per call, with the least and the most of the rounds. */
async function measure({ credential, memory }: Layer): Promise<{ median: number; least: number; most: number }> {
  const request = new Request("http://x/", { headers: { authorization: `Bearer ${credential}` } });
  const ask = (): Promise<unknown> => authenticate(request, doorOf(memory())).catch(() => null);
  for (let call = 0; call < CALLS / 5; call++) await ask();
  const rounds: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = process.cpuUsage();
    for (let call = 0; call < CALLS; call++) await ask();
    const { user, system } = process.cpuUsage(before);
    rounds.push((user + system) / CALLS);
  }
  rounds.sort((a, b) => a - b);
  return { median: rounds[ROUNDS >> 1] ?? 0, least: rounds[0] ?? 0, most: rounds.at(-1) ?? 0 };
}

function doorOf(memory: AuthMemory): Door {
  const store = {
    get: async (key: string) => JSON.parse(kv.get(key) ?? "null"),
    put: async () => undefined,
  };
  const tokens = {
    issuers: [trustedIssuer(ISSUER, "causeway")],
    ringOf: (issuer: string) => ringOf(memory, issuer),
    verified: memory.verified,
    epoch: async () => 0,
    fetcher: async (url: unknown) =>
      Response.json(
        String(url).endsWith("openid-configuration") ? { jwks_uri: `${ISSUER}/jwks` } : { keys: publicKeys },
      ),
    kv: store,
    now: Date.now,
    random: Math.random,
    defer: () => undefined,
  };
  return {
    tokens,
    catalog: { roles: {}, tiers: {} },
    secret: SECRET,
    keyRecords: memory.keyRecords,
    kv: store,
  } as unknown as Door;
}

console.log(`CPU µs per credential: median of ${ROUNDS} rounds of ${CALLS} (least to most)\n`);
for (const layer of layers) {
  const { median, least, most } = await measure(layer);
  console.log(
    `${layer.name.padEnd(36)} ${median.toFixed(1).padStart(7)}   (${least.toFixed(1)} to ${most.toFixed(1)})`,
  );
}
