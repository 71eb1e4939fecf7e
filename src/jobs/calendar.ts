/** Days and months in UTC. Pure. */

export const MINUTE_MS = 60_000;
export const HOUR_MS = 3_600_000;
export const DAY_MS = 86_400_000;
export const WEEK_MS = 7 * DAY_MS;
/** The epoch was a Thursday; weeks begin on Mondays. */
export const A_MONDAY_MS = Date.UTC(1970, 0, 5);

/** `YYYY-MM-DD`. */
export function dayOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 10);
}

/** Midnight before, or at, a time. */
export function startOfDayMs(atMs: number): number {
  return Math.floor(atMs / DAY_MS) * DAY_MS;
}

/** The first of a month, some months after the one that a time lies in. */
export function startOfMonth(atMs: number, monthsLater: number): Date {
  const date = new Date(atMs);
  return new Date(Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + monthsLater, 1));
}
