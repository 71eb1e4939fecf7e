import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Cost, correct, type Limit, look, storedWindows, take, type Windows } from "#src/limits/windows.ts";
import { ExactLog } from "./exact-log.ts";

const MINUTE_MS = 60_000;
const SLICE_MS = MINUTE_MS / 60;
const RPM: Limit = { name: "rpm", unit: "requests", max: 3, windowMs: MINUTE_MS };
const RPH: Limit = { name: "rph", unit: "requests", max: 5, windowMs: 60 * MINUTE_MS };
const TPM: Limit = { name: "tpm", unit: "tokens", max: 100, windowMs: MINUTE_MS };
const BUDGET: Limit = { name: "budget-day", unit: "micros", max: 500, windowMs: 1_440 * MINUTE_MS };
const START_MS = 1_790_000_000_000;

function costing(tokens = 0, micros = 0): Cost {
  return { requests: 1, tokens, micros };
}

/** Asks at each of these times; true where it was admitted. */
function run(limits: readonly Limit[], timesMs: readonly number[], cost = costing()): boolean[] {
  let windows: Windows = {};
  return timesMs.map((nowMs) => {
    const verdict = take(windows, limits, cost, nowMs);
    windows = verdict.windows;
    return verdict.kind === "allowed";
  });
}

/** The windows after requests at these times, each of this cost. */
function charged(limits: readonly Limit[], timesMs: readonly number[], cost = costing()): Windows {
  return timesMs.reduce<Windows>((windows, nowMs) => take(windows, limits, cost, nowMs).windows, {});
}

describe("stored windows", () => {
  test("go on where they were", () => {
    const windows = charged([RPM, TPM], [START_MS, START_MS + 7_000], costing(30));
    expect(storedWindows(JSON.parse(JSON.stringify(windows)))).toEqual(windows);
  });

  test("of an older build allow nobody anything twice", () => {
    const at = (afterMs: number) => Math.floor((START_MS + afterMs) / SLICE_MS);
    const older = { rpm: { [at(0)]: 2, [at(7_000)]: 1 }, tpm: {} };
    const windows = storedWindows(JSON.parse(JSON.stringify(older)));
    expect(look(windows, [RPM, TPM], START_MS + 8_000)).toMatchObject([{ remaining: 0 }, { remaining: 100 }]);
    expect(take(windows, [RPM], costing(), START_MS + 8_000).kind).toBe("denied");
    // Two leave a window and a slice after they came, and the third stays for seven seconds more.
    expect(look(windows, [RPM], START_MS + MINUTE_MS + SLICE_MS)).toMatchObject([{ remaining: 2 }]);
  });
});

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
    expect(run([RPM], timesMs)).toEqual(admitted);
  });

  test.each<{ name: string; limit: Limit; cost: Cost; times: number; admitted: number }>([
    {
      name: "requests count as one, whatever else they cost",
      limit: RPM,
      cost: costing(99, 99),
      times: 9,
      admitted: 3,
    },
    { name: "tokens", limit: TPM, cost: costing(30), times: 9, admitted: 3 },
    { name: "tokens to the last one", limit: TPM, cost: costing(50), times: 9, admitted: 2 },
    { name: "money", limit: BUDGET, cost: costing(0, 100), times: 9, admitted: 5 },
    { name: "what costs nothing is never refused", limit: BUDGET, cost: costing(10), times: 9, admitted: 9 },
  ])("of $name", ({ limit, cost, times, admitted }) => {
    const answers = run([limit], Array<number>(times).fill(START_MS), cost);
    expect(answers.filter(Boolean)).toHaveLength(admitted);
  });
});

describe("all limits or none", () => {
  test("what the hour refuses leaves the minute untouched", () => {
    const windows = charged([RPM, RPH], [0, 1, 2, 61_000, 61_001]);
    const verdict = take(windows, [RPM, RPH], costing(), 61_002);
    expect(verdict).toMatchObject({ kind: "denied", violated: [{ limit: RPH }] });
    expect(verdict.standings.map(({ remaining }) => remaining)).toEqual([1, 0]);
    expect(look(verdict.windows, [RPM, RPH], 61_002)).toMatchObject([{ remaining: 1 }, { remaining: 0 }]);
  });

  test("what the budget refuses leaves requests and tokens untouched", () => {
    const limits = [RPM, TPM, BUDGET];
    const verdict = take(charged(limits, [0], costing(40, 450)), limits, costing(40, 100), 1);
    expect(verdict.violated.map(({ limit }) => limit.name)).toEqual(["budget-day"]);
    expect(look(verdict.windows, limits, 1).map(({ remaining }) => remaining)).toEqual([2, 60, 50]);
  });

  test("the windows given are not changed", () => {
    const windows = charged([RPM], [0]);
    const before = structuredClone(windows);
    take(windows, [RPM], costing(), 1);
    correct(windows, [RPM], { requests: -1, tokens: 0, micros: 0 }, 0);
    expect(windows).toEqual(before);
  });
});

describe("how long to wait", () => {
  test("as long as it says is enough, and one ms less is not", () => {
    const windows = charged([RPM], [500, 1_500, 2_500]);
    const { retryAfterMs } = take(windows, [RPM], costing(), 30_000);
    if (retryAfterMs === null) throw new Error("not hopeless");
    expect(take(windows, [RPM], costing(), 30_000 + retryAfterMs - 1).kind).toBe("denied");
    expect(take(windows, [RPM], costing(), 30_000 + retryAfterMs).kind).toBe("allowed");
  });

  test("until as much has left as is asked for, not only the oldest charge", () => {
    const windows = charged([TPM], [0, 10_000, 20_000], costing(30));
    const waitsMs = [30, 60, 90].map((tokens) => take(windows, [TPM], costing(tokens), 30_000).retryAfterMs);
    expect(waitsMs).toEqual([31_000, 41_000, 51_000]);
  });

  test("the longest of the limits that refuse", () => {
    const windows = charged([RPM, RPH], [0, 1, 2, 61_000, 61_001]);
    const full = take(windows, [{ ...RPM, max: 2 }, RPH], costing(), 61_002);
    expect(full.violated.map(({ resetMs }) => resetMs)).toEqual([122_000 - 61_002, 61 * MINUTE_MS - 61_002]);
    expect(full.retryAfterMs).toBe(61 * MINUTE_MS - 61_002);
  });

  test("forever, when the request alone is more than the limit", () => {
    expect(take({}, [RPM, TPM], costing(101), 0)).toMatchObject({ kind: "denied", retryAfterMs: null });
    expect(take({}, [RPM, TPM], costing(100), 0)).toMatchObject({ kind: "allowed", retryAfterMs: 0 });
  });

  test.each([
    { name: "nothing charged, nothing to wait for", timesMs: [], resetMs: 0, remaining: 3 },
    { name: "the oldest charge leaves with its slice's end", timesMs: [500, 2_500], resetMs: 58_000, remaining: 1 },
  ])("a look: $name", ({ timesMs, resetMs, remaining }) => {
    expect(look(charged([RPM], timesMs), [RPM], 3_000)).toEqual([{ limit: RPM, remaining, resetMs }]);
  });

  test("a limit that was lowered below what is charged: nothing remains, never less", () => {
    const windows = charged([RPM], [0, 1, 2]);
    expect(look(windows, [{ ...RPM, max: 1 }], 3)).toMatchObject([{ remaining: 0 }]);
    // Two must leave before one more fits, and they leave one slice after the other.
    const apart = charged([RPM], [0, 10_000, 20_000]);
    expect(take(apart, [{ ...RPM, max: 1 }], costing(), 30_000).retryAfterMs).toBe(51_000);
  });
});

describe("a charge that is corrected", () => {
  const more = (tokens: number): Cost => ({ requests: 0, tokens, micros: 0 });

  test.each([
    { name: "less frees the rest", difference: -30, remaining: 90 },
    { name: "nothing frees all", difference: -40, remaining: 100 },
    { name: "more is counted", difference: 20, remaining: 40 },
    { name: "more than the limit leaves nothing", difference: 500, remaining: 0 },
  ])("$name", ({ difference, remaining }) => {
    const windows = correct(charged([TPM], [0], costing(40)), [TPM], more(difference), 0);
    expect(look(windows, [TPM], 1)).toMatchObject([{ remaining }]);
  });

  test("leaves when it would have left anyway", () => {
    const windows = correct(charged([TPM], [0], costing(40)), [TPM], more(60), 0);
    expect(take(windows, [TPM], costing(1), 60_999).kind).toBe("denied");
    expect(take(windows, [TPM], costing(1), 61_000).kind).toBe("allowed");
  });

  test("is left alone once it has left its window", () => {
    const later = take(charged([TPM], [0], costing(40)), [TPM], costing(10), 61_000).windows;
    expect(look(correct(later, [TPM], more(50), 0), [TPM], 61_000)).toMatchObject([{ remaining: 90 }]);
  });

  test("that was nothing is counted all the same: a price that is known only afterwards", () => {
    const free = charged([BUDGET], [0], costing(10, 0));
    const windows = correct(free, [BUDGET], { requests: 0, tokens: 0, micros: 500 }, 0);
    expect(take(windows, [BUDGET], costing(0, 1), 1).kind).toBe("denied");
  });

  test("is corrected in the windows of its limits and in no other", () => {
    const windows = correct(charged([RPM, TPM], [0], costing(40)), [TPM], more(-40), 0);
    expect(look(windows, [RPM, TPM], 1).map(({ remaining }) => remaining)).toEqual([2, 100]);
  });
});

/** Gaps that meet the edges of slices and windows more often than chance would. */
const gapMs = fc.oneof(
  fc.integer({ min: 0, max: 1_500 }),
  fc.integer({ min: 0, max: 20_000 }),
  fc.constantFrom(0, 1, SLICE_MS - 1, SLICE_MS, MINUTE_MS - 1, MINUTE_MS, MINUTE_MS + SLICE_MS),
);
const asks = fc.array(fc.record({ gapMs, tokens: fc.integer({ min: 0, max: 60 }) }), { minLength: 1, maxLength: 60 });
const limits = fc.record({ rpm: fc.integer({ min: 1, max: 6 }), tpm: fc.integer({ min: 20, max: 150 }) });

test("against an exact log: never a unit too many in any window, and at most a sixtieth of it early", () => {
  fc.assert(
    fc.property(asks, limits, (schedule, { rpm, tpm }) => {
      const both = [
        { ...RPM, max: rpm },
        { ...TPM, max: tpm },
      ];
      const log = new ExactLog();
      let windows: Windows = {};
      let nowMs = START_MS;
      for (const { gapMs: gap, tokens } of schedule) {
        nowMs += gap;
        const verdict = take(windows, both, costing(tokens), nowMs);
        windows = verdict.windows;
        const excess = (windowMs: number) =>
          both.filter(({ name, unit, max }) => log.sum(name, windowMs, nowMs) + costing(tokens)[unit] > max);
        if (verdict.kind === "allowed") expect(excess(MINUTE_MS)).toEqual([]);
        else expect(excess(MINUTE_MS + SLICE_MS)).not.toEqual([]);
        if (verdict.kind === "allowed")
          for (const { name, unit } of both) log.charge(String(nowMs), name, costing(tokens)[unit], nowMs);
      }
    }),
    { numRuns: 2_000 },
  );
});
