/** How each model performed on each host in a week. Exact percentiles over every request, not means of hours'. */
import { readPerformance } from "#src/postgres/model-metrics.ts";
import { A_MONDAY_MS, HOUR_MS, WEEK_MS } from "./calendar.ts";
import type { Job, JobWorld, Outcome } from "./job.ts";
import type { Period } from "./schedule.ts";

export const modelPerformance: Job = {
  name: "model-performance",
  does: "first token, latency, speed and errors of models on hosts",
  schedule: { everyMs: WEEK_MS, anchorMs: A_MONDAY_MS, afterMs: 2 * HOUR_MS, catchUp: 4 },
  work,
};

async function work({ session }: JobWorld, period: Period): Promise<Outcome> {
  const models = await readPerformance(session, period.startMs, period.endMs);
  const requests = models.reduce((sum, row) => sum + row.requests, 0);
  const errors = models.reduce((sum, row) => sum + row.errors, 0);
  const result = { requests, errors, error_rate: requests === 0 ? null : errors / requests, rows: models.length };
  return { result, report: { models } };
}
