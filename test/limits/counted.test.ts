import { expect, test } from "vitest";
import { Counted } from "#src/limits/counted.ts";

test("knows the last thousand, and forgets the eldest", () => {
  const counted = new Counted();
  for (let id = 0; id <= 1_000; id++) counted.add(String(id));
  expect([counted.has("0"), counted.has("1"), counted.has("1000")]).toEqual([false, true, true]);
});
