import fc from "fast-check";
import { expect, test } from "vitest";
import { costMicros } from "#src/usage/price.ts";

test.each<{ name: string; per1kTokens: number | null; tokens: number; micros: number | null }>([
  { name: "unknown is not free", per1kTokens: null, tokens: 1_000, micros: null },
  { name: "free is zero", per1kTokens: 0, tokens: 1_000, micros: 0 },
  { name: "no tokens, no cost", per1kTokens: 0.0001, tokens: 0, micros: 0 },
  { name: "a thousand tokens at 0.0001 dollars", per1kTokens: 0.0001, tokens: 1_000, micros: 100 },
  { name: "one token rounds down", per1kTokens: 0.0001, tokens: 4, micros: 0 },
  { name: "half a micro-dollar rounds up", per1kTokens: 0.0001, tokens: 5, micros: 1 },
  { name: "binary fractions do not show", per1kTokens: 0.0003, tokens: 1_000_000, micros: 300_000 },
  { name: "the dearest model at its whole context", per1kTokens: 0.0008, tokens: 131_072, micros: 104_858 },
])("$name", ({ per1kTokens, tokens, micros }) => {
  expect(costMicros(per1kTokens === null ? undefined : { per1kTokens }, tokens)).toBe(micros);
});

test("an integer that never falls as tokens grow", () => {
  const price = fc.integer({ min: 0, max: 100_000 }).map((micros) => ({ per1kTokens: micros / 1_000_000 }));
  const tokens = fc.integer({ min: 0, max: 10_000_000 });
  fc.assert(
    fc.property(price, tokens, tokens, (price, a, b) => {
      const [less, more] = [costMicros(price, Math.min(a, b)), costMicros(price, Math.max(a, b))];
      expect(Number.isSafeInteger(less)).toBe(true);
      expect(less).toBeLessThanOrEqual(more ?? -1);
    }),
  );
});
