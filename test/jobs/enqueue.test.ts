import type { env } from "cloudflare:workers";
import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "#src/jobs/calendar.ts";
import { enqueueDueJobs } from "#src/jobs/enqueue.ts";
import type { Job } from "#src/jobs/job.ts";
import { JOBS } from "#src/jobs/jobs.ts";
import { runDue, type Surroundings } from "#src/jobs/run.ts";
import { emptied, freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

let database: TestDatabase;
let logged: string[] = [];
beforeAll(async () => {
  database = await freshDatabase();
  vi.spyOn(console, "log").mockReturnValue();
  vi.spyOn(console, "error").mockImplementation((line: string) => {
    logged.push(line);
  });
});
beforeEach(async () => {
  logged = [];
  await emptied(database);
});

/** One minute of the cron: what it sends. */
async function minute(nowMs: number, connectionString = database.connectionString): Promise<string[]> {
  const sent: string[] = [];
  const JOBS = {
    sendBatch: async (batch: readonly { body: { v: number; job: string } }[]) => {
      for (const { body } of batch) sent.push(`${body.v} ${body.job}`);
    },
  };
  await enqueueDueJobs({ HYPERDRIVE: { connectionString }, JOBS } as unknown as typeof env, nowMs);
  return sent;
}

/** Notes a run of every job, without its work. */
async function runAll(nowMs: number, jobs: readonly Job[] = JOBS): Promise<void> {
  const surroundings: Surroundings = surroundingsOn(database, { now: () => nowMs });
  for (const job of jobs) {
    await runDue({ ...job, work: () => Promise.resolve({ result: {}, report: null }) }, surroundings);
  }
}
const named = (...names: string[]) => names.map((name) => `1 ${name}`);

test("a gateway that never ran a job runs them all, in order, and then none", async () => {
  const all = named("rollups", "business-report", "reconcile", "capacity", "model-performance", "retention");
  expect(await minute(NOW_MS)).toEqual(all);
  await runAll(NOW_MS);
  expect(await minute(NOW_MS + MINUTE_MS)).toEqual([]);
});

test("through a day every job comes as often as it should, however often the cron does", async () => {
  await runAll(NOW_MS);
  const counts: Record<string, number> = {};
  for (let nowMs = NOW_MS + MINUTE_MS; nowMs <= NOW_MS + DAY_MS; nowMs += 30 * MINUTE_MS) {
    const due = await minute(nowMs);
    for (const name of due) counts[name] = (counts[name] ?? 0) + 1;
    await runAll(
      nowMs,
      JOBS.filter(({ name }) => due.includes(`1 ${name}`)),
    );
  }
  expect(counts).toEqual({
    "1 rollups": 47,
    "1 business-report": 24,
    "1 reconcile": 1,
    "1 capacity": 1,
    "1 retention": 1,
  });
}, 30_000);

test("one message stands for all periods that were missed", async () => {
  await runAll(NOW_MS);
  const due = await minute(NOW_MS + 5 * HOUR_MS);
  expect(due).toEqual(named("rollups", "business-report"));
});

test.each([
  { name: "the database is down", connectionString: "postgres://nobody:nothing@127.0.0.1:1/none" },
  { name: "the database has no such tables", connectionString: undefined },
])("$name: nothing is sent, and nothing thrown", async ({ connectionString }) => {
  const nowhere = connectionString ?? new URL("/postgres", database.connectionString).href;
  expect(await minute(NOW_MS, nowhere)).toEqual([]);
  expect(logged.join()).toContain("jobs.enqueue");
});

test("the queue is down: nothing is thrown, and it is still due a minute later", async () => {
  const JOBS = { sendBatch: () => Promise.reject(new Error("Too Many Requests")) };
  const HYPERDRIVE = { connectionString: database.connectionString };
  await enqueueDueJobs({ HYPERDRIVE, JOBS } as unknown as typeof env, NOW_MS);
  expect(logged.join()).toContain("Too Many Requests");
  expect(await minute(NOW_MS + MINUTE_MS)).toContain("1 rollups");
});
