import { beforeAll, describe, expect, test, vi } from "vitest";
import { HOUR_MS } from "#src/jobs/calendar.ts";
import type { Job } from "#src/jobs/job.ts";
import { runDue, runNow, type Surroundings } from "#src/jobs/run.ts";
import { inSession } from "#src/postgres/session.ts";
import { freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { cutAt, NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
});

const hour = (offset: number) => ({ startMs: NOW_MS + offset * HOUR_MS, endMs: NOW_MS + (offset + 1) * HOUR_MS });

/** An hourly job of its own name that does what it is given, and the periods that it was run for. */
function jobOf(does: (turn: number) => unknown = () => ({})) {
  const ran: number[] = [];
  const job: Job = {
    name: `test-${crypto.randomUUID()}`,
    does: "as the test says",
    schedule: { everyMs: HOUR_MS, anchorMs: 0, afterMs: 0, catchUp: 4 },
    work: async (_, { startMs }) => {
      ran.push((startMs - NOW_MS) / HOUR_MS);
      return { result: { turn: ran.length, ...((await does(ran.length)) ?? {}) }, report: { of: startMs } };
    },
  };
  return { job, ran };
}
const at = (hours: number, changed: Partial<Surroundings> = {}): Surroundings =>
  surroundingsOn(database, { now: () => NOW_MS + hours * HOUR_MS, ...changed });
const recordOf = ({ name }: Job) =>
  database.rows("SELECT * FROM job_runs WHERE name = $1 ORDER BY period_start", [name]);
const iso = (ms: number): string => new Date(ms).toISOString().replace(".000Z", "+00:00");

describe("a run", () => {
  test("is on record, with its report", async () => {
    const { job } = jobOf();
    expect(await runNow(job, hour(-1), at(0))).toMatchObject({ kind: "done", attempt: 1, result: { turn: 1 } });
    expect(await recordOf(job)).toEqual([
      {
        name: job.name,
        period_start: iso(NOW_MS - HOUR_MS),
        period_end: iso(NOW_MS),
        state: "done",
        attempts: 1,
        started_at: iso(NOW_MS),
        finished_at: iso(NOW_MS),
        result: { turn: 1 },
        reason: null,
      },
    ]);
    const reports = await database.rows("SELECT period_start, period_end, body FROM reports WHERE kind = $1", [
      job.name,
    ]);
    expect(reports).toEqual([
      { period_start: iso(NOW_MS - HOUR_MS), period_end: iso(NOW_MS), body: { of: NOW_MS - HOUR_MS } },
    ]);
  });

  test("is on record while it runs, and nobody else's runs meanwhile", async () => {
    const begun = Promise.withResolvers<void>();
    const ending = Promise.withResolvers<void>();
    const slow = jobOf(() => {
      begun.resolve();
      return ending.promise;
    });
    const other = jobOf();
    const running = runNow(slow.job, hour(-1), at(0));
    await begun.promise;
    expect(await recordOf(slow.job)).toMatchObject([{ state: "running", finished_at: null }]);
    expect(await runNow(slow.job, hour(-1), at(0))).toEqual({ kind: "busy" });
    expect(await runDue(other.job, at(0))).toEqual({ kind: "busy" });
    expect(other.ran).toEqual([]);
    ending.resolve();
    expect(await running).toMatchObject({ kind: "done" });
    expect(await runDue(other.job, at(0))).toMatchObject({ kind: "done" });
    expect(slow.ran).toHaveLength(1);
  });

  test("waits for another one that ends soon", async () => {
    const begun = Promise.withResolvers<void>();
    const slow = jobOf(async () => {
      begun.resolve();
      await new Promise((resolve) => setTimeout(resolve, 100));
    });
    const running = runNow(slow.job, hour(-1), at(0));
    await begun.promise;
    expect(await runNow(jobOf().job, hour(-1), at(0, { lockWithinMs: 5_000 }))).toMatchObject({ kind: "done" });
    await running;
  });

  test("that fails says why, without a report, and is tried again after a while", async () => {
    const { job, ran } = jobOf((turn) => {
      if (turn === 1) throw new Error(`no${"!".repeat(1_000)}`);
    });
    expect(await runDue(job, at(0))).toMatchObject({ kind: "failed", attempt: 1 });
    const [failed] = await recordOf(job);
    expect(failed).toMatchObject({
      state: "failed",
      result: null,
      reason: expect.stringMatching(/^Error: no!{490,}$/),
    });
    expect(await database.rows("SELECT FROM reports WHERE kind = $1", [job.name])).toEqual([]);
    expect(await runDue(job, at(1 / 120))).toEqual({ kind: "known" });
    expect(await runDue(job, at(1 / 60))).toMatchObject({ kind: "done", attempt: 2 });
    expect(ran).toEqual([-1, -1]);
    expect(await recordOf(job)).toMatchObject([{ state: "done", attempts: 2, reason: null }]);
  });

  test("that died is taken up again, when its lock is free and some minutes are over", async () => {
    const { job, ran } = jobOf();
    // The lock takes three statements; the fourth reads what has run, and after the fifth the run is on record.
    const { surroundings, statements } = cutAt(at(0), 4, "after");
    await expect(runDue(job, surroundings)).rejects.toThrow("Connection terminated");
    expect(statements()).toBe(5);
    expect(await recordOf(job)).toMatchObject([{ state: "running", attempts: 1 }]);
    expect(await runDue(job, at(0.05))).toEqual({ kind: "known" });
    expect(await runDue(job, at(0.1))).toMatchObject({ kind: "done", attempt: 2 });
    expect(ran).toEqual([-1]);
  });

  test("whose connection the server ends gives its lock back", async () => {
    const begun = Promise.withResolvers<void>();
    const { job } = jobOf(() => {
      begun.resolve();
      return new Promise(() => undefined);
    });
    const hanging = runNow(job, hour(-1), at(0)).catch((cause: unknown) => cause);
    await begun.promise;
    await database.query((session) =>
      session.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pg_advisory_xact_lock%'`,
      ),
    );
    expect(await runNow(jobOf().job, hour(-1), at(0))).toMatchObject({ kind: "done" });
    void hanging;
  });
});

describe("what is due", () => {
  test("is run once", async () => {
    const { job, ran } = jobOf();
    for (const hours of [0, 0, 0.5]) await runDue(job, at(hours));
    expect(ran).toEqual([-1]);
  });

  test("and was missed is run oldest first, as far back as is caught up", async () => {
    const { job, ran } = jobOf();
    await runDue(job, at(0));
    await runDue(job, at(3));
    expect(ran).toEqual([-1, 0, 1, 2]);
    await runDue(job, at(9));
    expect(ran.slice(4)).toEqual([5, 6, 7, 8]);
  });

  test("waits behind what fails, and goes on from there", async () => {
    const { job, ran } = jobOf((turn) => {
      if (turn === 3) throw new Error("no");
    });
    await runDue(job, at(0));
    expect(await runDue(job, at(3))).toMatchObject({ kind: "failed" });
    expect(ran).toEqual([-1, 0, 1]);
    expect(await runDue(job, at(3.5))).toMatchObject({ kind: "done" });
    expect(ran).toEqual([-1, 0, 1, 1, 2]);
  });

  test("is begun for eight minutes; the rest is left to the next message", async () => {
    let nowMs = NOW_MS;
    const { job, ran } = jobOf(() => {
      nowMs += 5 * 60_000;
    });
    await runDue(job, at(0));
    nowMs = NOW_MS + 4 * HOUR_MS;
    await runDue(job, surroundingsOn(database, { now: () => nowMs }));
    expect(ran).toEqual([-1, 0, 1]);
  });

  test("was run by somebody else meanwhile: the record decides, and not what was read before", async () => {
    const { job, ran } = jobOf();
    const stale: Surroundings["connect"] = (work, bounds) =>
      inSession(
        database.connectionString,
        (session) => {
          const query = async (text: string, values?: unknown[]) =>
            text.includes("unnest") ? { rows: [] } : session.query(text, values);
          return work({ query } as unknown as typeof session);
        },
        bounds,
      );
    await runDue(job, at(0, { connect: stale }));
    expect(await runDue(job, at(0, { connect: stale }))).toEqual({ kind: "known" });
    expect(ran).toEqual([-1]);
  });
});

describe("by hand", () => {
  test("a period that was run is run again", async () => {
    const { job, ran } = jobOf();
    await runDue(job, at(0));
    expect(await runNow(job, hour(-1), at(0))).toMatchObject({ kind: "done", attempt: 2, result: { turn: 2 } });
    expect(ran).toEqual([-1, -1]);
    expect(await runDue(job, at(0))).toEqual({ kind: "known" });
  });

  test("a period that is not over yet is run again when it is", async () => {
    const { job, ran } = jobOf();
    await runNow(job, { startMs: NOW_MS, endMs: NOW_MS + HOUR_MS / 2 }, at(0.5));
    expect(await runDue(job, at(0.9))).toEqual({ kind: "known" });
    expect(await runDue(job, at(1))).toMatchObject({ kind: "done", attempt: 2 });
    expect(ran).toEqual([0, 0]);
    expect(await recordOf(job)).toMatchObject([{ period_end: iso(NOW_MS + HOUR_MS) }]);
    expect(await database.rows("SELECT period_end FROM reports WHERE kind = $1", [job.name])).toEqual([
      { period_end: iso(NOW_MS + HOUR_MS) },
    ]);
  });
});

test("without a database it says so", async () => {
  const nowhere = surroundingsOn({ ...database, connectionString: "postgres://nobody:nothing@127.0.0.1:1/none" });
  await expect(runDue(jobOf().job, nowhere)).rejects.toThrow();
});
