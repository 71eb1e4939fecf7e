import { expect, test } from "vitest";
import { DEFAULT_TIERS, type Tier } from "#src/catalog/tier.ts";
import { type LocalAllowances, takeLocally } from "#src/limits/local-allowance.ts";

const START_MS = 1_790_000_000_000;
const HOUR_MS = 3_600_000;

function tierWith(rpm: number | null): Tier {
  const { default: tier } = DEFAULT_TIERS;
  if (tier === undefined) throw new Error("no default tier");
  return rpm === null ? tier : { ...tier, localAllowance: { rpm } };
}

/** Asks at each of these times; true where it may pass. */
function run(allowances: LocalAllowances, timesMs: readonly number[], account = "a", tier = tierWith(3)): boolean[] {
  return timesMs.map((nowMs) => takeLocally(allowances, account, tier, nowMs) !== null);
}

test("without an allowance in the catalog nobody passes", () => {
  expect(takeLocally(new Map(), "a", tierWith(null), START_MS)).toBeNull();
});

test("exactly so many within a minute, and again afterwards", () => {
  const timesMs = [0, 1, 2, 3, 59_999, 61_000].map((ms) => START_MS + ms);
  expect(run(new Map(), timesMs)).toEqual([true, true, true, false, false, true]);
});

test("says what is left", () => {
  const [standing] = takeLocally(new Map(), "a", tierWith(3), START_MS) ?? [];
  expect(standing).toMatchObject({ limit: { name: "local", max: 3, windowMs: 60_000 }, remaining: 2 });
});

test("each caller has its own", () => {
  const allowances: LocalAllowances = new Map();
  expect(run(allowances, [START_MS, START_MS, START_MS, START_MS])).toEqual([true, true, true, false]);
  expect(run(allowances, [START_MS], "b")).toEqual([true]);
});

test.each([
  { name: "back", stepMs: -HOUR_MS },
  { name: "back, and time went on", stepMs: -HOUR_MS + 30_000 },
])("a clock that steps $name admits nobody again, and locks nobody out for longer than a minute", ({ stepMs }) => {
  const allowances: LocalAllowances = new Map();
  run(allowances, [START_MS, START_MS, START_MS]);
  const steppedMs = START_MS + stepMs;
  expect(run(allowances, [steppedMs, steppedMs + 59_000, steppedMs + 61_000])).toEqual([false, false, true]);
});

test("ten thousand callers are remembered, and the one unseen for longest is forgotten first", () => {
  const allowances: LocalAllowances = new Map();
  const tier = tierWith(1);
  for (let caller = 0; caller < 10_000; caller++) takeLocally(allowances, `c${caller}`, tier, START_MS);
  run(allowances, [START_MS], "c0", tier);
  run(allowances, [START_MS], "new", tier);
  expect(allowances.size).toBe(10_000);
  expect(run(allowances, [START_MS], "c0", tier)).toEqual([false]);
  expect(run(allowances, [START_MS], "c1", tier)).toEqual([true]);
});
