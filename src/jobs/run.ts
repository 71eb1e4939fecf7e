/**
 * Runs jobs: one at a time under a lock that dies with the run, each period on record. A run that died or failed is
 * taken up again; a period that was run whole is not run again unless somebody asks for it.
 */
import { alone, beginRun, failRun, finishRun, readHistories } from "#src/postgres/job-runs.ts";
import type { Bounds, Session } from "#src/postgres/session.ts";
import type { Job, JobWorld, Outcome } from "./job.ts";
import { caughtUpSinceMs, duePeriods, type Period } from "./schedule.ts";

/** A queue's consumer may take fifteen minutes. */
const RUN_WITHIN_MS = 12 * 60_000;
/** Periods that were missed are begun until then. */
const CATCH_UP_WITHIN_MS = 8 * 60_000;
/** Below what a pool in between allows (60 s). A week of requests is sorted by one statement. */
const STATEMENT_WITHIN_MS = 55_000;
/** A reason is for reading. */
const LONGEST_REASON = 500;

/** What running needs of the outside; the session is added per run. */
export type Surroundings = Omit<JobWorld, "session"> & {
  readonly connect: <T>(work: (session: Session) => Promise<T>, bounds: Bounds) => Promise<T>;
  /** How long another job's run is waited for. */
  readonly lockWithinMs: number;
};

export type Ran =
  | ({ readonly kind: "done"; readonly attempt: number; readonly tookMs: number } & Outcome)
  | { readonly kind: "failed"; readonly attempt: number; readonly reason: string }
  /** It was run whole before, and nobody wants it again. */
  | { readonly kind: "known" }
  /** Another job runs. */
  | { readonly kind: "busy" };

/**
 * Runs one period, whole or so far, whatever was run before.
 *
 * @throws what the database throws when it cannot be reached
 */
export function runNow(job: Job, period: Period, surroundings: Surroundings): Promise<Ran> {
  return underLock(surroundings, (session) => runPeriod(job, period, true, session, surroundings));
}

/**
 * Runs what is due of a job, oldest first, and stops at what fails.
 *
 * @throws what the database throws when it cannot be reached
 */
export function runDue(job: Job, surroundings: Surroundings): Promise<Ran> {
  const { now } = surroundings;
  const beganMs = now();
  return underLock(surroundings, async (session) => {
    const { name, schedule } = job;
    const wanted = [{ name, sinceMs: caughtUpSinceMs(schedule, beganMs) }];
    const history = (await readHistories(session, wanted)).get(name) ?? { firstMs: null, runs: [] };
    let ran: Ran = { kind: "known" };
    for (const period of duePeriods(schedule, history, beganMs)) {
      if (now() > beganMs + CATCH_UP_WITHIN_MS) break;
      ran = await runPeriod(job, period, false, session, surroundings);
      if (ran.kind === "failed") break;
    }
    return ran;
  });
}

/** A connection for the lock and one for the work: the lock is a transaction, and the work has its own. */
async function underLock(
  { connect, lockWithinMs }: Surroundings,
  work: (session: Session) => Promise<Ran>,
): Promise<Ran> {
  const bounds = { withinMs: RUN_WITHIN_MS, statementWithinMs: STATEMENT_WITHIN_MS };
  const ran = await connect((session) => alone(session, lockWithinMs, () => connect(work, bounds)), bounds);
  return ran ?? { kind: "busy" };
}

async function runPeriod(
  job: Job,
  period: Period,
  again: boolean,
  session: Session,
  surroundings: Surroundings,
): Promise<Ran> {
  const { now } = surroundings;
  const beganMs = now();
  const attempt = await beginRun(session, job.name, period, again, beganMs);
  if (attempt === null) return { kind: "known" };
  const facts = { at: "jobs.run", job: job.name, period: new Date(period.startMs).toISOString(), attempt };
  try {
    const outcome = await job.work({ ...surroundings, session }, period);
    await finishRun(session, job.name, period, outcome, now());
    const tookMs = now() - beganMs;
    console.log(JSON.stringify({ ...facts, tookMs }));
    return { kind: "done", attempt, tookMs, ...outcome };
  } catch (cause) {
    const reason = String(cause).slice(0, LONGEST_REASON);
    console.error(JSON.stringify({ ...facts, reason }));
    // The connection may be what failed; then the run stays on record as one that died.
    await failRun(session, job.name, period.startMs, reason, now()).catch(() => undefined);
    return { kind: "failed", attempt, reason };
  }
}
