import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeCursor, encodeCursor } from "#src/ingress/cursor.ts";

test("a position comes back from a URL as it was", () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: "grapheme" })), (position) => {
      const text = encodeCursor(position);
      expect(text).toMatch(/^[\w-]+$/);
      expect(decodeCursor(text)).toEqual(position);
    }),
  );
});

test.each(["", "%", "=", "a", "////", "bm90IGpzb24", "gICA", "Iv8i", "🚇", "W10."])("what is none: %o", (text) => {
  expect(decodeCursor(text)).toBeNull();
});
