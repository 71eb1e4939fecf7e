/**
 * What the edge must know of an API key, and telling it: the record in KV, by which the door knows the key, and the
 * owner's Account object, which refuses an ended key at once while copies of its record are still about. Derived from
 * the key's row alone, so telling it again is safe.
 */
import { type ApiKeyRecord, accountOfKey, kvKeyFor } from "#src/auth/api-key.ts";
import type { Env } from "#src/env.ts";
import type { ApiKey } from "#src/postgres/api-keys.ts";

/** The least that KV allows. */
const KV_MIN_TTL_S = 60;

export type EdgeState = {
  readonly kvKey: string;
  /** Null: there must be none. */
  readonly record: ApiKeyRecord | null;
  /** When KV drops the record by itself, seconds since the epoch. */
  readonly expirationS: number;
  readonly accountId: string;
  /** From when on the Account object refuses the key; null for one that was neither rotated nor revoked. */
  readonly retiresAtMs: number | null;
};

/** What the edge must know of a key at `nowMs`. */
export function edgeStateOf(key: ApiKey, nowMs: number): EdgeState {
  const { id, hash, owner, tier, scopes, label, expiresAt, retiresAt, revokedAt } = key;
  const retirements = [retiresAt, revokedAt].flatMap((date) => (date === null ? [] : [date.getTime()]));
  const expiresAtMs = Math.min(expiresAt.getTime(), ...retirements);
  return {
    kvKey: kvKeyFor(hash),
    record: expiresAtMs <= nowMs ? null : { v: 1, id, owner, tier, scopes: [...scopes], label, expiresAtMs },
    expirationS: Math.max(Math.ceil(expiresAtMs / 1000), Math.ceil(nowMs / 1000) + KV_MIN_TTL_S),
    accountId: accountOfKey(owner),
    retiresAtMs: retirements.length === 0 ? null : Math.min(...retirements),
  };
}

/**
 * Tells KV, the Account object, and the sockets that were opened with the key. Each is told even if another cannot be
 * reached.
 *
 * @throws what the first of them that failed threw
 */
export async function tellEdge(
  key: ApiKey,
  env: Pick<Env, "KV" | "ACCOUNT" | "CHAT_SOCKET">,
  nowMs: number,
): Promise<void> {
  const { kvKey, record, expirationS, accountId, retiresAtMs } = edgeStateOf(key, nowMs);
  const outcomes = await Promise.allSettled([
    record === null ? env.KV.delete(kvKey) : env.KV.put(kvKey, JSON.stringify(record), { expiration: expirationS }),
    retiresAtMs === null ? null : env.ACCOUNT.getByName(accountId).retireKey(key.id, retiresAtMs),
    retiresAtMs === null ? null : env.CHAT_SOCKET.getByName(accountId).retireKey(key.id, retiresAtMs),
  ]);
  for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
}
