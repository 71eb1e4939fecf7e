import { beforeAll, describe, expect, test, vi } from "vitest";
import { DAY_MS, dayOf, HOUR_MS, startOfDayMs } from "#src/jobs/calendar.ts";
import { capacity, capacityOf } from "#src/jobs/capacity.ts";
import { rollups } from "#src/jobs/rollups.ts";
import { runNow } from "#src/jobs/run.ts";
import { type DailyLoad, readUptime, type Uptime } from "#src/postgres/daily-load.ts";
import { freshDatabase } from "#test/support/database.ts";
import { eventWith, hostStateWith } from "#test/support/events.ts";
import { enter, enterStates, NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

const TODAY_MS = startOfDayMs(NOW_MS);
const DAYS = Array.from({ length: 28 }, (_, at) => dayOf(TODAY_MS - (28 - at) * DAY_MS));
const dayAfter = (days: number): string => dayOf(TODAY_MS + (days - 1) * DAY_MS);

/** So many slots of a host busy on each of the last days. */
const loadOf = (busySlots: readonly number[], changed: Partial<DailyLoad> = {}): DailyLoad[] =>
  busySlots.map((slots, at) => {
    const day = DAYS[DAYS.length - busySlots.length + at] ?? "";
    return { day, model: "m", host: "gpu", requests: 10, tokens: 100 * slots, busyMs: slots * DAY_MS, ...changed };
  });
const growing = (days: number, from: number, perDay: number): number[] =>
  Array.from({ length: days }, (_, day) => from + day * perDay);
const upOf = (slots: number, share = 1, host = "gpu"): Uptime => ({
  host,
  slots,
  upMs: share * 20 * DAY_MS,
  knownMs: 20 * DAY_MS,
});

describe("the day on which a host is full", () => {
  test.each<{ name: string; load: DailyLoad[]; uptimes: Uptime[]; host: object }>([
    {
      name: "by its growth",
      load: loadOf(growing(10, 1, 1)),
      uptimes: [upOf(20)],
      host: {
        ...{ host: "gpu", days: 10, available_slots: 20, exhausted_on: dayAfter(10), reason: null },
        busy_slots: 10,
        trends: {
          busy_slots: { mean: 5.5, growth: 1, last: 10 },
          tokens_per_day: { mean: 550, growth: 100, last: 1_000 },
        },
      },
    },
    {
      name: "comes sooner for one that is often down",
      load: loadOf(growing(10, 1, 1)),
      uptimes: [upOf(30, 0.5)],
      host: { slots: 30, up_share: 0.5, available_slots: 15, exhausted_on: dayAfter(5) },
    },
    {
      name: "has come already",
      load: loadOf(growing(7, 9, 0)),
      uptimes: [upOf(9)],
      host: { exhausted_on: dayAfter(0), reason: null },
    },
    {
      name: "is unknown after three days",
      load: loadOf(growing(3, 1, 1)),
      uptimes: [upOf(20)],
      host: { days: 3, exhausted_on: null, reason: "too_few_days" },
    },
    {
      name: "is unknown where nobody said how the host was",
      load: loadOf(growing(10, 1, 1)),
      uptimes: [],
      host: { slots: null, up_share: null, available_slots: null, exhausted_on: null, reason: "too_little_host_state" },
    },
    {
      name: "is unknown where that was said for some hours only",
      load: loadOf(growing(10, 1, 1)),
      uptimes: [{ host: "gpu", slots: 20, upMs: 9 * HOUR_MS, knownMs: 10 * HOUR_MS }],
      host: { up_share: 0.9, known_hours: 10, available_slots: null, reason: "too_little_host_state" },
    },
    {
      name: "does not come while the load falls",
      load: loadOf(growing(10, 15, -1)),
      uptimes: [upOf(20)],
      host: { exhausted_on: null, reason: "no_clear_growth" },
    },
    {
      name: "does not come within a year",
      load: loadOf(growing(10, 0.01, 0.01)),
      uptimes: [upOf(20)],
      host: { exhausted_on: null, reason: "beyond_a_year" },
    },
    {
      name: "counts days without a request, once there has been one",
      load: loadOf([2, 0, 0, 0, 0, 0, 0, 2]).filter(({ busyMs }) => busyMs > 0),
      uptimes: [upOf(20)],
      host: { days: 8, trends: { busy_slots: { mean: 0.5 } } },
    },
  ])("$name", ({ load, uptimes, host }) => {
    expect(capacityOf(DAYS, load, uptimes).hosts).toMatchObject([host]);
  });
});

test("a model is full when the hosts that serve it are, whoever fills them", () => {
  const load = [
    ...loadOf(growing(10, 0, 1)),
    ...loadOf(growing(10, 1, 0), { model: "other" }),
    ...loadOf(growing(10, 1, 1), { host: "cpu" }),
    ...loadOf(growing(10, 0, 0), { host: "" }),
  ];
  const { models, hosts } = capacityOf(DAYS, load, [upOf(20), upOf(10, 1, "cpu")]);
  expect(hosts.map(({ host, exhausted_on }) => [host, exhausted_on])).toEqual([
    ["cpu", dayAfter(0)],
    ["gpu", dayAfter(10)],
  ]);
  expect(models).toMatchObject([
    // 20 busy of 30, two more each day.
    { model: "m", hosts: ["cpu", "gpu"], busy_slots: 20, exhausted_on: dayAfter(5) },
    {
      model: "other",
      hosts: ["gpu"],
      trends: { tokens_per_day: { growth: 0 } },
      busy_slots: 10,
      exhausted_on: dayAfter(10),
    },
  ]);
});

test("a model of which one host's state is not known is not said to be full some day", () => {
  const load = [...loadOf(growing(10, 0, 1)), ...loadOf(growing(10, 1, 1), { host: "cpu" })];
  expect(capacityOf(DAYS, load, [upOf(20)]).models).toMatchObject([
    { hosts: ["cpu", "gpu"], available_slots: null, exhausted_on: null, reason: "too_little_host_state" },
  ]);
});

test("a model that no host worked on has no hosts to fill", () => {
  expect(capacityOf(DAYS, loadOf(growing(10, 0, 0), { host: "" }), [])).toMatchObject({
    hosts: [],
    models: [{ hosts: [], available_slots: null, exhausted_on: null }],
  });
});

describe("from the database", () => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  beforeAll(async () => {
    database = await freshDatabase();
    vi.spyOn(console, "log").mockReturnValue();
  });

  test("how long hosts were up: until the next word, and no longer than one comes every hour", async () => {
    const at = (hours: number, state: string, host = "gpu", slots = 4) =>
      hostStateWith({ atMs: TODAY_MS + hours * HOUR_MS, state, host, slots });
    await enterStates(
      database,
      // Before the span: only what lasts into it counts.
      ...[at(-3, "up"), at(-0.5, "down"), at(0.25, "up"), at(1, "up", "gpu", 8), at(1.5, "loading"), at(2, "unknown")],
      // Silent from here on; then beyond the span's end.
      ...[at(3, "up", "gpu", 6), at(7.5, "up", "gpu", 2), at(9, "down")],
      ...[at(0, "up", "cpu"), at(1, "gone", "cpu")],
    );
    const uptimes = await database.query((session) => readUptime(session, TODAY_MS, TODAY_MS + 8 * HOUR_MS));
    const hours = uptimes.map(({ host, slots, upMs, knownMs }) => [host, slots, upMs / HOUR_MS, knownMs / HOUR_MS]);
    const silence = 65 / 60;
    expect(hours).toEqual([
      ["cpu", 4, 1, 1],
      ["gpu", 2, expect.closeTo(1.25 + silence + 0.5, 6), expect.closeTo(2 + silence + 0.5, 6)],
    ]);
  });

  test("the report is of whole days, and kept", async () => {
    const perDay = growing(10, 1, 1);
    const events = perDay.flatMap((requests, at) =>
      Array.from({ length: requests }, () =>
        eventWith({ atMs: TODAY_MS - (10 - at) * DAY_MS, model: "m", host: "box", latencyMs: DAY_MS / 10 }),
      ),
    );
    await enter(database, ...events, eventWith({ atMs: TODAY_MS + 1, model: "m", host: "box", latencyMs: DAY_MS / 2 }));
    const samples = Array.from({ length: 48 }, (_, hour) =>
      hostStateWith({ atMs: TODAY_MS - (48 - hour) * HOUR_MS, host: "box", state: "up", slots: 2 }),
    );
    const today = hostStateWith({ atMs: TODAY_MS + HOUR_MS, host: "box", state: "down", slots: 9 });
    await enterStates(database, ...samples, today);
    const surroundings = surroundingsOn(database);
    await runNow(rollups, { startMs: TODAY_MS, endMs: NOW_MS }, surroundings);
    const ran = await runNow(capacity, { startMs: TODAY_MS, endMs: NOW_MS }, surroundings);
    expect(ran).toMatchObject({
      result: { from: DAYS[0], to: DAYS.at(-1), hosts: 1, models: 1, first_exhausted_on: dayAfter(10) },
      report: {
        hosts: [
          {
            ...{ host: "box", slots: 2, up_share: 1, days: 10, reason: null },
            busy_slots: expect.closeTo(1, 9),
            trends: { requests_per_day: { mean: 5.5, growth: expect.closeTo(1, 9), last: expect.closeTo(10, 9) } },
          },
        ],
      },
    });
    const [report] = await database.rows("SELECT body FROM reports WHERE kind = 'capacity'");
    expect(report?.body).toEqual(ran.kind === "done" ? ran.report : null);
  });
});
