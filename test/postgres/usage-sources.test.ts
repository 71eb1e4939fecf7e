import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Span, usageSources } from "#src/postgres/usage-sources.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const NOW = "2026-11-21T08:30:15.250Z";
const at = (text: string): number => Date.parse(text);
const shown = ({ fromMs, toMs }: Span): string =>
  fromMs === toMs ? "nothing" : `${new Date(fromMs).toJSON().slice(0, 16)} to ${new Date(toMs).toJSON().slice(0, 16)}`;

describe("today and yesterday by the minute, whole days before that by the day", () => {
  test.each<{ name: string; from: string; to: string; minutes: [string, string]; days: string }>([
    {
      name: "today",
      from: "2026-11-21",
      to: "2026-11-22",
      minutes: ["2026-11-21T00:00 to 2026-11-22T00:00", "nothing"],
      days: "nothing",
    },
    {
      name: "yesterday",
      from: "2026-11-20",
      to: "2026-11-21",
      minutes: ["2026-11-20T00:00 to 2026-11-21T00:00", "nothing"],
      days: "nothing",
    },
    {
      name: "the day before",
      from: "2026-11-19",
      to: "2026-11-20",
      minutes: ["nothing", "nothing"],
      days: "2026-11-19T00:00 to 2026-11-20T00:00",
    },
    {
      name: "a month",
      from: "2026-10-23",
      to: "2026-11-22",
      minutes: ["nothing", "2026-11-20T00:00 to 2026-11-22T00:00"],
      days: "2026-10-23T00:00 to 2026-11-20T00:00",
    },
    {
      name: "days that are cut",
      from: "2026-11-01T12:30Z",
      to: "2026-11-04T06:00Z",
      minutes: ["2026-11-01T12:30 to 2026-11-02T00:00", "2026-11-04T00:00 to 2026-11-04T06:00"],
      days: "2026-11-02T00:00 to 2026-11-04T00:00",
    },
    {
      name: "within one day long ago",
      from: "2026-11-01T12:30Z",
      to: "2026-11-01T12:31Z",
      minutes: ["2026-11-01T12:30 to 2026-11-01T12:31", "nothing"],
      days: "nothing",
    },
    {
      name: "across a midnight long ago, no whole day",
      from: "2026-11-01T23:00Z",
      to: "2026-11-02T01:00Z",
      minutes: ["2026-11-01T23:00 to 2026-11-02T01:00", "nothing"],
      days: "nothing",
    },
  ])("$name", ({ from, to, minutes, days }) => {
    const sources = usageSources({ fromMs: at(from), toMs: at(to) }, at(NOW));
    expect({ minutes: sources.minutes.map(shown), days: shown(sources.days) }).toEqual({ minutes, days });
  });
});

test("every minute of a range is read once, and no other; days are whole and over", () => {
  const minute = fc.integer({ min: 0, max: 20 * 1_440 }).map((count) => at("2026-11-10") + count * MINUTE_MS);
  const range = fc.tuple(minute, minute).map(([one, other]) => ({
    fromMs: Math.min(one, other),
    toMs: Math.max(one, other) + MINUTE_MS,
  }));
  fc.assert(
    fc.property(range, minute, (asked, nowMs) => {
      const { minutes, days } = usageSources(asked, nowMs);
      const spans = [...minutes, days].filter(({ fromMs, toMs }) => fromMs !== toMs);
      spans.sort((one, other) => one.fromMs - other.fromMs);
      let reachedMs = asked.fromMs;
      for (const { fromMs, toMs } of spans) {
        expect(fromMs).toBe(reachedMs);
        expect(toMs).toBeGreaterThan(fromMs);
        reachedMs = toMs;
      }
      expect(reachedMs).toBe(asked.toMs);
      if (days.fromMs === days.toMs) return;
      expect([days.fromMs % DAY_MS, days.toMs % DAY_MS]).toEqual([0, 0]);
      expect(nowMs - days.toMs).toBeGreaterThanOrEqual(DAY_MS);
    }),
    { numRuns: 500 },
  );
});
