import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { businessReport } from "#src/jobs/business-report.ts";
import { HOUR_MS } from "#src/jobs/calendar.ts";
import { runNow } from "#src/jobs/run.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { emptied, freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { eventWith } from "#test/support/events.ts";
import { enter, NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  vi.spyOn(console, "log").mockReturnValue();
});
beforeEach(() => emptied(database));

const hour = (offset: number) => ({ startMs: NOW_MS + offset * HOUR_MS, endMs: NOW_MS + (offset + 1) * HOUR_MS });
/** Half an hour into the last whole hour. */
const lately = (changed: Partial<InferenceEvent> = {}) => eventWith({ atMs: NOW_MS - HOUR_MS / 2, ...changed });

async function reportOf(offset: number) {
  const ran = await runNow(businessReport, hour(offset), surroundingsOn(database));
  if (ran.kind !== "done") throw new Error(ran.kind);
  return { result: ran.result, ...(ran.report as Record<string, unknown>) };
}
const keptReport = async (offset: number): Promise<unknown> =>
  (
    await database.rows("SELECT body FROM reports WHERE kind = 'business-report' AND period_start = $1", [
      new Date(hour(offset).startMs),
    ])
  )[0]?.body;

test("an hour in all, by tenant, by model and by both", async () => {
  await enter(
    database,
    lately({ account: "i|ann", tenant: "acme", model: "a", promptTokens: 10, completionTokens: 5, costMicros: 7 }),
    lately({ account: "i|ann", tenant: "acme", model: "b", promptTokens: 20, completionTokens: 5, costMicros: null }),
    lately({
      account: "i|bob",
      tenant: null,
      model: "a",
      promptTokens: 1,
      completionTokens: 1,
      costMicros: 3,
      estimated: true,
    }),
    lately({
      account: "i|bob",
      tenant: null,
      model: "a",
      outcome: "abandoned",
      promptTokens: 0,
      completionTokens: 0,
      costMicros: 0,
    }),
    lately({
      ...{ account: "k|bot", tenant: null, model: "a", outcome: "cached", cache: "hit", costMicros: 0 },
      ...{ promptTokens: 0, completionTokens: 0, savedTokens: 90 },
    }),
  );
  const report = await reportOf(-1);
  const total = {
    requests: 5,
    users: 3,
    errors: 1,
    error_rate: 0.2,
    prompt_tokens: 31,
    completion_tokens: 11,
    cost_micros: 10,
    unpriced_requests: 1,
    cached_requests: 1,
    saved_tokens: 90,
    estimated_requests: 1,
  };
  expect(report).toMatchObject({
    result: { ...total, corrected_hours: 0 },
    total,
    by_tenant: [
      { tenant: null, requests: 3, users: 2, errors: 1, cost_micros: 3, saved_tokens: 90 },
      { tenant: "acme", requests: 2, users: 1, errors: 0, cost_micros: 7, unpriced_requests: 1 },
    ],
    by_model: [
      { model: "a", requests: 4, users: 3, cost_micros: 10, unpriced_requests: 0 },
      // Nobody knows what it cost, and nobody says that it was free.
      { model: "b", requests: 1, users: 1, cost_micros: null, unpriced_requests: 1 },
    ],
    by_tenant_and_model: [
      { tenant: null, model: "a", requests: 3 },
      { tenant: "acme", model: "a", requests: 1 },
      { tenant: "acme", model: "b", requests: 1, cost_micros: null },
    ],
  });
  expect(await keptReport(-1)).toMatchObject({ total });
});

test("an hour without a request", async () => {
  expect(await reportOf(-1)).toMatchObject({
    total: { requests: 0, users: 0, error_rate: null, cost_micros: 0 },
    by_tenant: [],
    by_model: [],
  });
});

test("an hour begins with its first minute and ends before the next one's", async () => {
  const { startMs, endMs } = hour(-1);
  await enter(database, ...[startMs - 1, startMs, endMs - 1, endMs].map((atMs) => eventWith({ atMs })));
  expect(await reportOf(-1)).toMatchObject({ total: { requests: 2 } });
});

describe("what comes late", () => {
  const tooOld = -80;
  test("corrects the reports of hours before, but for very old ones and those that it does not change", async () => {
    for (const offset of [-3, -2, -1, tooOld]) {
      await enter(database, eventWith({ atMs: hour(offset).startMs }));
      await reportOf(offset);
    }
    await enter(database, eventWith({ atMs: hour(-3).endMs - 1 }), eventWith({ atMs: hour(tooOld).endMs - 1 }));
    const { result } = await reportOf(0);
    expect(result).toMatchObject({ corrected: [new Date(hour(-3).startMs).toISOString()], corrected_hours: 1 });
    expect(await keptReport(-3)).toMatchObject({ total: { requests: 2 } });
    expect(await keptReport(-2)).toMatchObject({ total: { requests: 1 } });
    expect(await keptReport(tooOld)).toMatchObject({ total: { requests: 1 } });
  });

  test("is looked for where something changed since, and not everywhere", async () => {
    await enter(database, eventWith({ atMs: hour(-2).startMs }));
    await reportOf(-2);
    await database.query(async (session) => {
      await session.query("UPDATE reports SET body = '{}', created_at = now() + interval '1 hour'");
    });
    expect((await reportOf(-1)).result).toMatchObject({ corrected_hours: 0 });
    await database.query((session) => session.query("UPDATE reports SET created_at = now()"));
    expect((await reportOf(-1)).result).toMatchObject({ corrected_hours: 1 });
  });
});
