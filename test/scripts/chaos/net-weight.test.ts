// What one of many has added, and which weighing of a time is meant.
import { expect, test } from "vitest";
import { each, lastWithin } from "#scripts/chaos/net-weight.ts";

const LIGHT = { heapBytes: 10, residentBytes: 100 };
const HEAVY = { heapBytes: 30, residentBytes: 500 };

test.each([
  { name: "one of four", before: LIGHT, after: HEAVY, is: { heapBytes: 5, residentBytes: 100 } },
  {
    name: "V8 was not asked",
    before: { ...LIGHT, heapBytes: null },
    after: HEAVY,
    is: { heapBytes: null, residentBytes: 100 },
  },
  {
    name: "a system that does not tell",
    before: LIGHT,
    after: { ...HEAVY, residentBytes: null },
    is: { heapBytes: 5, residentBytes: null },
  },
])("$name", ({ before, after, is }) => {
  expect(each(before, after, 4)).toEqual(is);
});

test.each([
  { since: 0, until: 10, is: 9 },
  { since: 0, until: 9, is: 5 },
  { since: 5, until: 6, is: 5 },
  { since: 6, until: 9, is: null },
  { since: 6, until: Number.POSITIVE_INFINITY, is: 12 },
])("the last of $since to $until is $is", ({ since, until, is }) => {
  const weighings = [5, 9, 12].map((atMs) => ({ atMs, heapBytes: atMs, residentBytes: atMs }));
  expect(lastWithin(weighings, since, until)).toMatchObject({ heapBytes: is, residentBytes: is });
});
