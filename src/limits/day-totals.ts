/** What a caller's requests came to, day by day: what the ledger is reconciled with. Pure. */
import type { UsageEvent } from "#src/usage/event.ts";

/** Of settled requests, by the day they arrived. */
export type DayTotals = { readonly requests: number; readonly promptTokens: number; readonly completionTokens: number };
/** By day, UTC: `2026-11-21`. */
export type Totals = Readonly<Record<string, DayTotals>>;

/** Days are reconciled the day after; a few more for a reconciliation that could not run. */
const TOTALS_KEPT_DAYS = 8;

/**
 * Adds an event to its day, in the place of another one of the same id.
 *
 * @param instead the event that was counted under this id before
 */
export function count(totals: Totals, event: UsageEvent, instead: UsageEvent | undefined): Totals {
  if (event.kind !== "inference") return totals;
  const before = instead?.kind === "inference" ? instead : undefined;
  const day = dayOf(event.atMs);
  const { requests, promptTokens, completionTokens } = totals[day] ?? NOTHING;
  const total = {
    requests: requests + (before === undefined ? 1 : 0),
    promptTokens: promptTokens + event.promptTokens - (before?.promptTokens ?? 0),
    completionTokens: completionTokens + event.completionTokens - (before?.completionTokens ?? 0),
  };
  const next: Record<string, DayTotals> = { ...totals, [day]: total };
  const [oldest, ...others] = Object.keys(next).sort();
  if (oldest !== undefined && others.length >= TOTALS_KEPT_DAYS) delete next[oldest];
  return next;
}

const NOTHING: DayTotals = { requests: 0, promptTokens: 0, completionTokens: 0 };

function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}
