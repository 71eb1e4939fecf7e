/**
 * One caller's account as a pure reducer: its windows, its open leases and what must still be written. The object around it (`account.do.ts`) owns storage, timers and the queue.
 *
 * A lease carries the event that will be sent if nobody settles it, so a dead isolate loses no request.
 */
import type { InferenceEvent } from "#src/usage/event.ts";
import { type Clock, NEW_CLOCK, tick } from "./clock.ts";
import { type Limit, type Standing, take, type Windows } from "./windows.ts";

export type AccountState = { readonly clock: Clock; readonly windows: Windows };
export const NEW_ACCOUNT: AccountState = { clock: NEW_CLOCK, windows: {} };

export type AdmitRequest = {
  readonly limits: readonly Limit[];
  /** How long the lease may stay open before it counts as abandoned. */
  readonly leaseMs: number;
  /** The event as it stands if nobody ever settles: outcome `abandoned`. Its id is the lease's id. */
  readonly ifAbandoned: InferenceEvent;
};

export type Decision =
  | { readonly kind: "admitted"; readonly standings: readonly Standing[] }
  | { readonly kind: "denied"; readonly standings: readonly Standing[]; readonly retryAfterMs: number };

/** A row of the account's storage: an open lease, or a settled event on its way to the queue. */
export type LedgerRow = {
  readonly id: string;
  /** When an open lease counts as abandoned, wall clock in ms; null once settled. */
  readonly expiresMs: number | null;
  readonly event: InferenceEvent;
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
  const clock = tick(state.clock, wallMs);
  const { kind, standings, retryAfterMs, windows } = take(state.windows, request.limits, clock.lastMs);
  // Limits that this request did not name (another tier's) keep their counts.
  const next: AccountState = { clock, windows: { ...state.windows, ...windows } };
  if (kind === "denied") return { state: next, decision: { kind, standings, retryAfterMs }, row: null };
  const row = { id: request.ifAbandoned.id, expiresMs: wallMs + request.leaseMs, event: request.ifAbandoned };
  return { state: next, decision: { kind: "admitted", standings }, row };
}
