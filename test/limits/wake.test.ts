import { beforeEach, expect, test, vi } from "vitest";
import { Wake } from "#src/limits/wake.ts";

const NOW_MS = 1_790_000_000_000;

beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
});

type Step = { readonly at?: number; readonly found?: number; readonly rang?: true; readonly afterMs: number };

test.each<{ name: string; steps: readonly Step[]; set: readonly number[] }>([
  { name: "set for what comes first", steps: [{ at: 500, afterMs: 0 }], set: [500] },
  {
    name: "not put off",
    steps: [
      { at: 500, afterMs: 0 },
      { at: 900, afterMs: 10 },
    ],
    set: [500],
  },
  {
    name: "brought forward",
    steps: [
      { at: 500, afterMs: 0 },
      { at: 200, afterMs: 10 },
    ],
    set: [500, 200],
  },
  {
    name: "set anew when it has rung",
    steps: [
      { at: 500, afterMs: 0 },
      { rang: true, afterMs: 500 },
      { at: 900, afterMs: 510 },
    ],
    set: [500, 900],
  },
  {
    name: "left alone where the storage has an earlier one",
    steps: [
      { found: 300, afterMs: 0 },
      { at: 500, afterMs: 0 },
    ],
    set: [],
  },
  {
    name: "not taken for lost while it may be late",
    steps: [
      { at: 500, afterMs: 0 },
      { at: 600, afterMs: 10_499 },
    ],
    set: [500],
  },
  {
    name: "set again at once when it is lost",
    steps: [
      { at: 500, afterMs: 0 },
      { at: 600, afterMs: 10_500 },
    ],
    set: [500, 10_500],
  },
  {
    name: "set again for later when it is lost",
    steps: [
      { at: 500, afterMs: 0 },
      { at: 20_000, afterMs: 10_500 },
    ],
    set: [500, 20_000],
  },
  {
    name: "lost in another life of the object",
    steps: [
      { found: 500, afterMs: 10_500 },
      { at: 900, afterMs: 10_500 },
    ],
    set: [10_500],
  },
])("an alarm is $name", ({ steps, set }) => {
  const told: number[] = [];
  const wake = new Wake((atMs) => told.push(atMs - NOW_MS));
  for (const { at, found, rang, afterMs } of steps) {
    if (found !== undefined) wake.found(NOW_MS + found);
    if (rang === true) wake.rang();
    if (at !== undefined) wake.at(NOW_MS + at, NOW_MS + afterMs);
  }
  expect(told).toEqual(set);
});
