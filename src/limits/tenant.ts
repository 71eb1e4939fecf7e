/**
 * A tenant's caps, shared by the accounts of its users: a pure reducer. Accounts ask for units in advance, and a unit
 * counts from when it was granted. It may be spent a sixtieth of the window later, so it counts for that much longer:
 * never a unit too many in any window, and about 2/60 of the window early at most.
 */
import { type Clock, NEW_CLOCK, tick } from "./clock.ts";
import { type Credit, inAdvance, USABLE_FOR, type Wanted } from "./grants.ts";
import { type Cost, correct, type Limit, type Standing, storedWindows, take, type Windows } from "./windows.ts";

export type TenantState = { readonly clock: Clock; readonly windows: Windows };
export const NEW_TENANT: TenantState = { clock: NEW_CLOCK, windows: {} };

export type TenantAnswer =
  | {
      readonly kind: "granted";
      readonly atMs: number;
      readonly grants: readonly { readonly limit: Limit; readonly units: number }[];
    }
  | { readonly kind: "denied"; readonly violated: Standing; readonly retryAfterMs: number | null };

/** @param json of a tenant, as it was kept */
export function storedTenant(json: string): TenantState {
  const { clock, windows }: TenantState = JSON.parse(json);
  return { clock, windows: storedWindows(windows) };
}

/**
 * Grants all that a request needs or nothing, and of what it would like in advance as much as there is.
 *
 * @param credits units of earlier grants that were not spent
 * @param askedAtMs the clock of the machine that asks; null where it is not known
 */
export function grant(
  state: TenantState,
  wanted: readonly Wanted[],
  credits: readonly Credit[],
  wallMs: number,
  askedAtMs: number | null = null,
): { state: TenantState; answer: TenantAnswer } {
  const clock = tick(state.clock, wallMs, askedAtMs);
  const nowMs = clock.lastMs;
  let windows = credits.reduce(handBack, state.windows);
  const grants: { limit: Limit; units: number }[] = [];
  const before = windows;
  for (const want of wanted) {
    const limit = counted(want.limit);
    const needed = take(windows, [limit], costOf(limit, want.units), nowMs);
    const [violated] = needed.violated;
    if (violated !== undefined) {
      const told = { ...violated, limit: want.limit };
      const answer = { kind: "denied" as const, violated: told, retryAfterMs: needed.retryAfterMs };
      return { state: { clock, windows: before }, answer };
    }
    const [standing] = needed.standings;
    const more = Math.min(inAdvance(want).units - want.units, standing?.remaining ?? 0);
    const verdict = more <= 0 ? needed : take(windows, [limit], costOf(limit, want.units + more), nowMs);
    windows = { ...windows, ...verdict.windows };
    grants.push({ limit: want.limit, units: want.units + Math.max(0, more) });
  }
  return { state: { clock, windows }, answer: { kind: "granted", atMs: nowMs, grants } };
}

/** A unit counts for as long as it may still be spent, and a window more. */
function counted(limit: Limit): Limit {
  return { ...limit, windowMs: limit.windowMs * (1 + USABLE_FOR) };
}

function costOf({ unit }: Limit, units: number): Cost {
  return { requests: 0, tokens: 0, micros: 0, [unit]: units };
}

function handBack(windows: Windows, { limit, atMs, units }: Credit): Windows {
  return correct(windows, [counted(limit)], costOf(limit, -units), atMs);
}
