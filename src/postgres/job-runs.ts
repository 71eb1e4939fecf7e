/**
 * `job_runs`: which periods of which jobs ran, and how that ended. And the lock under which one job runs at a time,
 * which dies with the connection that holds it, and so with the run.
 */
import { z } from "zod";
import { at, ms } from "./milliseconds.ts";
import type { Session } from "./session.ts";

const runRow = z.object({
  name: z.string(),
  startMs: z.number(),
  endMs: z.number(),
  state: z.enum(["running", "done", "failed"]),
  attempts: z.number(),
  startedAtMs: z.number(),
  finishedAtMs: z.number().nullable(),
  result: z.record(z.string(), z.unknown()).nullable(),
  reason: z.string().nullable(),
});
export type JobRun = z.infer<typeof runRow>;

const COLUMNS = `
  r.name, ${ms("r.period_start")} AS "startMs", ${ms("r.period_end")} AS "endMs", r.state, r.attempts,
  ${ms("r.started_at")} AS "startedAtMs", ${ms("r.finished_at")} AS "finishedAtMs"`;

/** Any number that nothing else in this database locks. */
const LOCK = 7_203_411_877;

/**
 * Does work while no other job runs.
 *
 * The lock belongs to a transaction, because a pool in between may give every transaction another connection.
 *
 * @param session used for nothing else meanwhile
 * @param waitMs how long to wait for another job; less than the session's bound for one statement
 * @returns null when that one took longer, and nothing was done
 */
export async function alone<T>(session: Session, waitMs: number, work: () => Promise<T>): Promise<T | null> {
  await session.query("BEGIN");
  try {
    // The lock's own transaction idles while the work runs on another connection.
    const bounds =
      "SELECT set_config('lock_timeout', $1, true), set_config('idle_in_transaction_session_timeout', '0', true)";
    await session.query(bounds, [String(waitMs)]);
    await session.query("SELECT pg_advisory_xact_lock($1)", [LOCK]);
  } catch (cause) {
    await session.query("ROLLBACK");
    if (isLockTimeout(cause)) return null;
    throw cause;
  }
  try {
    return await work();
  } finally {
    // A connection that is gone has given the lock back already.
    await session.query("COMMIT").catch(() => undefined);
  }
}

/** SQLSTATE `lock_not_available`. */
function isLockTimeout(cause: unknown): boolean {
  return cause instanceof Error && "code" in cause && cause.code === "55P03";
}

const BEGIN = `
  INSERT INTO job_runs AS r (name, period_start, period_end, state, attempts, started_at)
  VALUES ($1, ${at("$2")}, ${at("$3")}, 'running', 1, ${at("$4")})
  ON CONFLICT (name, period_start) DO UPDATE SET
    period_end = excluded.period_end, state = 'running', attempts = r.attempts + 1, started_at = excluded.started_at,
    finished_at = NULL, result = NULL, reason = NULL
  WHERE $5 OR r.state <> 'done' OR r.period_end < excluded.period_end
  RETURNING r.attempts`;

/**
 * Notes that a period's run begins.
 *
 * @param again also where the whole period was run before
 * @returns which attempt it is; null when it was run and nobody wants it again
 */
export async function beginRun(
  session: Session,
  name: string,
  period: { readonly startMs: number; readonly endMs: number },
  again: boolean,
  nowMs: number,
): Promise<number | null> {
  const { rows } = await session.query<{ attempts: number }>(BEGIN, [name, period.startMs, period.endMs, nowMs, again]);
  return rows[0]?.attempts ?? null;
}

const FINISH = `
  WITH report AS (
    INSERT INTO reports (kind, period_start, period_end, body, created_at)
    SELECT $1, ${at("$2")}, ${at("$3")}, $6::jsonb, now() WHERE $6::jsonb IS NOT NULL
    ON CONFLICT (kind, period_start) DO UPDATE SET
      period_end = excluded.period_end, body = excluded.body, created_at = excluded.created_at
  )
  UPDATE job_runs r SET state = 'done', finished_at = ${at("$4")}, result = $5::jsonb
  WHERE r.name = $1 AND r.period_start = ${at("$2")}`;

/** Notes that a run is done, and keeps its report, if it made one: both or neither. */
export async function finishRun(
  session: Session,
  name: string,
  period: { readonly startMs: number; readonly endMs: number },
  { result, report }: { readonly result: object; readonly report: object | null },
  nowMs: number,
): Promise<void> {
  const values = [period.startMs, period.endMs, nowMs, JSON.stringify(result)];
  await session.query(FINISH, [name, ...values, report === null ? null : JSON.stringify(report)]);
}

const FAIL = `
  UPDATE job_runs r SET state = 'failed', finished_at = ${at("$3")}, reason = $4
  WHERE r.name = $1 AND r.period_start = ${at("$2")}`;

/** Notes that a run failed. */
export async function failRun(
  session: Session,
  name: string,
  startMs: number,
  reason: string,
  nowMs: number,
): Promise<void> {
  await session.query(FAIL, [name, startMs, nowMs, reason]);
}

const HISTORY = `
  SELECT w.name AS job, ${ms("f.first")} AS "firstMs", ${COLUMNS}, NULL::jsonb AS result, NULL::text AS reason
  FROM unnest($1::text[], $2::double precision[]) AS w (name, since_ms)
  LEFT JOIN LATERAL (SELECT min(j.period_start) AS first FROM job_runs j WHERE j.name = w.name) AS f ON true
  LEFT JOIN job_runs r ON r.name = w.name AND r.period_start >= ${at("w.since_ms")}
  ORDER BY w.name, r.period_start`;

const historyRow = z.object({ job: z.string(), firstMs: z.number().nullable() });

export type JobHistory = { readonly firstMs: number | null; readonly runs: readonly JobRun[] };

/** What is known of some jobs' runs since a time for each, by name. */
export async function readHistories(
  session: Session,
  wanted: readonly { readonly name: string; readonly sinceMs: number }[],
): Promise<ReadonlyMap<string, JobHistory>> {
  const values = [wanted.map(({ name }) => name), wanted.map(({ sinceMs }) => sinceMs)];
  const { rows } = await session.query<Record<string, unknown>>(HISTORY, values);
  const histories = new Map<string, { firstMs: number | null; runs: JobRun[] }>();
  for (const row of rows) {
    const { job, firstMs } = historyRow.parse(row);
    const history = histories.get(job) ?? { firstMs, runs: [] };
    if (row.name !== null) history.runs.push(runRow.parse(row));
    histories.set(job, history);
  }
  return histories;
}

const NEWEST = `
  SELECT ${COLUMNS}, r.result, r.reason
  FROM unnest($1::text[]) AS w (name)
  JOIN LATERAL (SELECT * FROM job_runs j WHERE j.name = w.name ORDER BY j.period_start DESC LIMIT 1) AS r ON true`;

/** Of each job the run of its newest period. */
export async function readNewestRuns(session: Session, names: readonly string[]): Promise<JobRun[]> {
  const { rows } = await session.query(NEWEST, [names]);
  return z.array(runRow).parse(rows);
}

const LAST_RESULT = `
  SELECT r.result FROM job_runs r
  WHERE r.name = $1 AND r.state = 'done' AND r.result ? $2
  ORDER BY r.period_start DESC LIMIT 1`;

/** A member of the newest result that has it: what a run leaves for the next one. Null when there is none. */
export async function readLeft(session: Session, name: string, member: string): Promise<string | null> {
  const { rows } = await session.query<{ result: Record<string, unknown> }>(LAST_RESULT, [name, member]);
  const left = rows[0]?.result[member];
  return typeof left === "string" ? left : null;
}

const FORGET = "DELETE FROM job_runs WHERE period_start < $1";

/** Forgets runs of periods before a time. @returns how many */
export async function forgetRuns(session: Session, before: Date): Promise<number> {
  return (await session.query(FORGET, [before])).rowCount ?? 0;
}
