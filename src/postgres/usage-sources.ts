/**
 * Which table says what was used in which part of a range. Pure.
 *
 * `usage_minute` is written in the ledger's own transactions, so it is as fresh as the ledger; `usage_day` is made from
 * it by a job, and a row of it stands for up to 1,440. Today and yesterday (UTC) are read from the minutes, whole days
 * before that from the days, and what is left of a day that a range cuts from its minutes.
 */

const DAY_MS = 86_400_000;

/** A range of time, ms since the epoch: the first moment, and the first that is no longer in it. */
export type Span = { readonly fromMs: number; readonly toMs: number };

export type UsageSources = {
  /** Of `usage_minute`. One that ends where it begins holds nothing. */
  readonly minutes: readonly [Span, Span];
  /** Of `usage_day`; whole days. */
  readonly days: Span;
};

/**
 * Splits a range, so that every moment of it is in one of the spans, and in one only.
 *
 * @param range of whole minutes
 */
export function usageSources({ fromMs, toMs }: Span, nowMs: number): UsageSources {
  const yesterdayMs = startOfDay(nowMs) - DAY_MS;
  const daysFromMs = startOfDay(fromMs + DAY_MS - 1);
  const daysToMs = Math.min(startOfDay(toMs), yesterdayMs);
  if (daysFromMs >= daysToMs) {
    const nothing = { fromMs: toMs, toMs };
    return { minutes: [{ fromMs, toMs }, nothing], days: nothing };
  }
  return {
    minutes: [
      { fromMs, toMs: daysFromMs },
      { fromMs: daysToMs, toMs },
    ],
    days: { fromMs: daysFromMs, toMs: daysToMs },
  };
}

/** The start of a moment's day, UTC. */
export function startOfDay(atMs: number): number {
  return Math.floor(atMs / DAY_MS) * DAY_MS;
}
