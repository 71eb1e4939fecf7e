/** The owner's API keys that no longer open anything. Pure. */

/** By the key's id: since when, or from when on. Wall clock in ms. */
export type RetiredKeys = Readonly<Record<string, number>>;

/** Copies of a key's record outlive the key by far less than this; after it the key's end need not be remembered. */
const RETIRED_KEPT_MS = 30 * 86_400_000;

/** True when the key no longer opens anything. */
export function isRetired(retired: RetiredKeys, keyId: string | null, wallMs: number): boolean {
  const fromMs = keyId === null ? undefined : retired[keyId];
  return fromMs !== undefined && wallMs >= fromMs;
}

/**
 * Retires an API key from a time on; an earlier end that was set before stays.
 *
 * @param fromMs wall clock; in the future for a key that is being rotated
 */
export function retireKey(retired: RetiredKeys, keyId: string, fromMs: number, wallMs: number): RetiredKeys {
  const kept = Object.entries(retired).filter(([, sinceMs]) => wallMs - sinceMs < RETIRED_KEPT_MS);
  const endMs = Math.min(fromMs, retired[keyId] ?? Number.POSITIVE_INFINITY);
  return { ...Object.fromEntries(kept), [keyId]: endMs };
}
