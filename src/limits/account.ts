/**
 * One caller's account as a pure reducer: its windows, its clock, the keys it withdrew, and what its days came to. The
 * object around it (`account.do.ts`) owns storage, timers and the queue; open leases are in `leases.ts`.
 *
 * One decision for everything: requests, tokens and money within their windows, and requests in flight. A request is
 * charged in full or not at all. Tokens and money are charged as reserved (prompt estimate and `max_tokens`) at the time
 * of admission, and corrected there when the request settles.
 */
import type { InferenceEvent } from "#src/usage/event.ts";
import { type Clock, NEW_CLOCK, tick } from "./clock.ts";
import type { Totals } from "./day-totals.ts";
import type { Credit } from "./grants.ts";
import type { Charge, Leases, OpenLease, Slot } from "./leases.ts";
import { isRetired, type RetiredKeys } from "./retired-keys.ts";
import { type Cost, correct, type Limit, look, type Standing, storedWindows, take, type Windows } from "./windows.ts";

export type AccountState = {
  readonly clock: Clock;
  readonly windows: Windows;
  readonly retiredKeys: RetiredKeys;
  readonly totals: Totals;
};
export const NEW_ACCOUNT: AccountState = { clock: NEW_CLOCK, windows: {}, retiredKeys: {}, totals: {} };

/** @param json of an account, as it was kept */
export function storedAccount(json: string): AccountState {
  const stored: Partial<AccountState> = JSON.parse(json);
  return { ...NEW_ACCOUNT, ...stored, windows: storedWindows(stored.windows ?? {}) };
}

/** What a caller may spend, as the catalog says it for this request. */
export type Allowance = { readonly limits: readonly Limit[]; readonly slots: readonly Slot[] };

export type AdmitRequest = Allowance & {
  readonly cost: Cost;
  /** The API key that the request came with, null for a token. */
  readonly keyId: string | null;
  /** The event as it stands if nobody ever settles: outcome `abandoned`. Its id is the lease's id. */
  readonly ifAbandoned: InferenceEvent;
};

/** A caller's requests in flight under one name. */
export type SlotStanding = { readonly slot: Slot; readonly remaining: number };
export type Standings = { readonly windows: readonly Standing[]; readonly slots: readonly SlotStanding[] };

export type Decision =
  | { readonly kind: "admitted"; readonly standings: Standings }
  | { readonly kind: "key_retired" }
  | {
      readonly kind: "denied";
      readonly standings: Standings;
      /** What refused: a limit's name or a slot's. */
      readonly violated: { readonly name: string; readonly unit: Limit["unit"] | "concurrent-requests" };
      /** When to come back; null when waiting cannot help, because the request alone is more than the limit. */
      readonly retryAfterMs: number | null;
    };

/**
 * One request.
 *
 * @param credits what was taken of the tenant's grants for it
 * @param wallMs the object's wall clock
 * @param askedAtMs the clock of the machine that asks; null where it is not known
 * @returns the state to keep, the answer, and the lease to open when admitted
 */
export function admit(
  state: AccountState,
  leases: Leases,
  request: AdmitRequest,
  credits: readonly Credit[],
  wallMs: number,
  askedAtMs: number | null = null,
): { state: AccountState; decision: Decision; lease: OpenLease | null } {
  const clock = tick(state.clock, wallMs, askedAtMs);
  const nowMs = clock.lastMs;
  // Neither a step back opens a key again, nor a leap ends it before its time.
  const keysMs = Math.max(nowMs, Math.min(wallMs, askedAtMs ?? wallMs));
  if (isRetired(state.retiredKeys, request.keyId, keysMs))
    return { state, decision: { kind: "key_retired" }, lease: null };
  const { limits, cost, slots } = request;
  const verdict = take(state.windows, limits, cost, nowMs);
  const taken = slotStandings(leases, slots, nowMs);
  const full = taken.filter(({ remaining }) => remaining <= 0);
  const [violated] = verdict.violated.toSorted((one, other) => waitMs(other, cost) - waitMs(one, cost));
  if (violated !== undefined || full.length > 0) {
    const standings = {
      windows: violated === undefined ? look(state.windows, limits, nowMs) : verdict.standings,
      slots: taken,
    };
    const slotMs = Math.max(0, ...full.map(({ slot }) => leases.freeInMs(slot.name, nowMs)));
    const retryAfterMs = verdict.retryAfterMs === null ? null : Math.max(verdict.retryAfterMs, slotMs);
    const name = violated?.limit.name ?? full[0]?.slot.name ?? "";
    const unit = violated?.limit.unit ?? ("concurrent-requests" as const);
    return {
      state: { ...state, clock },
      decision: { kind: "denied", standings, violated: { name, unit }, retryAfterMs },
      lease: null,
    };
  }
  const { ifAbandoned: event } = request;
  const lease = {
    id: event.id,
    slots: slots.map(({ name }) => name),
    charge: { limits, cost, atMs: nowMs },
    credits,
    event,
    openedAtMs: nowMs,
    heardAtMs: nowMs,
    doubtedAtMs: null,
  };
  const left = taken.map(({ slot, remaining }) => ({ slot, remaining: remaining - 1 }));
  return {
    // Limits that this request did not name (another tier's) keep their counts.
    state: { ...state, clock, windows: { ...state.windows, ...verdict.windows } },
    decision: { kind: "admitted", standings: { windows: verdict.standings, slots: left } },
    lease,
  };
}

/** Until a limit that refused would allow it; forever when the request alone is more than the limit. */
function waitMs({ limit, resetMs }: Standing, cost: Cost): number {
  return cost[limit.unit] > limit.max ? Number.POSITIVE_INFINITY : resetMs;
}

/** Where the caller stands, spending nothing. */
export function standingsOf(
  state: AccountState,
  leases: Leases,
  { limits, slots }: Allowance,
  wallMs: number,
): Standings {
  const nowMs = tick(state.clock, wallMs).lastMs;
  return { windows: look(state.windows, limits, nowMs), slots: slotStandings(leases, slots, nowMs) };
}

function slotStandings(leases: Leases, slots: readonly Slot[], nowMs: number): SlotStanding[] {
  return slots.map((slot) => ({ slot, remaining: Math.max(0, slot.max - leases.inFlight(slot.name, nowMs)) }));
}

/** Takes a charge back as if there had been none. */
export function refund(state: AccountState, { cost, limits, atMs }: Charge): AccountState {
  const back = { requests: -cost.requests, tokens: -cost.tokens, micros: -cost.micros };
  return { ...state, windows: correct(state.windows, limits, back, atMs) };
}

/**
 * What a request turned out to cost.
 *
 * @param charge what was reserved for it; undefined when its lease had ended already, and nothing is corrected
 */
export function settle(state: AccountState, charge: Charge | undefined, event: InferenceEvent): AccountState {
  if (charge === undefined) return state;
  const { cost, limits, atMs } = charge;
  const difference = {
    // Who was turned away for want of room has used nothing.
    requests: event.outcome === "shed" ? -cost.requests : 0,
    tokens: event.promptTokens + event.completionTokens - cost.tokens,
    // What nobody knows stays as it was reserved.
    micros: (event.costMicros ?? cost.micros) - cost.micros,
  };
  return { ...state, windows: correct(state.windows, limits, difference, atMs) };
}
