import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Flood, NO_FLOOD, sample } from "#src/ingress/flood.ts";

const MOST_OF_ONE = 10;
const MOST_IN_ALL = 100;
const MINUTE_MS = 60_000;
const NOW_MS = 1_790_000_000_000;

type Denial = { readonly source: string; readonly atMs: number };

/** What became of each: how many were left out before it, or null where it was left out. */
function verdicts(denials: readonly Denial[]): (number | null)[] {
  let flood: Flood = NO_FLOOD;
  return denials.map(({ source, atMs }) => {
    const sampled = sample(flood, source, atMs);
    flood = sampled.flood;
    return sampled.suppressed;
  });
}

const burst = (count: number, source: string, atMs = NOW_MS): Denial[] => Array(count).fill({ source, atMs });

test("the first of a source are recorded, the rest is counted and told by the next one of any", () => {
  const seen = verdicts([...burst(MOST_OF_ONE + 5, "a"), ...burst(2, "b")]);
  expect(seen).toEqual([...Array(MOST_OF_ONE).fill(0), ...Array(5).fill(null), 5, 0]);
});

test("many sources together are bounded too", () => {
  const seen = verdicts(Array.from({ length: MOST_IN_ALL + 50 }, (_, at) => ({ source: `s${at}`, atMs: NOW_MS })));
  expect(seen.filter((suppressed) => suppressed !== null)).toHaveLength(MOST_IN_ALL);
});

test.each<{ name: string; laterMs: number; last: number | null }>([
  { name: "within the minute", laterMs: MINUTE_MS - 1, last: null },
  { name: "a minute later", laterMs: MINUTE_MS, last: 3 },
  { name: "a clock set back a little", laterMs: -1_000, last: null },
  { name: "a clock set back by an hour", laterMs: -3_600_000, last: 3 },
])("$name", ({ laterMs, last }) => {
  const seen = verdicts([...burst(MOST_OF_ONE + 3, "a"), { source: "a", atMs: NOW_MS + laterMs }]);
  expect(seen.at(-1)).toBe(last);
});

describe("whatever comes, in any order of sources", () => {
  const denials = fc
    .array(fc.record({ source: fc.constantFrom("a", "b", "c"), gapMs: fc.integer({ min: 0, max: 2_000 }) }), {
      maxLength: 400,
    })
    .map((gaps) => {
      let atMs = NOW_MS;
      return gaps.map(({ source, gapMs }) => {
        atMs += gapMs;
        return { source, atMs };
      });
    });

  test("no minute holds more of one source than the bound", () => {
    fc.assert(
      fc.property(denials, (sent) => {
        const seen = verdicts(sent);
        const recorded = sent.filter((_, at) => seen[at] !== null);
        for (const { source, atMs } of recorded) {
          const minute = recorded.filter(
            (one) => one.source === source && one.atMs >= atMs && one.atMs < atMs + MINUTE_MS,
          );
          expect(minute.length).toBeLessThanOrEqual(MOST_OF_ONE);
        }
      }),
    );
  });

  test("those recorded and those told of are all there were, but for the last ones left out", () => {
    fc.assert(
      fc.property(denials, (sent) => {
        const seen = verdicts(sent);
        const told = seen.reduce<number>((sum, suppressed) => sum + (suppressed === null ? 0 : suppressed + 1), 0);
        const untold = seen.length - 1 - seen.findLastIndex((suppressed) => suppressed !== null);
        expect(told + untold).toBe(sent.length);
      }),
    );
  });
});
