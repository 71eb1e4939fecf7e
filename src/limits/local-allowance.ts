/**
 * What an isolate may admit by itself while callers' accounts cannot be reached, where the catalog allows it: a window
 * of its own per caller, so never unlimited, and never exact across isolates. Pure; the isolate keeps the state.
 */
import type { Tier } from "#src/catalog/tier.ts";
import { type Clock, NEW_CLOCK, tick } from "./clock.ts";
import { type Standing, take, type Windows } from "./windows.ts";

export type LocalAllowances = Map<string, { readonly clock: Clock; readonly windows: Windows }>;

/** Callers remembered. When there are more the eldest is forgotten: an outage's allowance is small either way. */
const MAX_CALLERS = 10_000;
const REQUEST = { requests: 1, tokens: 0, micros: 0 };

/** One request. @returns null when it may not pass: no allowance, or it is used up */
export function takeLocally(
  allowances: LocalAllowances,
  accountId: string,
  tier: Tier,
  nowMs: number,
): Standing[] | null {
  if (tier.localAllowance === undefined) return null;
  const { clock, windows } = allowances.get(accountId) ?? { clock: NEW_CLOCK, windows: {} };
  const ticked = tick(clock, nowMs);
  const limit = { name: "local", unit: "requests" as const, max: tier.localAllowance.rpm, windowMs: 60_000 };
  const verdict = take(windows, [limit], REQUEST, ticked.lastMs);
  allowances.delete(accountId);
  allowances.set(accountId, { clock: ticked, windows: verdict.windows });
  const [eldest] = allowances.keys();
  if (allowances.size > MAX_CALLERS && eldest !== undefined) allowances.delete(eldest);
  return verdict.kind === "allowed" ? [...verdict.standings] : null;
}
