import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { app } from "#src/app.ts";
import type { Env } from "#src/env.ts";
import { DAY_MS, HOUR_MS, startOfDayMs } from "#src/jobs/calendar.ts";
import { JOBS } from "#src/jobs/jobs.ts";
import { alone } from "#src/postgres/job-runs.ts";
import { inSession } from "#src/postgres/session.ts";
import type { AuditEvent, UsageEvent } from "#src/usage/event.ts";
import { emptied, freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { eventWith } from "#test/support/events.ts";
import { type Gateway, startGateway } from "#test/support/gateway.ts";
import { enter } from "#test/support/jobs.ts";

const ADMIN = { groups: ["ai-admins"], sub: "admin-user" };

let gateway: Gateway;
let database: TestDatabase;
beforeAll(async () => {
  gateway = await startGateway();
  database = await freshDatabase();
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
});
beforeEach(() => emptied(database));
afterAll(() => {
  vi.restoreAllMocks();
});

/** What the actor's account was handed for the audit trail. */
const acts: AuditEvent[] = [];

async function ask(method: string, path: string, changed: Partial<Env> = {}) {
  acts.length = 0;
  const settle = async (event: UsageEvent) => {
    if (event.kind === "audit") acts.push(event);
  };
  const ACCOUNT = { idFromName: () => undefined, getByName: () => ({ settle }) };
  const HYPERDRIVE = { connectionString: database.connectionString };
  const bindings = { ...env, ACCOUNT, HYPERDRIVE, ...changed } as unknown as Env;
  const headers = { authorization: `Bearer ${await gateway.issuer.sign(ADMIN)}` };
  const context = createExecutionContext();
  const response = await app.fetch(new Request(`http://x/admin/jobs${path}`, { method, headers }), bindings, context);
  const body = (await response.json()) as Record<string, unknown>;
  await waitOnExecutionContext(context);
  return { status: response.status, headers: response.headers, body };
}
const iso = (ms: number): string => new Date(ms).toISOString();

describe("the list", () => {
  test("names every job, when it runs next, and that it has not run", async () => {
    const { body } = await ask("GET", "");
    const data = body.data as Record<string, unknown>[];
    expect(data.map(({ name }) => name)).toEqual(JOBS.map(({ name }) => name));
    for (const job of data) {
      expect(job).toMatchObject({ does: expect.any(String), every_s: expect.any(Number), last_run: null });
      const inMs = Date.parse(String(job.next_run_at)) - Date.now();
      expect(inMs).toBeGreaterThan(0);
      expect(inMs).toBeLessThanOrEqual(Number(job.every_s) * 1_000);
    }
  });

  test("has the run of the newest period, with its result or its reason", async () => {
    await ask("POST", "/rollups");
    await database.query((session) =>
      session.query(`INSERT INTO job_runs (name, period_start, period_end, state, finished_at, reason) VALUES
        ('reconcile', '2026-01-01', '2026-01-02', 'done', '2026-01-02', NULL),
        ('reconcile', '2026-01-02', '2026-01-03', 'failed', '2026-01-03', 'Error: no')`),
    );
    const { body } = await ask("GET", "");
    const runOf = (name: string) => (body.data as Record<string, unknown>[]).find((job) => job.name === name)?.last_run;
    expect(runOf("rollups")).toMatchObject({
      ...{ state: "done", attempts: 1, reason: null, result: { days: 0, hours: 0 } },
      ...{ started_at: expect.stringMatching(/Z$/), finished_at: expect.stringMatching(/Z$/) },
    });
    expect(runOf("reconcile")).toMatchObject({
      state: "failed",
      reason: "Error: no",
      period_start: iso(Date.UTC(2026, 0, 2)),
    });
  });
});

describe("running one", () => {
  test("answers its result and its report, of the period so far, and is in the trail", async () => {
    const hourMs = Math.floor(Date.now() / HOUR_MS) * HOUR_MS;
    await enter(database, eventWith({ atMs: hourMs, tenant: "acme", costMicros: 7 }));
    const { status, body } = await ask("POST", "/business-report");
    expect({ status, body }).toMatchObject({
      status: 200,
      body: {
        ...{ name: "business-report", period_start: iso(hourMs), attempt: 1, took_ms: expect.any(Number) },
        result: { requests: 1, cost_micros: 7 },
        report: { by_tenant: [{ tenant: "acme", requests: 1 }] },
      },
    });
    expect(Date.parse(String(body.period_end))).toBeLessThanOrEqual(Date.now());
    expect(acts).toMatchObject([
      {
        ...{ action: "job.run", target: "business-report", outcome: "ok", actor: "admin-user" },
        detail: { period: iso(hourMs), attempt: 1 },
      },
    ]);
  });

  test("again, for a period that is over", async () => {
    const dayMs = startOfDayMs(Date.now()) - 2 * DAY_MS;
    const query = `?period=${encodeURIComponent(iso(dayMs + 5 * HOUR_MS))}`;
    const whole = { period_start: iso(dayMs), period_end: iso(dayMs + DAY_MS) };
    expect((await ask("POST", `/capacity${query}`)).body).toMatchObject({ ...whole, attempt: 1 });
    expect((await ask("POST", `/capacity${query}`)).body).toMatchObject({ ...whole, attempt: 2 });
  });

  test.each(JOBS.map(({ name }) => name).filter((name) => name !== "reconcile"))("%s runs", async (name) => {
    expect(await ask("POST", `/${name}`)).toMatchObject({ status: 200, body: { name, result: {} } });
  });
});

describe("what is refused", () => {
  test.each([
    { path: "/none", status: 404, code: "job_not_found", says: "rollups, business-report" },
    { path: "/toString", status: 404, code: "job_not_found", says: "retention" },
    { path: "/rollups?period=yesterday", status: 400, code: "invalid_value", says: "period: a time" },
    { path: "/rollups?colour=red", status: 400, code: "invalid_value", says: "colour" },
    { path: "/reconcile?period=2020-01-01T00:00:00Z", status: 400, code: "invalid_value", says: "period: this job" },
    {
      path: "/reconcile?period=2999-01-01T00:00:00Z",
      status: 400,
      code: "invalid_value",
      says: "period: it has not begun",
    },
  ])("$path", async ({ path, status, code, says }) => {
    const { headers, ...answer } = await ask("POST", path);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(answer).toMatchObject({ status, body: { code, detail: expect.stringContaining(says) } });
    expect(acts).toEqual([]);
  });

  test("one while another runs", { timeout: 15_000 }, async () => {
    const answer = await inSession(database.connectionString, (session) =>
      alone(session, 1_000, () => ask("POST", "/rollups")),
    );
    expect(answer).toMatchObject({ status: 409, body: { code: "job_running" } });
    expect(answer?.headers.get("retry-after")).toBe("5");
    expect(acts).toMatchObject([{ action: "job.run", outcome: "failed", detail: { code: "job_running" } }]);
  });

  test("one that fails says why, and is in the trail", async () => {
    await database.query((session) => session.query("ALTER TABLE usage_day RENAME TO elsewhere"));
    const answer = await ask("POST", "/capacity");
    await database.query((session) => session.query("ALTER TABLE elsewhere RENAME TO usage_day"));
    expect(answer).toMatchObject({
      status: 500,
      body: { code: "job_failed", detail: expect.stringContaining('relation "usage_day" does not exist') },
    });
    expect(acts).toMatchObject([{ outcome: "failed", detail: { code: "job_failed" } }]);
  });

  test.each(["GET", "POST"])("%s without a database", async (method) => {
    const HYPERDRIVE = { connectionString: "postgres://nobody:top-secret@127.0.0.1:1/none" } as Hyperdrive;
    const { headers, ...answer } = await ask(method, method === "GET" ? "" : "/rollups", { HYPERDRIVE });
    expect(answer).toMatchObject({ status: 503, body: { code: "unavailable" } });
    expect(headers.get("retry-after")).toBe("5");
    expect(JSON.stringify(answer.body)).not.toContain("top-secret");
  });

  test.each([
    { name: "no credential", as: null, status: 401 },
    { name: "a caller", as: { groups: ["ai-users"] }, status: 403 },
  ])("nobody else: $name", async ({ as, status }) => {
    expect((await gateway.ask("/admin/jobs", { as })).status).toBe(status);
    expect((await gateway.ask("/admin/jobs/rollups", { method: "POST", as })).status).toBe(status);
  });
});
