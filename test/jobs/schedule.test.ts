import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { A_MONDAY_MS, DAY_MS, HOUR_MS, MINUTE_MS, WEEK_MS } from "#src/jobs/calendar.ts";
import { JOBS } from "#src/jobs/jobs.ts";
import {
  caughtUpSinceMs,
  duePeriods,
  type History,
  type KnownRun,
  nextRunAtMs,
  periodAt,
  type Schedule,
} from "#src/jobs/schedule.ts";

const at = (text: string): number => Date.parse(`2026-11-${text}Z`);
const HOURLY: Schedule = { everyMs: HOUR_MS, anchorMs: 0, afterMs: 5 * MINUTE_MS, catchUp: 3 };
const WEEKLY: Schedule = { everyMs: WEEK_MS, anchorMs: A_MONDAY_MS, afterMs: 0, catchUp: 2 };

/** A run of the hour that begins then. */
function run(start: string, changed: Partial<KnownRun> = {}): KnownRun {
  const startMs = at(start);
  const endMs = startMs + HOUR_MS;
  const finishedAtMs = endMs + 5 * MINUTE_MS;
  return { startMs, endMs, state: "done", attempts: 1, startedAtMs: finishedAtMs, finishedAtMs, ...changed };
}
const since = (first: string, ...runs: KnownRun[]): History => ({ firstMs: at(first), runs });

describe("what is due of an hourly job, of which three are caught up, five minutes after each hour", () => {
  test.each<{ name: string; history: History; now: string; due: string[] }>([
    {
      name: "one that never ran: the newest",
      history: { firstMs: null, runs: [] },
      now: "21T10:05",
      due: ["21T09:00"],
    },
    { name: "not before it is ready", history: { firstMs: null, runs: [] }, now: "21T10:04:59.999", due: ["21T08:00"] },
    { name: "what has run is not run again", history: since("21T09:00", run("21T09:00")), now: "21T10:50", due: [] },
    {
      name: "what was missed, oldest first",
      history: since("21T06:00", run("21T06:00"), run("21T08:00")),
      now: "21T10:05",
      due: ["21T07:00", "21T09:00"],
    },
    {
      name: "no more than three",
      history: since("20T00:00"),
      now: "21T10:05",
      due: ["21T07:00", "21T08:00", "21T09:00"],
    },
    {
      name: "nothing before the first",
      history: since("21T08:00", run("21T08:00")),
      now: "21T10:05",
      due: ["21T09:00"],
    },
    {
      name: "one that was run before it was over, by hand",
      history: since("21T09:00", run("21T09:00", { endMs: at("21T09:30") })),
      now: "21T10:05",
      due: ["21T09:00"],
    },
    {
      name: "one that is running is left alone",
      history: since(
        "21T09:00",
        run("21T09:00", { state: "running", startedAtMs: at("21T10:05"), finishedAtMs: null }),
      ),
      now: "21T10:09:59",
      due: [],
    },
    {
      name: "one that died is taken up again",
      history: since(
        "21T09:00",
        run("21T09:00", { state: "running", startedAtMs: at("21T10:05"), finishedAtMs: null }),
      ),
      now: "21T10:10",
      due: ["21T09:00"],
    },
    ...[
      { attempts: 1, waits: "a minute", early: "21T10:05:59", late: "21T10:06" },
      { attempts: 4, waits: "eight", early: "21T10:12:59", late: "21T10:13" },
      { attempts: 50, waits: "an hour at most", early: "21T11:04:59", late: "21T11:05" },
    ].flatMap(({ attempts, waits, early, late }) => {
      const failed = run("21T09:00", { state: "failed", attempts, finishedAtMs: at("21T10:05") });
      const history = since("21T09:00", failed, run("21T10:00"));
      return [
        { name: `after ${attempts} failures it waits ${waits}`, history, now: early, due: [] },
        { name: `after ${attempts} failures and ${waits} it is tried`, history, now: late, due: ["21T09:00"] },
      ];
    }),
  ])("$name", ({ history, now, due }) => {
    const periods = duePeriods(HOURLY, history, at(now));
    expect(periods.map(({ startMs }) => startMs)).toEqual(due.map(at));
    for (const { startMs, endMs } of periods) expect(endMs - startMs).toBe(HOUR_MS);
  });

  test("weeks begin on Mondays", () => {
    expect(new Date(periodAt(WEEKLY, at("21T04:00")).startMs).toISOString()).toBe("2026-11-16T00:00:00.000Z");
    expect(periodAt(WEEKLY, at("16T00:00"))).toEqual({ startMs: at("16T00:00"), endMs: at("23T00:00") });
    expect(periodAt(WEEKLY, -1).startMs).toBeLessThan(0);
  });

  test("when it runs next", () => {
    expect(nextRunAtMs(HOURLY, at("21T10:05"))).toBe(at("21T11:05"));
    expect(nextRunAtMs(HOURLY, at("21T10:04"))).toBe(at("21T10:05"));
  });
});

const schedules = fc.record({
  everyMs: fc.integer({ min: 1_000, max: 10 * 60_000 }),
  anchorMs: fc.integer({ min: -DAY_MS, max: DAY_MS }),
  afterMs: fc.integer({ min: 0, max: 20 * 60_000 }),
  catchUp: fc.integer({ min: 1, max: 6 }),
});
const turns = fc.array(
  fc.record({
    gap: fc.double({ min: 0, max: 1, noNaN: true }),
    ends: fc.constantFrom("done", "done", "failed", "died"),
  }),
  { minLength: 1, maxLength: 60 },
);

/** Plays a cron: at each turn what is due is run, and ends as the turn says. */
function play(
  schedule: Schedule,
  steps: readonly { gap: number; ends: string }[],
  longestGapMs: number,
  lastGapMs = 0,
) {
  const runs = new Map<number, KnownRun>();
  const done: number[] = [];
  let firstMs: number | null = null;
  let nowMs = at("21T00:00");
  for (const [turn, { gap, ends }] of steps.entries()) {
    nowMs += 1 + gap * longestGapMs + (turn === steps.length - 1 ? lastGapMs : 0);
    const known = [...runs.values()].filter(({ startMs }) => startMs >= caughtUpSinceMs(schedule, nowMs));
    for (const { startMs, endMs } of duePeriods(schedule, { firstMs, runs: known }, nowMs)) {
      firstMs = Math.min(firstMs ?? startMs, startMs);
      const attempts = (runs.get(startMs)?.attempts ?? 0) + 1;
      expect(nowMs).toBeGreaterThanOrEqual(endMs + schedule.afterMs);
      const state = ends === "done" ? "done" : ends === "failed" ? "failed" : "running";
      const finishedAtMs = ends === "died" ? null : nowMs;
      runs.set(startMs, { startMs, endMs, state, attempts, startedAtMs: nowMs, finishedAtMs });
      if (ends === "done") done.push(startMs);
    }
  }
  return { done, firstMs, nowMs, runs };
}

describe("any schedule under any cron", () => {
  test("never runs a period again that was run", () => {
    fc.assert(
      fc.property(schedules, turns, (schedule, steps) => {
        const { done } = play(schedule, steps, 3 * schedule.everyMs);
        expect(new Set(done).size).toBe(done.length);
      }),
    );
  });

  test("skips no period while the cron comes at least once in as long as is caught up", () => {
    fc.assert(
      fc.property(schedules, turns, (schedule, steps) => {
        const well = steps.map(({ gap }) => ({ gap, ends: "done" }));
        const { done, firstMs, nowMs } = play(schedule, well, schedule.catchUp * schedule.everyMs - 1);
        const lastMs = periodAt(schedule, nowMs - schedule.afterMs).startMs - schedule.everyMs;
        const all: number[] = [];
        for (let startMs = firstMs ?? 0; startMs <= lastMs; startMs += schedule.everyMs) all.push(startMs);
        expect(done).toEqual(all);
      }),
    );
  });

  test("makes up for what failed or died, as far back as is caught up, once it works again", () => {
    fc.assert(
      fc.property(schedules, turns, (schedule, steps) => {
        const recovers = [...steps, { gap: 0, ends: "done" }];
        const { firstMs, nowMs, runs } = play(schedule, recovers, schedule.everyMs, HOUR_MS);
        const sinceMs = Math.max(firstMs ?? 0, caughtUpSinceMs(schedule, nowMs));
        for (let { startMs } = periodAt(schedule, sinceMs); startMs + schedule.everyMs <= nowMs - schedule.afterMs; ) {
          expect(runs.get(startMs)?.state).toBe("done");
          startMs += schedule.everyMs;
        }
      }),
    );
  });
});

test("the jobs of the gateway have names of their own, and periods that begin with days", () => {
  expect(new Set(JOBS.map(({ name }) => name)).size).toBe(JOBS.length);
  for (const { schedule } of JOBS) {
    expect(DAY_MS % schedule.everyMs === 0 || schedule.everyMs % DAY_MS === 0).toBe(true);
    expect(new Date(periodAt(schedule, at("21T00:00")).startMs).toISOString()).toMatch(/T00:00:00\.000Z$/);
  }
});
