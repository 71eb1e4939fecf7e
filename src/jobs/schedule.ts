/**
 * When a job is due. Time is cut into periods of one length, in UTC; a period is run once it has ended, and one that
 * was missed is caught up, within bounds. Pure: what has run and what time it is are arguments.
 */

export type Schedule = {
  /** Length of a period. */
  readonly everyMs: number;
  /** Where periods begin: any one's start, ms since the epoch. */
  readonly anchorMs: number;
  /** How long after its end a period is run: by then its events are in the ledger. */
  readonly afterMs: number;
  /** How many periods are caught up at most, the newest included. */
  readonly catchUp: number;
};

/** From its start, inclusive, to its end, exclusive; ms since the epoch. */
export type Period = { readonly startMs: number; readonly endMs: number };

export type KnownRun = {
  readonly startMs: number;
  /** Earlier than the period's end where the run was made, by hand, before the period was over. */
  readonly endMs: number;
  readonly state: "running" | "done" | "failed";
  readonly attempts: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number | null;
};

export type History = {
  /** Start of the first period that was ever run; null when none was. */
  readonly firstMs: number | null;
  /** Runs since `caughtUpSinceMs`. Older ones may be among them. */
  readonly runs: readonly KnownRun[];
};

/** A run that has not ended by then has most likely died. Should it live, its lock keeps it alone. */
const TAKEN_UP_AFTER_MS = 5 * 60_000;
/** Between attempts of a period that fails: doubled from the first to the last. */
const RETRY_MS = { first: 60_000, last: 3_600_000 };

/** The period that a time lies in. */
export function periodAt({ everyMs, anchorMs }: Schedule, atMs: number): Period {
  const startMs = atMs - ((((atMs - anchorMs) % everyMs) + everyMs) % everyMs);
  return { startMs, endMs: startMs + everyMs };
}

/** Start of the oldest period that is still caught up. */
export function caughtUpSinceMs(schedule: Schedule, nowMs: number): number {
  return newestReady(schedule, nowMs).startMs - (schedule.catchUp - 1) * schedule.everyMs;
}

/**
 * The periods to run now, oldest first.
 *
 * A job that never ran begins with the newest period: of the time before nothing is known.
 */
export function duePeriods(schedule: Schedule, { firstMs, runs }: History, nowMs: number): Period[] {
  const newest = newestReady(schedule, nowMs);
  if (firstMs === null) return [newest];
  const due: Period[] = [];
  const sinceMs = Math.max(caughtUpSinceMs(schedule, nowMs), periodAt(schedule, firstMs).startMs);
  for (let startMs = sinceMs; startMs <= newest.startMs; startMs += schedule.everyMs) {
    const period = { startMs, endMs: startMs + schedule.everyMs };
    const run = runs.find((known) => known.startMs === startMs);
    if (run === undefined || isDueAgain(run, period, nowMs)) due.push(period);
  }
  return due;
}

/** When the next period that has not ended yet will be run, ms since the epoch. */
export function nextRunAtMs(schedule: Schedule, nowMs: number): number {
  return newestReady(schedule, nowMs).endMs + schedule.everyMs + schedule.afterMs;
}

/** The newest period whose run may begin. */
function newestReady(schedule: Schedule, nowMs: number): Period {
  const { startMs } = periodAt(schedule, nowMs - schedule.afterMs);
  return { startMs: startMs - schedule.everyMs, endMs: startMs };
}

function isDueAgain(run: KnownRun, period: Period, nowMs: number): boolean {
  if (run.state === "done") return run.endMs < period.endMs;
  if (run.state === "running") return nowMs >= run.startedAtMs + TAKEN_UP_AFTER_MS;
  const waitMs = Math.min(RETRY_MS.last, RETRY_MS.first * 2 ** Math.max(0, run.attempts - 1));
  return nowMs >= (run.finishedAtMs ?? run.startedAtMs) + waitMs;
}
