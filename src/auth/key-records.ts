/**
 * API key records as the edge reads them: from KV, remembered by the isolate for a while. A record that was read once
 * goes on serving while KV cannot be reached. That a key was revoked since is not known here but by its Account object.
 */
import { within } from "#src/within.ts";
import { type ApiKeyRecord, apiKeyRecord } from "./api-key.ts";

/** How long a record is taken from memory. Issuing and rotating make new names, so nothing waits for this. */
const FRESH_FOR_MS = 30_000;
/** With KV down, a record that is known goes on serving this long. */
const KEPT_FOR_MS = 24 * 3_600_000;
/** The least that KV allows. */
const KV_CACHE_TTL_S = 30;
/** A KV that dawdles is taken for one that is down. */
const READ_WITHIN_MS = 1_000;
const MAX_REMEMBERED = 5_000;

export type KeyRecords = Map<string, { readonly record: ApiKeyRecord; readonly readAtMs: number }>;

/**
 * The record under a KV key.
 *
 * @returns null when there is none
 * @throws what KV throws, when nothing usable is remembered
 */
export async function recordOf(
  kvKey: string,
  remembered: KeyRecords,
  kv: Pick<KVNamespace, "get">,
  nowMs: number,
): Promise<ApiKeyRecord | null> {
  const known = remembered.get(kvKey);
  if (known !== undefined && nowMs - known.readAtMs < FRESH_FOR_MS) return known.record;
  let stored: unknown;
  try {
    stored = await within(READ_WITHIN_MS, kv.get(kvKey, { type: "json", cacheTtl: KV_CACHE_TTL_S }));
  } catch (cause) {
    if (known !== undefined && nowMs - known.readAtMs < KEPT_FOR_MS) return known.record;
    throw cause;
  }
  const parsed = apiKeyRecord.safeParse(stored);
  remembered.delete(kvKey);
  if (!parsed.success) return null;
  remembered.set(kvKey, { record: parsed.data, readAtMs: nowMs });
  const [oldest] = remembered.keys();
  if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
  return parsed.data;
}
