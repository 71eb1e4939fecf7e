import fc from "fast-check";
import { expect, test } from "vitest";
import { KeptText } from "#src/upstream/kept-text.ts";

test("it is what was appended, however much and in whatever pieces", () => {
  const pieces = fc.array(fc.string({ unit: "binary" }), { maxLength: 300 });
  fc.assert(
    fc.property(pieces, (appended) => {
      const kept = new KeptText();
      for (const piece of appended) kept.append(piece);
      expect(kept.toString()).toBe(appended.join(""));
      expect(kept.length).toBe(appended.join("").length);
    }),
    { numRuns: 100 },
  );
});
