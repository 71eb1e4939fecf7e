/** The API key that `npm start` prints: made once per state folder, kept so that a pasted curl line goes on working. */
import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { apiKeyRecord, issueApiKey } from "#src/auth/api-key.ts";
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

/** The kept key, or a new one when there is none, the secret changed, or less than a day of it is left. */
export async function localApiKey(state: StateDir, secret: string, nowMs: number): Promise<LocalApiKey> {
  const path = join(state.root, "api-key.json");
  const secretSha256 = createHash("sha256").update(secret).digest("hex");
  const old = kept.safeParse(readJson(path));
  if (old.success && old.data.secretSha256 === secretSha256 && old.data.record.expiresAtMs > nowMs + DAY_MS) {
    return old.data;
  }
  const grant = {
    owner: "local-key",
    tier: "premium",
    scopes: [...SCOPES],
    label: "npm start",
    expiresAtMs: nowMs + LIFETIME_MS,
  };
  const { key, kvKey, record } = await issueApiKey(secret, grant, (bytes) => randomBytes(bytes));
  const fresh = { key, kvKey, record, secretSha256 };
  writeAtomic(path, JSON.stringify(fresh));
  return fresh;
}
