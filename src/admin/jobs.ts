/**
 * `/admin/jobs`: the batch jobs with their last runs, and running one now. By hand a job is run for the period that is
 * going on, as far as it has come, or again for one of those that the schedule would still catch up; the run is on
 * record like any other, and one that was made before its period was over is made again by the schedule.
 */
import { z } from "zod";
import { askDatabase } from "#src/ingress/ask-database.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { queryOf, wrongField } from "#src/ingress/fields.ts";
import { type Act, recordAct } from "#src/ingress/record.ts";
import type { Job } from "#src/jobs/job.ts";
import { JOBS, jobNamed } from "#src/jobs/jobs.ts";
import { runNow } from "#src/jobs/run.ts";
import { caughtUpSinceMs, nextRunAtMs, type Period, periodAt } from "#src/jobs/schedule.ts";
import { surroundingsOf } from "#src/jobs/surroundings.ts";
import { type JobRun, readNewestRuns } from "#src/postgres/job-runs.ts";
import { asProblem, Problem } from "#src/problem.ts";

const RETRY_AFTER_S = 5;

/** @throws Problem `unavailable` */
export async function listJobs(call: KnownCall): Promise<Response> {
  const names = JOBS.map(({ name }) => name);
  const runs = await askDatabase(call, (session) => readNewestRuns(session, names));
  const data = JOBS.map(({ name, does, schedule }) => {
    const run = runs.find((newest) => newest.name === name);
    return {
      name,
      does,
      every_s: schedule.everyMs / 1000,
      next_run_at: iso(nextRunAtMs(schedule, call.arrivedAtMs)),
      last_run: run === undefined ? null : shown(run),
    };
  });
  return Response.json({ data });
}

const query = z.strictObject({
  /** Any time within the period. */
  period: z.iso.datetime({ offset: true, error: "a time such as 2026-11-21T08:00:00Z; write + as %2B" }).optional(),
});

/**
 * `POST /admin/jobs/{name}`: runs the job and answers with its result, and its report where it makes one.
 *
 * @throws Problem `job_not_found`, `invalid_value`, `job_running`, `job_failed` or `unavailable`
 */
export async function runJob(call: KnownCall, parameter: string): Promise<Response> {
  const job = jobNamed(parameter);
  if (job === undefined) {
    const message = `There is no job of this name. There are ${JOBS.map(({ name }) => name).join(", ")}.`;
    throw new Problem("job_not_found", { message });
  }
  const period = periodOf(job, queryOf(query, call.request.url).period, Date.now());
  const act = { action: "job.run", target: job.name };
  const detail = { period: iso(period.startMs) };
  try {
    const { kind: _kind, attempt, tookMs, ...outcome } = await ran(call, job, period);
    recordAct(call, { ...act, outcome: "ok", detail: { ...detail, attempt } } satisfies Act);
    const times = { period_start: iso(period.startMs), period_end: iso(period.endMs) };
    return Response.json({ name: job.name, ...times, attempt, took_ms: tookMs, ...outcome });
  } catch (thrown) {
    recordAct(call, { ...act, outcome: "failed", detail: { ...detail, code: asProblem(thrown).code } } satisfies Act);
    throw thrown;
  }
}

async function ran({ env }: KnownCall, job: Job, period: Period) {
  const result = await runNow(job, period, surroundingsOf(env)).catch((cause: unknown) => {
    const message = "The database cannot be reached. Try again; a run that was cut off is taken up again.";
    throw new Problem("unavailable", { message, retryAfterS: RETRY_AFTER_S, cause });
  });
  if (result.kind === "done") return result;
  if (result.kind === "failed")
    throw new Problem("job_failed", { message: `The job failed: ${result.reason}`, cause: result.reason });
  throw new Problem("job_running", { retryAfterS: RETRY_AFTER_S });
}

/** The period that a time lies in, or the one that is going on; at most until now. */
function periodOf({ schedule }: Job, asked: string | undefined, nowMs: number): Period {
  const { startMs, endMs } = periodAt(schedule, asked === undefined ? nowMs : Date.parse(asked));
  if (startMs > nowMs) throw wrongField("period", "it has not begun yet");
  const sinceMs = caughtUpSinceMs(schedule, nowMs);
  if (startMs < sinceMs) throw wrongField("period", `this job can be run for periods from ${iso(sinceMs)} on`);
  return { startMs, endMs: Math.min(endMs, nowMs) };
}

function shown({ startMs, endMs, state, attempts, startedAtMs, finishedAtMs, result, reason }: JobRun) {
  return {
    period_start: iso(startMs),
    period_end: iso(endMs),
    state,
    attempts,
    started_at: iso(startedAtMs),
    finished_at: finishedAtMs === null ? null : iso(finishedAtMs),
    result,
    reason,
  };
}

function iso(atMs: number): string {
  return new Date(atMs).toISOString();
}
