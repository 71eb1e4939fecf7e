import fc from "fast-check";
import { validate, version } from "uuid";
import { expect, test } from "vitest";
import { uuidv7 } from "#src/uuid.ts";

test("is a UUID of version 7 that says when it was made, to any judge", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 48 - 1 }), (nowMs) => {
      const id = uuidv7(nowMs);
      expect([validate(id), version(id)]).toEqual([true, 7]);
      expect(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toBe(nowMs);
    }),
  );
});

test("is another one each time, and sorts by time", () => {
  const ids = Array.from({ length: 1_000 }, (_, ms) => uuidv7(1_790_000_000_000 + ms));
  expect(new Set([...ids, uuidv7(1_790_000_000_000)]).size).toBe(1_001);
  expect([...ids].sort()).toEqual(ids);
});
