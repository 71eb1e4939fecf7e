import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NEW_CLOCK, tick } from "#src/limits/clock.ts";

const HOUR_MS = 3_600_000;
/** What two machines' clocks may differ by. */
const TOLERANCE_MS = 5_000;

/** What the clock says at each reading of the wall clock. */
function read(wallsMs: readonly number[]): number[] {
  let clock = NEW_CLOCK;
  return wallsMs.map((wallMs) => {
    clock = tick(clock, wallMs);
    return clock.lastMs;
  });
}

type Reading = { readonly wallMs: number; readonly askedAtMs: number | null };

/** The same, where other machines say what time it is, too. */
function readTogether(readings: readonly Reading[]): number[] {
  let clock = NEW_CLOCK;
  return readings.map(({ wallMs, askedAtMs }) => {
    clock = tick(clock, wallMs, askedAtMs);
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

describe("with the clock of another machine that asks", () => {
  const H = HOUR_MS;
  /** The wall clock, and the other one's. */
  const at = (wallMs: number, askedAtMs: number | null): Reading => ({ wallMs, askedAtMs });

  test.each<{ name: string; readings: Reading[]; saysMs: number[] }>([
    { name: "and agrees", readings: [at(10, 9), at(20, 25)], saysMs: [10, 20] },
    { name: "and has always been behind", readings: [at(2 * H, H), at(2 * H + 9, H + 9)], saysMs: [2 * H, 2 * H + 9] },
    { name: "an idle hour is an hour", readings: [at(10, 10), at(H, H)], saysMs: [10, H] },
    {
      name: "a leap is none, and time goes on from there",
      readings: [at(10, 10), at(H, 20), at(H + 10, 30), at(H + 9_000, 9_020)],
      saysMs: [10, 20, 30, 9_020],
    },
    { name: "a leap within tolerance is one", readings: [at(10, 10), at(5_020, 20)], saysMs: [10, 5_020] },
    {
      name: "leaps and returns do not add up",
      readings: [at(10, 10), at(5_020, 20), at(H, 30), at(40, 40), at(H, 50), at(60, 60)],
      saysMs: [10, 5_020, 5_020, 5_020, 5_020, 5_020],
    },
    {
      name: "a leap is none for a reading without it either, once it was judged",
      readings: [at(10, 10), at(H, 20), at(H + 5, null)],
      saysMs: [10, 20, 25],
    },
    {
      name: "a step back that is taken back",
      readings: [at(H, H), at(0, H + 10), at(10, H + 20), at(H + 30, H + 30)],
      saysMs: [H, H, H + 10, H + 20],
    },
    {
      name: "a step back that no request saw, taken back",
      readings: [at(H, H), at(0, null), at(H + 30, H + 30)],
      saysMs: [H, H, H + 30],
    },
    {
      name: "a clock that was behind from the first and is put right",
      readings: [at(H, 2 * H), at(2 * H + 10, 2 * H + 10), at(2 * H + 20, 2 * H + 20)],
      saysMs: [H, H + 10, H + 20],
    },
    {
      name: "both step back: an idle hour afterwards is an hour all the same",
      readings: [at(H, H), at(0, 0), at(H, H)],
      saysMs: [H, H, 2 * H],
    },
    {
      name: "both step back, seen first by a reading without the other",
      readings: [at(H, H), at(0, null), at(10, 10), at(H, H)],
      saysMs: [H, H, H + 10, 2 * H],
    },
    {
      name: "which has fallen behind is not believed: nobody's time stands still for it",
      readings: [at(H, H), at(H + 10, 10), at(H + 9_000, 9_000)],
      saysMs: [H, H + 10, H + 9_000],
    },
    {
      name: "two of them by turns, one an hour behind: time goes at its own pace",
      readings: [at(H, H), at(H + 1, 1), at(H + 2, H + 2), at(H + 3, 3), at(H + 4, H + 4)],
      saysMs: [H, H + 1, H + 2, H + 3, H + 4],
    },
  ])("$name", ({ readings, saysMs }) => {
    expect(readTogether(readings)).toEqual(saysMs);
  });
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

test("however often the wall clock leaps, it is never ahead of a true one by more than the tolerance", () => {
  const readings = fc.array(
    fc.record({ gapMs: fc.integer({ min: 1, max: 90_000 }), wrongMs: fc.constantFrom(0, 0, HOUR_MS, -HOUR_MS) }),
    { minLength: 1, maxLength: 50 },
  );
  fc.assert(
    fc.property(readings, (schedule) => {
      let trueMs = 10 * HOUR_MS;
      let clock = tick(NEW_CLOCK, trueMs, trueMs);
      for (const { gapMs, wrongMs } of schedule) {
        trueMs += gapMs;
        clock = tick(clock, trueMs + wrongMs, trueMs);
        expect(clock.lastMs).toBeLessThanOrEqual(trueMs + TOLERANCE_MS);
      }
    }),
  );
});
