import fc from "fast-check";
import { expect, test } from "vitest";
import { RetryBudget } from "#src/upstream/retry-budget.ts";

const granted = (budget: RetryBudget, tries: number, nowMs: number): number =>
  Array.from({ length: tries }, () => budget.retry(nowMs)).filter((may) => may).length;

test.each([
  { name: "nothing asked: three all the same", asked: 0, may: 3 },
  { name: "a few asked: still three", asked: 10, may: 3 },
  { name: "a fifth of many", asked: 100, may: 20 },
])("$name", ({ asked, may }) => {
  const budget = new RetryBudget();
  for (let one = 0; one < asked; one++) budget.asked(5_000);
  expect(granted(budget, 50, 5_000)).toBe(may);
});

test("what was asked and retried counts for ten seconds", () => {
  const budget = new RetryBudget();
  for (let one = 0; one < 100; one++) budget.asked(1_000);
  expect(granted(budget, 12, 1_000)).toBe(12);
  expect(granted(budget, 50, 10_999)).toBe(8);
  expect(granted(budget, 50, 11_000)).toBe(0);
  expect(granted(budget, 50, 25_000)).toBe(3);
});

test("never more than a fifth, or three, in any ten seconds, also with a clock that steps back", () => {
  const step = fc.record({ afterMs: fc.integer({ min: -3_000, max: 3_000 }), isRetry: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const budget = new RetryBudget();
      let nowMs = 1_000_000;
      // The latest that it was told.
      let latestMs = 0;
      const seen: { atMs: number; isRetry: boolean }[] = [];
      for (const { afterMs, isRetry } of steps) {
        nowMs = Math.max(0, nowMs + afterMs);
        latestMs = Math.max(latestMs, nowMs);
        if (!isRetry) budget.asked(nowMs);
        if (!isRetry || budget.retry(nowMs)) seen.push({ atMs: latestMs, isRetry });
        // Slices of a second: what is in the last nine whole ones surely counts.
        const recent = seen.filter(({ atMs }) => atMs > latestMs - 9_000);
        const asked = seen.filter((one) => !one.isRetry && one.atMs > latestMs - 11_000).length;
        expect(recent.filter((one) => one.isRetry).length).toBeLessThanOrEqual(Math.max(3, asked / 5));
      }
    }),
    { numRuns: 200 },
  );
});
