import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NEW_CLOCK, tick } from "#src/limits/clock.ts";

const HOUR_MS = 3_600_000;

/** What the clock says at each reading of the wall clock. */
function read(wallsMs: readonly number[]): number[] {
  let clock = NEW_CLOCK;
  return wallsMs.map((wallMs) => {
    clock = tick(clock, wallMs);
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
