/**
 * Lets go of what has been kept long enough, and makes room for what is to come. Content and addresses are cleared
 * day by day, once; hours to which rows came late are cleared again.
 */
import { forgetRuns, readLeft } from "#src/postgres/job-runs.ts";
import {
  clearContent,
  dropPartitions,
  ensurePartitions,
  forgetDeadLetters,
  readHoursToClear,
  silenceDeadLetters,
  type Unit,
} from "#src/postgres/retention.ts";
import type { Session } from "#src/postgres/session.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS, startOfDayMs, startOfMonth } from "./calendar.ts";
import type { Job, JobWorld, Outcome } from "./job.ts";

const CONTENT_DAYS = 30;
const INFERENCE_DAYS = 90;
const YEAR_DAYS = 365;
const REPORTS_DAYS = 5 * YEAR_DAYS + 1;

const TABLES: readonly { readonly table: string; readonly unit: Unit; readonly days: number }[] = [
  { table: "inference_logs", unit: "day", days: INFERENCE_DAYS },
  { table: "audit_log", unit: "month", days: YEAR_DAYS },
  { table: "usage_minute", unit: "month", days: YEAR_DAYS },
  { table: "usage_day", unit: "month", days: YEAR_DAYS },
  { table: "model_metrics", unit: "month", days: YEAR_DAYS },
  { table: "host_state", unit: "month", days: YEAR_DAYS },
  { table: "feedback", unit: "month", days: YEAR_DAYS },
  { table: "reports", unit: "year", days: REPORTS_DAYS },
];
const DAYS_AHEAD = 14;
const MONTHS_AHEAD = 2;
/** So much of a day is cleared by one statement: ten minutes of a thousand requests a second take it a few seconds. */
const CLEAR_AT_ONCE_MS = 10 * MINUTE_MS;

export const retention: Job = {
  name: "retention",
  does: "drops what was kept long enough, makes partitions ahead",
  // One run makes up for all that were missed. At three at night, when the day's other jobs have read what they need.
  schedule: { everyMs: DAY_MS, anchorMs: 0, afterMs: 3 * HOUR_MS, catchUp: 1 },
  work,
};

async function work({ session, now }: JobWorld): Promise<Outcome> {
  const nowMs = now();
  let made = 0;
  const dropped: string[] = [];
  for (const { table, unit, days } of TABLES) {
    made += await ensurePartitions(session, table, unit, new Date(nowMs), lastAhead(unit, nowMs));
    dropped.push(...(await dropPartitions(session, table, new Date(startOfDayMs(nowMs - days * DAY_MS)))));
  }
  const cleared = await clearOld(session, nowMs);
  const silenced = await silenceDeadLetters(session, new Date(startOfDayMs(nowMs - CONTENT_DAYS * DAY_MS)));
  const deadLetters = await forgetDeadLetters(session, new Date(nowMs - YEAR_DAYS * DAY_MS));
  const runs = await forgetRuns(session, new Date(nowMs - REPORTS_DAYS * DAY_MS));
  const counts = { partitions_made: made, partitions_dropped: dropped.length, dropped };
  return {
    result: {
      ...counts,
      ...cleared,
      dead_letters_cleared: silenced,
      dead_letters_dropped: deadLetters,
      runs_dropped: runs,
    },
    report: null,
  };
}

function lastAhead(unit: Unit, nowMs: number): Date {
  if (unit === "day") return new Date(nowMs + DAYS_AHEAD * DAY_MS);
  return unit === "month" ? startOfMonth(nowMs, MONTHS_AHEAD) : startOfMonth(nowMs, 12);
}

/** Clears whole days that ended long enough ago: hours that were not cleared before, and those that got late rows. */
async function clearOld(session: Session, nowMs: number): Promise<Record<string, unknown>> {
  const beforeMs = startOfDayMs(nowMs - CONTENT_DAYS * DAY_MS);
  const cleared = await readLeft(session, retention.name, "cleared_before");
  const since = await readLeft(session, retention.name, "as_of");
  const { asOf, hours } = await readHoursToClear(session, new Date(beforeMs), cleared, since);
  let rows = 0;
  for (const hourMs of hours) {
    for (let atMs = hourMs; atMs < hourMs + HOUR_MS; atMs += CLEAR_AT_ONCE_MS)
      rows += await clearContent(session, new Date(atMs), new Date(atMs + CLEAR_AT_ONCE_MS));
  }
  return {
    as_of: asOf,
    cleared_before: new Date(beforeMs).toISOString(),
    hours_cleared: hours.length,
    rows_cleared: rows,
  };
}
