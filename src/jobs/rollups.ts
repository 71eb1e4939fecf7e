/**
 * Keeps `usage_day` and `model_metrics` in step with what came in: days and hours with news are reckoned anew, as a
 * whole. How far the news was heard is left in the run's result for the next run; which period it is does not matter.
 */

import { readLeft } from "#src/postgres/job-runs.ts";
import { reckonHour } from "#src/postgres/model-metrics.ts";
import { readChangedHours, reckonDay } from "#src/postgres/usage-day.ts";
import { MINUTE_MS } from "./calendar.ts";
import type { Job, JobWorld, Outcome } from "./job.ts";

export const rollups: Job = {
  name: "rollups",
  does: "daily sums and hourly metrics from what came in",
  // One run makes up for all that were missed.
  schedule: { everyMs: 5 * MINUTE_MS, anchorMs: 0, afterMs: 0, catchUp: 1 },
  work,
};

async function work({ session }: JobWorld): Promise<Outcome> {
  const { asOf, hours } = await readChangedHours(session, await readLeft(session, rollups.name, "as_of"));
  const days = [...new Set(hours.map((hour) => hour.slice(0, "YYYY-MM-DD".length)))];
  let changed = 0;
  for (const day of days) changed += await reckonDay(session, day);
  for (const hour of hours) await reckonHour(session, hour);
  return { result: { as_of: asOf, days: days.length, hours: hours.length, changed_rows: changed }, report: null };
}
