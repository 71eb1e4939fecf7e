/** The API key that `npm start` prints: made once per state folder, kept so that a pasted curl line goes on working. */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import pg from "pg";
import { z } from "zod";
import { apiKeyRecord, hashIn, issueApiKey } from "#src/auth/api-key.ts";
import { type ApiKeyState, deliverApiKey, insertApiKey } from "#src/postgres/api-keys.ts";
import type { Session } from "#src/postgres/session.ts";
import { readJson, type StateDir, writeAtomic } from "./state-dir.ts";

const DAY_MS = 86_400_000;
const LIFETIME_MS = 365 * DAY_MS;
const SCOPES = ["inference", "models", "embeddings"] as const;

const kept = z.object({
  key: z.string(),
  kvKey: z.string(),
  record: apiKeyRecord,
  /** Of the secret it was made with: under another secret the key would not be found. */
  secretSha256: z.string(),
});
export type LocalApiKey = z.infer<typeof kept>;

/**
 * The kept key, or a new one when there is none, the secret changed, less than a day of it is left, or it was rotated or
 * revoked. Either is in the database then, so that it can be listed and ended like every other key.
 */
export async function localApiKey(
  state: StateDir,
  secret: string,
  databaseUrl: string,
  nowMs: number,
): Promise<LocalApiKey> {
  const client = new pg.Client({ connectionString: databaseUrl, connectionTimeoutMillis: 5_000 });
  client.on("error", () => {});
  await client.connect();
  try {
    const old = keptKey(state, secret, nowMs);
    if (old !== null && (await entered(client, old, nowMs)) === "active") return old;
    const fresh = await freshKey(state, secret, nowMs);
    await entered(client, fresh, nowMs);
    return fresh;
  } finally {
    await client.end();
  }
}

function keptKey(state: StateDir, secret: string, nowMs: number): LocalApiKey | null {
  const old = kept.safeParse(readJson(pathIn(state)));
  if (!old.success || old.data.secretSha256 !== sha256(secret)) return null;
  return old.data.record.expiresAtMs > nowMs + DAY_MS ? old.data : null;
}

async function freshKey(state: StateDir, secret: string, nowMs: number): Promise<LocalApiKey> {
  const grant = {
    owner: "local-key",
    tier: "premium",
    scopes: [...SCOPES],
    label: "npm start",
    expiresAtMs: nowMs + LIFETIME_MS,
  };
  const { key, kvKey, record } = await issueApiKey(secret, grant, (bytes) => randomBytes(bytes));
  const fresh = { key, kvKey, record, secretSha256: sha256(secret) };
  writeAtomic(pathIn(state), JSON.stringify(fresh));
  return fresh;
}

/** Enters the key where it is not yet in the database; how it stands there. */
async function entered(session: Session, { kvKey, record }: LocalApiKey, nowMs: number): Promise<ApiKeyState> {
  const { id, owner, tier, scopes, label, expiresAtMs } = record;
  const made = { createdAt: new Date(nowMs), createdBy: "npm start", expiresAt: new Date(expiresAtMs) };
  const row = await insertApiKey(session, { id, hash: hashIn(kvKey), owner, tier, scopes, label, ...made }, nowMs);
  // `npm start` puts its record into KV itself.
  return (await deliverApiKey(session, row, nowMs))?.state ?? row.state;
}

function pathIn(state: StateDir): string {
  return join(state.root, "api-key.json");
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
