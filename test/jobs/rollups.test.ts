import { beforeAll, beforeEach, expect, test, vi } from "vitest";
import { HOUR_MS } from "#src/jobs/calendar.ts";
import { rollups } from "#src/jobs/rollups.ts";
import { runNow } from "#src/jobs/run.ts";
import { periodAt } from "#src/jobs/schedule.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { emptied, freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { eventWith, hostLoadWith } from "#test/support/events.ts";
import { enter, enterLoads, leftBehind, manyEvents, NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await freshDatabase();
  vi.spyOn(console, "log").mockReturnValue();
});
beforeEach(() => emptied(database));

/** Every run is of another period, as the cron's are. */
let turn = 0;
async function rollUp(): Promise<Record<string, unknown>> {
  turn += 1;
  const ran = await runNow(rollups, periodAt(rollups.schedule, NOW_MS + turn * 300_000), surroundingsOn(database));
  if (ran.kind !== "done") throw new Error(ran.kind);
  return ran.result;
}

const nameless = (name: string | null): string => name ?? "";
const isError = ({ outcome }: InferenceEvent): boolean => outcome === "upstream_error" || outcome === "abandoned";
const sumOf = (events: readonly InferenceEvent[], figure: (event: InferenceEvent) => number): number =>
  events.reduce((sum, event) => sum + figure(event), 0);

function groupsOf(events: readonly InferenceEvent[], keyOf: (event: InferenceEvent) => Record<string, string>) {
  const groups = new Map<string, { key: Record<string, string>; of: InferenceEvent[] }>();
  for (const event of events) {
    const key = keyOf(event);
    const group = groups.get(JSON.stringify(key)) ?? { key, of: [] };
    group.of.push(event);
    groups.set(JSON.stringify(key), group);
  }
  return [...groups.values()];
}

/** `usage_day` by hand. */
function daysOf(events: readonly InferenceEvent[]): Record<string, unknown>[] {
  const keyOf = (event: InferenceEvent) => ({
    day: new Date(event.atMs).toISOString().slice(0, 10),
    account: event.account,
    user_id: event.userId,
    tenant: nameless(event.tenant),
    key_id: nameless(event.keyId),
    model: event.model,
    host: nameless(event.host),
  });
  return groupsOf(events, keyOf).map(({ key, of }) => ({
    ...key,
    requests: of.length,
    errors: of.filter(isError).length,
    cached_requests: of.filter(({ cache }) => cache === "hit").length,
    estimated_requests: of.filter(({ estimated }) => estimated).length,
    unpriced_requests: of.filter(({ costMicros }) => costMicros === null).length,
    prompt_tokens: sumOf(of, ({ promptTokens }) => promptTokens),
    completion_tokens: sumOf(of, ({ completionTokens }) => completionTokens),
    cached_tokens: sumOf(of, ({ cachedTokens }) => cachedTokens ?? 0),
    saved_tokens: sumOf(of, ({ savedTokens }) => savedTokens),
    cost_micros: sumOf(of, ({ costMicros }) => costMicros ?? 0),
    latency_ms: sumOf(of, ({ latencyMs }) => latencyMs),
    ttft_ms: sumOf(of, ({ ttftMs }) => ttftMs ?? 0),
    ttft_requests: of.filter(({ ttftMs }) => ttftMs !== null).length,
  }));
}

/** Between the two values that the rank lies between, in proportion; null of nothing. */
function percentile(values: readonly number[], share: number): number | null {
  const sorted = [...values].sort((one, other) => one - other);
  const rank = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(rank)], sorted[Math.ceil(rank)]];
  return low === undefined || high === undefined ? null : low + (high - low) * (rank - Math.floor(rank));
}

/** What an hour does not have. */
const NO_LOAD = { running: null, waiting: null, kv_usage: null, in_flight: null, in_line: null };

/** `model_metrics` by hand. */
function hoursOf(events: readonly InferenceEvent[]): Record<string, unknown>[] {
  const keyOf = (event: InferenceEvent) => ({
    timestamp: new Date(Math.floor(event.atMs / HOUR_MS) * HOUR_MS).toISOString().replace(".000Z", "+00:00"),
    model: event.model,
    host: nameless(event.host),
  });
  return groupsOf(events, keyOf).map(({ key, of }) => {
    const ttft = of.flatMap(({ ttftMs }) => ttftMs ?? []);
    const whole = of.filter(({ outcome }) => outcome === "complete" || outcome === "cached");
    const latency = whole.map(({ latencyMs }) => latencyMs);
    const worked = of.filter(
      ({ outcome, hostMs, completionTokens }) => outcome === "complete" && (hostMs ?? 0) > 0 && completionTokens > 0,
    );
    const workedMs = sumOf(worked, ({ hostMs }) => hostMs ?? 0);
    return {
      ...key,
      ...NO_LOAD,
      kind: "hour",
      requests: of.length,
      errors: of.filter(isError).length,
      error_rate: of.filter(isError).length / of.length,
      ttft_p50_ms: percentile(ttft, 0.5),
      ttft_p95_ms: percentile(ttft, 0.95),
      ttft_p99_ms: percentile(ttft, 0.99),
      latency_p50_ms: percentile(latency, 0.5),
      latency_p95_ms: percentile(latency, 0.95),
      latency_p99_ms: percentile(latency, 0.99),
      tokens_per_second:
        worked.length === 0 ? null : (1_000 * sumOf(worked, ({ completionTokens }) => completionTokens)) / workedMs,
      metadata: {
        ttft_requests: ttft.length,
        prompt_tokens: sumOf(of, ({ promptTokens }) => promptTokens),
        completion_tokens: sumOf(of, ({ completionTokens }) => completionTokens),
      },
    };
  });
}

/** Rounded, because the two sides add up in another order; and in one order. */
function comparable(rows: readonly Record<string, unknown>[]): string[] {
  return rows.map((row) => JSON.stringify(canonical(row))).sort();
}

function canonical(value: unknown): unknown {
  if (typeof value === "number") return Number(value.toPrecision(12));
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .sort()
    .map(([name, member]) => [name, canonical(member)]);
}

async function expectTables(events: readonly InferenceEvent[]): Promise<void> {
  const { days, hours } = (await leftBehind(database)) as Record<"days" | "hours", Record<string, unknown>[]>;
  expect(comparable(days)).toEqual(comparable(daysOf(events)));
  expect(comparable(hours)).toEqual(comparable(hoursOf(events)));
}

test("days and hours are what came in, whatever comes when, and however often", async () => {
  const all = manyEvents(eventWith, { count: 240, days: 1.5 });
  // In pieces that overlap in time and in themselves: some are delivered again.
  const pieces = [all.slice(0, 100), all.slice(60, 180), all.slice(150), all.slice(0, 120)];
  const seen = new Set<InferenceEvent>();
  for (const piece of pieces) {
    await enter(database, ...piece);
    for (const event of piece) seen.add(event);
    await rollUp();
    await expectTables([...seen]);
  }
});

test("what hosts had to do lies beside the hours and is no part of them", async () => {
  const request = eventWith({ atMs: NOW_MS });
  const loads = [hostLoadWith({ atMs: NOW_MS }), hostLoadWith({ atMs: NOW_MS + 60_000 })];
  await enter(database, request);
  await enterLoads(database, ...loads);
  await rollUp();
  await expectTables([request]);
  const [sums] = await database.rows(
    "SELECT sum(requests) AS requests, avg(error_rate) AS errors, count(in_flight) AS loads FROM model_metrics",
  );
  expect(sums).toEqual({ requests: 1, errors: 0, loads: loads.length });
});

test("twice is once", async () => {
  await enter(database, ...manyEvents(eventWith, { count: 100, days: 2 }));
  await rollUp();
  const { runs: _first, ...once } = await leftBehind(database);
  const stamps = await database.rows("SELECT rolled_at FROM usage_day ORDER BY 1");
  expect(await rollUp()).toMatchObject({ changed_rows: 0 });
  const { runs: _second, ...twice } = await leftBehind(database);
  expect(twice).toEqual(once);
  expect(await database.rows("SELECT rolled_at FROM usage_day ORDER BY 1")).toEqual(stamps);
});

test("only what has news is reckoned anew", async () => {
  const [old, fresh] = [eventWith({ atMs: NOW_MS - 50 * HOUR_MS }), eventWith({ atMs: NOW_MS })];
  await enter(database, old);
  expect(await rollUp()).toMatchObject({ days: 1, hours: 1 });
  await database.query((session) =>
    session.query("UPDATE usage_minute SET changed_at = changed_at - interval '1 hour'"),
  );
  await enter(database, fresh);
  expect(await rollUp()).toMatchObject({ days: 1, hours: 1 });
  await expectTables([old, fresh]);
});

test("what was written before a look and committed after it is found by the next one", async () => {
  const [seen, late] = [eventWith({ atMs: NOW_MS - 30 * HOUR_MS }), eventWith({ atMs: NOW_MS })];
  await enter(database, seen);
  await database.query(async (session) => {
    const { text, values } = inferenceLogsInsert([late], NOW_MS);
    await session.query("BEGIN");
    await session.query(text, [...values]);
    await rollUp();
    await session.query("COMMIT");
  });
  await rollUp();
  await expectTables([seen, late]);
});
