// When an account does what there is to do, by its timer and by its alarm.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Duties, Errands } from "#src/limits/errands.ts";

const NOW_MS = 1_790_000_000_000;
const NOTHING: Duties = { lookAtMs: null, sendAtMs: null, isFailing: false };

beforeEach(() => {
  vi.useFakeTimers({ now: NOW_MS });
});
afterEach(() => {
  vi.useRealTimers();
});

/** An account with these duties, its alarms in ms from now, and how often it did what was due. */
function accountWith(duties: Partial<Duties>, sendAfterMs = 1_000) {
  const seen = { alarmsInMs: [] as number[], runs: 0, deferred: 0 };
  let run = Promise.resolve();
  const errands = new Errands(
    {
      setAlarm: (atMs) => seen.alarmsInMs.push(atMs - NOW_MS),
      defer: () => {
        seen.deferred += 1;
      },
      now: Date.now,
    },
    () => ({ ...NOTHING, ...duties }),
    () => {
      seen.runs += 1;
      return run;
    },
    sendAfterMs,
  );
  return { errands, seen, runsUntil: (end: Promise<void>) => (run = end) };
}

describe("what is set", () => {
  test.each<{ name: string; duties: Partial<Duties>; alarmsInMs: number[]; runs: number }>([
    { name: "nothing for nothing", duties: {}, alarmsInMs: [], runs: 0 },
    { name: "an alarm for a holder", duties: { lookAtMs: NOW_MS + 9_000 }, alarmsInMs: [9_000], runs: 0 },
    {
      name: "a timer for an event, its alarm later",
      duties: { sendAtMs: NOW_MS + 1_000 },
      alarmsInMs: [31_000],
      runs: 1,
    },
    {
      name: "the holder's alarm, where it comes first",
      duties: { sendAtMs: NOW_MS + 1_000, lookAtMs: NOW_MS + 9_000 },
      alarmsInMs: [9_000],
      runs: 1,
    },
    {
      name: "the alarm alone for what waits longer",
      duties: { sendAtMs: NOW_MS + 1_001 },
      alarmsInMs: [1_001],
      runs: 0,
    },
    {
      name: "the alarm alone for a queue that fails",
      duties: { sendAtMs: NOW_MS + 1_000, isFailing: true },
      alarmsInMs: [1_000],
      runs: 0,
    },
  ])("$name", async ({ duties, alarmsInMs, runs }) => {
    const { errands, seen } = accountWith(duties);
    errands.arm();
    errands.arm();
    expect([seen.alarmsInMs, seen.runs]).toEqual([alarmsInMs, 0]);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([seen.runs, seen.deferred]).toEqual([runs, runs]);
  });

  test("a timer as long as events are told to wait", async () => {
    const { errands, seen } = accountWith({ sendAtMs: NOW_MS + 40 }, 40);
    errands.arm();
    await vi.advanceTimersByTimeAsync(39);
    expect(seen.runs).toBe(0);
    await vi.advanceTimersByTimeAsync(1);
    expect(seen.runs).toBe(1);
  });

  test("an object that is new has the alarm alone, at once for what is due", async () => {
    const { errands, seen } = accountWith({ sendAtMs: NOW_MS + 1_000 });
    errands.begin(null);
    await vi.advanceTimersByTimeAsync(5_000);
    expect([seen.alarmsInMs, seen.runs]).toEqual([[1_000], 0]);
  });
});

test("whoever rings while it is at work waits for the same, and it is armed again afterwards", async () => {
  const { errands, seen, runsUntil } = accountWith({ lookAtMs: NOW_MS + 9_000 });
  const end = Promise.withResolvers<void>();
  runsUntil(end.promise);
  const rung = [errands.rang(), errands.rang()];
  expect([seen.runs, seen.alarmsInMs]).toEqual([1, []]);
  end.resolve();
  await Promise.all(rung);
  expect(seen.alarmsInMs).toEqual([9_000]);
  await errands.rang();
  expect(seen.runs).toBe(2);
});
