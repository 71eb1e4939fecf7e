/**
 * One caller's account as a pure reducer: its windows, its open leases and what must still be written. The object around it (`account.do.ts`) owns storage, timers and the queue.
 *
 * A lease carries the event that will be sent if nobody settles it, so a dead isolate loses no request.
 */
import type { InferenceEvent, UsageEvent } from "#src/usage/event.ts";
import { type Clock, NEW_CLOCK, tick } from "./clock.ts";
import { type Limit, type Standing, take, type Windows } from "./windows.ts";

export type AccountState = {
  readonly clock: Clock;
  readonly windows: Windows;
  /** The owner's API keys that were revoked or rotated, and since when (or from when on), wall clock in ms. */
  readonly retiredKeys: Readonly<Record<string, number>>;
};
export const NEW_ACCOUNT: AccountState = { clock: NEW_CLOCK, windows: {}, retiredKeys: {} };

/** Copies of a key's record outlive the key by far less than this; after it the key's end need not be remembered. */
const RETIRED_KEPT_MS = 30 * 86_400_000;

export type AdmitRequest = {
  readonly limits: readonly Limit[];
  /** How long the lease may stay open before it counts as abandoned. */
  readonly leaseMs: number;
  /** The API key that the request came with, null for a token. */
  readonly keyId: string | null;
  /** The event as it stands if nobody ever settles: outcome `abandoned`. Its id is the lease's id. */
  readonly ifAbandoned: InferenceEvent;
};

export type Decision =
  | { readonly kind: "admitted"; readonly standings: readonly Standing[] }
  | { readonly kind: "key_retired" }
  | { readonly kind: "denied"; readonly standings: readonly Standing[]; readonly retryAfterMs: number };

/** A row of the account's storage: an open lease, or a settled event on its way to the queue. */
export type LedgerRow = {
  readonly id: string;
  /** When an open lease counts as abandoned, wall clock in ms; null once settled. */
  readonly expiresMs: number | null;
  readonly event: UsageEvent;
};

/**
 * One request.
 *
 * @param wallMs the object's wall clock
 * @returns the state to keep, the answer, and the lease's row to write when admitted
 */
export function admit(
  state: AccountState,
  request: AdmitRequest,
  wallMs: number,
): { state: AccountState; decision: Decision; row: LedgerRow | null } {
  if (isRetired(state, request.keyId, wallMs)) return { state, decision: { kind: "key_retired" }, row: null };
  const clock = tick(state.clock, wallMs);
  const { kind, standings, retryAfterMs, windows } = take(state.windows, request.limits, clock.lastMs);
  // Limits that this request did not name (another tier's) keep their counts.
  const next: AccountState = { ...state, clock, windows: { ...state.windows, ...windows } };
  if (kind === "denied") return { state: next, decision: { kind, standings, retryAfterMs }, row: null };
  const row = { id: request.ifAbandoned.id, expiresMs: wallMs + request.leaseMs, event: request.ifAbandoned };
  return { state: next, decision: { kind: "admitted", standings }, row };
}

/** True when the key no longer opens anything. */
export function isRetired({ retiredKeys }: AccountState, keyId: string | null, wallMs: number): boolean {
  const fromMs = keyId === null ? undefined : retiredKeys[keyId];
  return fromMs !== undefined && wallMs >= fromMs;
}

/**
 * Retires an API key from a time on; an earlier end that was set before stays.
 *
 * @param fromMs wall clock; in the future for a key that is being rotated
 */
export function retireKey(state: AccountState, keyId: string, fromMs: number, wallMs: number): AccountState {
  const kept = Object.entries(state.retiredKeys).filter(([, sinceMs]) => wallMs - sinceMs < RETIRED_KEPT_MS);
  const endMs = Math.min(fromMs, state.retiredKeys[keyId] ?? Number.POSITIVE_INFINITY);
  return { ...state, retiredKeys: { ...Object.fromEntries(kept), [keyId]: endMs } };
}
