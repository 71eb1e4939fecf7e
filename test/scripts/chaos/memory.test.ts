// How much heavier a process is at the end than after its warm-up.
import { expect, test } from "vitest";
import { growth } from "#scripts/chaos/memory.ts";
import { times } from "./seen.ts";

const weighed = (bytesAt: (at: number) => number) => times(100, (at) => ({ atMs: at * 1_000, bytes: bytesAt(at) }));

test.each([
  { name: "flat", bytesAt: () => 100, is: 0 },
  { name: "grown while it warmed up, then flat", bytesAt: (at: number) => Math.min(at, 35), is: 0 },
  { name: "grown to the end", bytesAt: (at: number) => 100 + at, is: 40 / 149 },
  { name: "breathing", bytesAt: (at: number) => (at % 10 === 0 ? 300 : 100), is: 0 },
])("$name", ({ bytesAt, is }) => {
  expect(growth(weighed(bytesAt))).toBeCloseTo(is, 9);
});

test("nothing is known without weighings", () => {
  expect(growth([])).toBeNull();
  expect(growth([{ atMs: 0, bytes: 100 }])).toBeNull();
});
