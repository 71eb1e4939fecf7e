import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Clock, NEW_CLOCK, tick } from "#src/limits/clock.ts";

const HOUR_MS = 3_600_000;
/** As much as two machines' clocks may differ in these tests. */
const TOLERANCE_MS = 5_000;

/** What the clock says at each reading of the wall clock. */
function read(wallsMs: readonly number[]): number[] {
  let clock = NEW_CLOCK;
  return wallsMs.map((wallMs) => {
    clock = tick(clock, wallMs);
    return clock.lastMs;
  });
}

/** The same, where another machine says what time it is, too. */
function readTogether(readings: readonly { wallMs: number; theirsMs: number }[]): number[] {
  let clock = NEW_CLOCK;
  return readings.map(({ wallMs, theirsMs }) => {
    clock = tick(clock, wallMs, theirsMs + TOLERANCE_MS);
    return clock.lastMs;
  });
}

describe("readings", () => {
  test.each<{ name: string; wallsMs: number[]; saysMs: number[] }>([
    { name: "the wall clock while it runs on", wallsMs: [10, 10, 15], saysMs: [10, 10, 15] },
    {
      name: "stands for one reading at a step back, then goes on",
      wallsMs: [HOUR_MS, 0, 5],
      saysMs: [HOUR_MS, HOUR_MS, HOUR_MS + 5],
    },
    { name: "a step forward is time that passed", wallsMs: [10, HOUR_MS], saysMs: [10, HOUR_MS] },
    { name: "two steps back", wallsMs: [100, 50, 20, 25], saysMs: [100, 100, 100, 105] },
    { name: "back and forth again", wallsMs: [100, 50, 100], saysMs: [100, 100, 150] },
  ])("$name", ({ wallsMs, saysMs }) => {
    expect(read(wallsMs)).toEqual(saysMs);
  });
});

describe("with another machine's clock", () => {
  const at = (wallMs: number, theirsMs: number) => ({ wallMs, theirsMs });

  test.each<{ name: string; readings: { wallMs: number; theirsMs: number }[]; saysMs: number[] }>([
    { name: "that agrees", readings: [at(10, 9), at(20, 25)], saysMs: [10, 20] },
    { name: "that is behind within tolerance", readings: [at(5_010, 10), at(5_020, 20)], saysMs: [5_010, 5_020] },
    {
      name: "a leap of an hour is a leap as far as the tolerance, once, and time goes on from there",
      readings: [at(10, 10), at(HOUR_MS, 20), at(HOUR_MS + 10, 30), at(HOUR_MS + 9_000, 9_020)],
      saysMs: [10, 5_020, 5_030, 14_020],
    },
    {
      name: "a leap that is taken back",
      readings: [at(10, 10), at(HOUR_MS, 20), at(30, 30), at(40, 40)],
      saysMs: [10, 5_020, 5_020, 5_030],
    },
    {
      name: "a step back that is taken back",
      readings: [at(HOUR_MS, HOUR_MS), at(0, HOUR_MS + 10), at(10, HOUR_MS + 20), at(HOUR_MS + 30, HOUR_MS + 30)],
      saysMs: [HOUR_MS, HOUR_MS, HOUR_MS + 10, HOUR_MS + 5_030],
    },
    {
      name: "that has fallen behind is not believed: nobody's time stands still for it",
      readings: [at(HOUR_MS, HOUR_MS), at(HOUR_MS + 10, 10), at(HOUR_MS + 9_000, 9_000)],
      saysMs: [HOUR_MS, HOUR_MS + 10, HOUR_MS + 9_000],
    },
    {
      name: "two machines by turns, one an hour behind: time goes at its own pace",
      readings: [at(HOUR_MS, HOUR_MS), at(HOUR_MS + 1, 1), at(HOUR_MS + 2, HOUR_MS + 2), at(HOUR_MS + 3, 3)],
      saysMs: [HOUR_MS, HOUR_MS + 1, HOUR_MS + 2, HOUR_MS + 3],
    },
  ])("$name", ({ readings, saysMs }) => {
    expect(readTogether(readings)).toEqual(saysMs);
  });
});

test("a leap that was not borne out is none for readings that nobody vouches for either", () => {
  const before = tick(NEW_CLOCK, 10, 10);
  const judged = tick(before, HOUR_MS, 20);
  expect(tick(judged, HOUR_MS + 5).lastMs).toBe(25);
});

const walls = fc.array(fc.integer({ min: 0, max: 2 * HOUR_MS }), { minLength: 2, maxLength: 50 });

test("it never runs backwards", () => {
  fc.assert(
    fc.property(walls, (wallsMs) => {
      const saysMs = read(wallsMs);
      expect(saysMs).toEqual([...saysMs].sort((a, b) => a - b));
    }),
  );
});

test("between two readings it moves as the wall clock did, or not at all where that stepped back", () => {
  fc.assert(
    fc.property(walls, (wallsMs) => {
      const steps = (timesMs: readonly number[]) => timesMs.slice(1).map((timeMs, at) => timeMs - (timesMs[at] ?? 0));
      expect(steps(read(wallsMs))).toEqual(steps(wallsMs).map((stepMs) => Math.max(0, stepMs)));
    }),
  );
});

test("however often the wall clock leaps, it is never ahead of a true clock by more than the tolerance", () => {
  const readings = fc.array(
    fc.record({ gapMs: fc.integer({ min: 1, max: 90_000 }), wrongMs: fc.constantFrom(0, 0, HOUR_MS, -HOUR_MS) }),
    { minLength: 1, maxLength: 50 },
  );
  fc.assert(
    fc.property(readings, (schedule) => {
      let trueMs = 10 * HOUR_MS;
      let clock: Clock = NEW_CLOCK;
      for (const { gapMs, wrongMs } of schedule) {
        trueMs += gapMs;
        clock = tick(clock, trueMs + wrongMs, trueMs + TOLERANCE_MS);
        expect(clock.lastMs).toBeLessThanOrEqual(trueMs + TOLERANCE_MS);
      }
    }),
  );
});
