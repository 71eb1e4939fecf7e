/** The cron's part: one question to the database, and a message for every job that has something due. */
import type { Env } from "#src/env.ts";
import { readHistories } from "#src/postgres/job-runs.ts";
import { inSession } from "#src/postgres/session.ts";
import { JOBS } from "./jobs.ts";
import { caughtUpSinceMs, duePeriods } from "./schedule.ts";

/** A message of the queue `jobs`. It names no period: whoever runs the job sees for itself what is due by then. */
export type JobMessage = { readonly v: 1; readonly job: string };

/** The cron must not pile up. */
const DATABASE_WITHIN_MS = 10_000;

/** Never throws: what cannot be asked or sent now is still due in a minute. */
export async function enqueueDueJobs(env: Pick<Env, "HYPERDRIVE" | "JOBS">, nowMs: number): Promise<void> {
  try {
    const wanted = JOBS.map(({ name, schedule }) => ({ name, sinceMs: caughtUpSinceMs(schedule, nowMs) }));
    const histories = await inSession(env.HYPERDRIVE.connectionString, (session) => readHistories(session, wanted), {
      withinMs: DATABASE_WITHIN_MS,
    });
    const due = JOBS.filter(({ name, schedule }) => {
      return duePeriods(schedule, histories.get(name) ?? { firstMs: null, runs: [] }, nowMs).length > 0;
    });
    if (due.length > 0)
      await env.JOBS.sendBatch(due.map(({ name }) => ({ body: { v: 1, job: name } satisfies JobMessage })));
  } catch (cause) {
    console.error(JSON.stringify({ at: "jobs.enqueue", cause: String(cause) }));
  }
}
