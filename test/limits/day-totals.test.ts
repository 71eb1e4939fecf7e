import { describe, expect, test } from "vitest";
import { count, type Totals } from "#src/limits/day-totals.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { eventWith } from "#test/support/events.ts";

const DAY_MS = 86_400_000;
/** The last ms of a day, UTC. */
const LATE_MS = Date.UTC(2026, 10, 21) - 1;

const on = (atMs: number, promptTokens = 10, completionTokens = 5) =>
  eventWith({ atMs, promptTokens, completionTokens });

describe("totals", () => {
  test("are summed up by the day of arrival, UTC", () => {
    const events = [on(LATE_MS), on(LATE_MS, 1, 2), on(LATE_MS + 1)];
    expect(events.reduce<Totals>((totals, event) => count(totals, event, undefined), {})).toEqual({
      "2026-11-20": { requests: 2, promptTokens: 11, completionTokens: 7 },
      "2026-11-21": { requests: 1, promptTokens: 10, completionTokens: 5 },
    });
  });

  test.each([
    { name: "the same again changes nothing", tokens: 10, promptTokens: 10 },
    { name: "another event of the same id takes the place of the one before", tokens: 25, promptTokens: 25 },
    { name: "with less than before too", tokens: 0, promptTokens: 0 },
  ])("$name", ({ tokens, promptTokens }) => {
    const first = on(LATE_MS);
    const second = { ...first, promptTokens: tokens };
    const totals = count(count({}, first, undefined), second, first);
    expect(totals).toEqual({ "2026-11-20": { requests: 1, promptTokens, completionTokens: 5 } });
  });

  test("what is no inference is not counted", () => {
    expect(count({}, auditWith(), undefined)).toEqual({});
  });

  test("the last eight days are kept, whatever the order of arrival", () => {
    const days = [3, 0, 9, 1, 5, 2, 8, 4, 7, 6];
    const totals = days.reduce<Totals>((sums, day) => count(sums, on(LATE_MS + day * DAY_MS), undefined), {});
    expect(Object.keys(totals).sort()).toEqual([
      "2026-11-22",
      "2026-11-23",
      "2026-11-24",
      "2026-11-25",
      "2026-11-26",
      "2026-11-27",
      "2026-11-28",
      "2026-11-29",
    ]);
  });

  test("the record given is not changed", () => {
    const totals = count({}, on(LATE_MS), undefined);
    const before = structuredClone(totals);
    count(totals, on(LATE_MS), undefined);
    expect(totals).toEqual(before);
  });
});
