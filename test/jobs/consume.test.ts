import { createExecutionContext, createMessageBatch, createScheduledController, getQueueResult } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import worker from "#src/index.ts";
import { freshDatabase, type TestDatabase } from "#test/support/database.ts";

let database: TestDatabase;
let bindings: typeof env;
const logged: string[] = [];
beforeAll(async () => {
  database = await freshDatabase();
  bindings = { ...env, HYPERDRIVE: { connectionString: database.connectionString } as Hyperdrive };
  for (const level of ["log", "error"] as const)
    vi.spyOn(console, level).mockImplementation((line: string) => {
      logged.push(line);
    });
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** Delivers one message as the platform does. */
async function deliver(body: unknown, to = bindings) {
  const batch = createMessageBatch("jobs", [{ id: "m", timestamp: new Date(), attempts: 1, body }]);
  const context = createExecutionContext();
  await worker.queue(batch, to, context);
  return getQueueResult(batch, context);
}
const runs = () => database.rows("SELECT name, state, attempts FROM job_runs ORDER BY name");

test("a message runs what is due of its job, once", async () => {
  for (let delivery = 0; delivery < 2; delivery++)
    expect(await deliver({ v: 1, job: "rollups" })).toMatchObject({ explicitAcks: ["m"], retryMessages: [] });
  expect(await runs()).toEqual([{ name: "rollups", state: "done", attempts: 1 }]);
});

test.each([
  { name: "a job that there is not", body: { v: 1, job: "toString" } },
  { name: "a message of another kind", body: { job: "rollups" } },
  { name: "no message", body: null },
])("$name is acknowledged, and said", async ({ body }) => {
  logged.length = 0;
  expect(await deliver(body)).toMatchObject({ explicitAcks: ["m"] });
  expect(logged.join()).toContain("jobs.consume");
});

test("without a database it is acknowledged too: the cron will find it due again", async () => {
  const HYPERDRIVE = { connectionString: "postgres://nobody:secret@127.0.0.1:1/none" } as Hyperdrive;
  logged.length = 0;
  expect(await deliver({ v: 1, job: "rollups" }, { ...env, HYPERDRIVE })).toMatchObject({ explicitAcks: ["m"] });
  expect(logged.join()).toContain("jobs.consume");
  expect(logged.join()).not.toContain("secret");
});

test("the minute's cron sends messages that the consumer understands", async () => {
  const sent: unknown[] = [];
  const JOBS = {
    sendBatch: async (batch: readonly { body: unknown }[]) => {
      sent.push(...batch.map(({ body }) => body));
    },
  } as unknown as typeof env.JOBS;
  const FLEET = { getByName: () => ({ ensureProbing: () => Promise.resolve(0) }) } as unknown as typeof env.FLEET;
  const deferred: Promise<unknown>[] = [];
  const context = { ...createExecutionContext(), waitUntil: (work: Promise<unknown>) => void deferred.push(work) };
  await worker.scheduled(createScheduledController(), { ...bindings, JOBS, FLEET }, context as ExecutionContext);
  await Promise.all(deferred);
  expect(sent).toContainEqual({ v: 1, job: "retention" });
  await deliver({ v: 1, job: "retention" });
  expect(await runs()).toContainEqual({ name: "retention", state: "done", attempts: 1 });
});
