import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exhaustionOf, trendOf, type Unknown } from "#src/jobs/trend.ts";

const line = (days: number, from: number, perDay: number): number[] =>
  Array.from({ length: days }, (_, day) => from + perDay * day);

describe("the line", () => {
  test.each<{ name: string; values: number[]; trend: object | null }>([
    { name: "no day", values: [], trend: null },
    { name: "one day", values: [5], trend: null },
    { name: "two days have no error", values: [1, 3], trend: { days: 2, perDay: 2, level: 3, perDayError: null } },
    { name: "nothing moves", values: [4, 4, 4, 4], trend: { days: 4, perDay: 0, level: 4, perDayError: 0 } },
    // By hand: slope (5·Σxy − Σx·Σy) / (5·Σx² − (Σx)²) = (5·37 − 10·13) / 50; the residues' squares sum up to 1.1.
    {
      name: "a scatter",
      values: [0, 2, 2, 4, 5].map((value) => value),
      trend: { days: 5, perDay: 1.2, level: 5, perDayError: Math.sqrt(0.8 / 3 / 10) },
    },
  ])("$name", ({ values, trend }) => {
    const found = trendOf(values);
    if (trend === null || found === null) expect(found).toBe(trend);
    else {
      for (const [member, value] of Object.entries(trend)) {
        const has = Reflect.get(found, member);
        if (value === null) expect(has).toBeNull();
        else expect({ member, has }).toEqual({ member, has: expect.closeTo(value, 9) });
      }
    }
  });

  const daily = fc.array(fc.integer({ min: 0, max: 1_000_000 }), { minLength: 3, maxLength: 40 });
  test("no other line lies closer", () => {
    const errorOf = (values: readonly number[], level: number, perDay: number): number =>
      values.reduce((sum, value, day) => sum + (value - (level - perDay * (values.length - 1 - day))) ** 2, 0);
    fc.assert(
      fc.property(
        daily,
        fc.double({ min: -9, max: 9, noNaN: true }),
        fc.double({ min: -9, max: 9, noNaN: true }),
        (values, up, tilt) => {
          const { level, perDay } = trendOf(values) ?? { level: 0, perDay: 0 };
          const best = errorOf(values, level, perDay);
          expect(errorOf(values, level + up, perDay + tilt)).toBeGreaterThanOrEqual(best * (1 - 1e-9) - 1e-3);
        },
      ),
    );
  });

  test("is the line itself where days lie on one", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 3, max: 60 }),
        fc.integer(),
        fc.integer({ min: -1_000, max: 1_000 }),
        (days, from, perDay) => {
          const trend = trendOf(line(days, from, perDay));
          expect(trend?.perDay).toBeCloseTo(perDay, 3);
          expect(trend?.level).toBeCloseTo(from + perDay * (days - 1), 1);
        },
      ),
    );
  });
});

describe("the day on which a bound is reached", () => {
  test.each<{ name: string; values: number[]; bound: number | null; inDays: number }>([
    { name: "today", values: line(7, 94, 1), bound: 100, inDays: 0 },
    { name: "exactly", values: line(10, 1, 1), bound: 20, inDays: 10 },
    { name: "in the middle of a day", values: line(10, 1, 1), bound: 19.5, inDays: 10 },
    { name: "a year ahead", values: line(10, 1, 1), bound: 375, inDays: 365 },
    { name: "where there is nothing at all to reach", values: line(7, 1, 0), bound: 0, inDays: 0 },
  ])("$name", ({ values, bound, inDays }) => {
    expect(exhaustionOf(trendOf(values), bound)).toEqual({ inDays });
  });

  test.each<{ name: string; values: number[]; bound: number | null; unknown: Unknown }>([
    { name: "no day", values: [], bound: 10, unknown: "too_few_days" },
    { name: "six days", values: line(6, 1, 1), bound: 10, unknown: "too_few_days" },
    { name: "no bound", values: line(7, 1, 1), bound: null, unknown: "too_little_host_state" },
    { name: "a fall", values: line(7, 9, -1), bound: 10, unknown: "no_clear_growth" },
    { name: "a standstill", values: line(7, 5, 0), bound: 10, unknown: "no_clear_growth" },
    { name: "growth within the noise", values: [1, 5, 1, 6, 1, 5, 2], bound: 10, unknown: "no_clear_growth" },
    { name: "farther than a year", values: line(10, 1, 1), bound: 375.5, unknown: "beyond_a_year" },
  ])("is not given for $name", ({ values, bound, unknown }) => {
    expect(exhaustionOf(trendOf(values), bound)).toEqual({ unknown });
  });
});
