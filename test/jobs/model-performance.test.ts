import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { DAY_MS } from "#src/jobs/calendar.ts";
import { modelPerformance } from "#src/jobs/model-performance.ts";
import { runNow } from "#src/jobs/run.ts";
import { periodAt } from "#src/jobs/schedule.ts";
import { emptied, freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { eventWith } from "#test/support/events.ts";
import { enter, NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  vi.spyOn(console, "log").mockReturnValue();
});
beforeEach(() => emptied(database));

const week = periodAt(modelPerformance.schedule, NOW_MS);
const perform = () => runNow(modelPerformance, week, surroundingsOn(database));

test("percentiles of the whole week, by model and host", async () => {
  const hundred = Array.from({ length: 101 }, (_, at) =>
    eventWith({
      ...{ atMs: week.startMs + (at * 6 * DAY_MS) / 101, ttftMs: at, latencyMs: 10 * at, model: "m", host: "gpu" },
      ...{ hostMs: 2_000, promptTokens: 3, completionTokens: 50, outcome: "complete" },
    }),
  );
  await enter(
    database,
    ...hundred,
    // Neither a caller that left nor a host that failed says how long an answer takes.
    eventWith({ atMs: week.startMs, model: "m", host: "gpu", latencyMs: 99_999, ttftMs: null, outcome: "client_left" }),
    eventWith({ atMs: week.endMs - 1, model: "m", host: "gpu", latencyMs: 0, ttftMs: null, outcome: "upstream_error" }),
    eventWith({ atMs: week.endMs, model: "m", host: "gpu", ttftMs: 5_000 }),
    eventWith({ atMs: week.startMs - 1, model: "m", host: "gpu", ttftMs: 5_000 }),
    eventWith({
      atMs: week.startMs,
      model: "m",
      host: null,
      ttftMs: null,
      latencyMs: 4,
      outcome: "cached",
      hostMs: null,
    }),
  );
  expect(await perform()).toMatchObject({
    kind: "done",
    result: { requests: 104, errors: 1, error_rate: 1 / 104, rows: 2 },
    report: {
      models: [
        {
          ...{ model: "m", host: "", requests: 1, errors: 0, error_rate: 0, tokens_per_second: null },
          ...{ ttft_p50_ms: null, ttft_p95_ms: null, ttft_p99_ms: null, latency_p50_ms: 4, latency_p99_ms: 4 },
        },
        {
          ...{ model: "m", host: "gpu", requests: 103, errors: 1, error_rate: 1 / 103, tokens_per_second: 25 },
          ...{ ttft_p50_ms: 50, ttft_p95_ms: 95, ttft_p99_ms: 99 },
          ...{ latency_p50_ms: 500, latency_p95_ms: 950, latency_p99_ms: 990 },
        },
      ],
    },
  });
});

test("a week without requests", async () => {
  expect(await perform()).toMatchObject({ result: { requests: 0, error_rate: null, rows: 0 }, report: { models: [] } });
});
