import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Limit, take, type Windows } from "#src/limits/windows.ts";

const MINUTE: Limit = { name: "rpm", max: 3, windowMs: 60_000 };
const HOUR: Limit = { name: "rph", max: 5, windowMs: 3_600_000 };

/** Asks at each of these times; true where it was admitted. */
function run(limits: readonly Limit[], timesMs: readonly number[]): boolean[] {
  let windows: Windows = {};
  return timesMs.map((nowMs) => {
    const verdict = take(windows, limits, nowMs);
    windows = verdict.windows;
    return verdict.kind === "allowed";
  });
}

describe("one window", () => {
  test.each([
    { name: "admits up to the limit", timesMs: [0, 1, 2], admitted: [true, true, true] },
    { name: "refuses the next", timesMs: [0, 1, 2, 3], admitted: [true, true, true, false] },
    {
      name: "still refuses one ms before the window has passed",
      timesMs: [0, 1, 2, 59_999],
      admitted: [true, true, true, false],
    },
    { name: "admits again a sixtieth after it has", timesMs: [0, 1, 2, 61_000], admitted: [true, true, true, true] },
    {
      name: "a refusal takes nothing",
      timesMs: [0, 1, 2, 50_000, 61_000, 61_000, 61_000],
      admitted: [true, true, true, false, true, true, true],
    },
  ])("$name", ({ timesMs, admitted }) => {
    expect(run([MINUTE], timesMs)).toEqual(admitted);
  });
});

test("all limits or none: what the hour refuses leaves the minute untouched", () => {
  let windows: Windows = {};
  for (const nowMs of [0, 1, 2, 61_000, 61_001]) windows = take(windows, [MINUTE, HOUR], nowMs).windows;
  const verdict = take(windows, [MINUTE, HOUR], 61_002);
  expect(verdict.kind).toBe("denied");
  expect(verdict.standings.map(({ remaining }) => remaining)).toEqual([1, 0]);
});

test("waiting as long as it says is enough, and one slice less is not always", () => {
  let windows: Windows = {};
  for (const nowMs of [500, 1_500, 2_500]) windows = take(windows, [MINUTE], nowMs).windows;
  const { retryAfterMs } = take(windows, [MINUTE], 30_000);
  expect(take(windows, [MINUTE], 30_000 + retryAfterMs - 1).kind).toBe("denied");
  expect(take(windows, [MINUTE], 30_000 + retryAfterMs).kind).toBe("allowed");
});

const schedule = fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 80 }).map((gapsMs) => {
  let nowMs = 1_700_000_000_000;
  return gapsMs.map((gapMs) => {
    nowMs += gapMs;
    return nowMs;
  });
});

test("never more than max in any window of its length, against an exact log", () => {
  fc.assert(
    fc.property(schedule, fc.integer({ min: 1, max: 6 }), (timesMs, max) => {
      const admitted = run([{ ...MINUTE, max }], timesMs);
      const log = timesMs.filter((_, at) => admitted[at]);
      for (const [at, endMs] of log.entries()) {
        const inWindow = log.slice(0, at + 1).filter((timeMs) => timeMs > endMs - MINUTE.windowMs);
        expect(inWindow.length).toBeLessThanOrEqual(max);
      }
    }),
    { numRuns: 2_000 },
  );
});

test("refuses at most a sixtieth of the window early: a log of the window and a sixtieth would refuse too", () => {
  fc.assert(
    fc.property(schedule, fc.integer({ min: 1, max: 6 }), (timesMs, max) => {
      const admitted = run([{ ...MINUTE, max }], timesMs);
      const log: number[] = [];
      for (const [at, nowMs] of timesMs.entries()) {
        const held = log.filter((timeMs) => timeMs > nowMs - (MINUTE.windowMs * 61) / 60);
        if (!admitted[at]) expect(held.length).toBeGreaterThanOrEqual(max);
        if (admitted[at]) log.push(nowMs);
      }
    }),
    { numRuns: 2_000 },
  );
});
