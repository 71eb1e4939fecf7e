import fc from "fast-check";
import { expect, test } from "vitest";
import { KeptText } from "#src/upstream/kept-text.ts";

test("it is what was appended, however much and in whatever pieces, or as much of it as it was shortened to", () => {
  const pieces = fc.array(fc.string({ unit: "binary" }), { maxLength: 300 });
  fc.assert(
    fc.property(pieces, fc.nat(600), (appended, length) => {
      const kept = new KeptText();
      for (const piece of appended) kept.append(piece);
      expect(kept.toString()).toBe(appended.join(""));
      expect(kept.length).toBe(appended.join("").length);
      kept.shorten(length);
      expect(kept.toString()).toBe(appended.join("").slice(0, length));
      expect(kept.length).toBe(kept.toString().length);
      kept.append("more");
      expect(kept.toString()).toBe(`${appended.join("").slice(0, length)}more`);
    }),
    { numRuns: 100 },
  );
});
