// Medians, ratios within a round, noise, memory by stream, failures.
import { describe, expect, test } from "vitest";
import {
  bytesByStream,
  cpuPerEventUs,
  cpuPerRequestUs,
  differences,
  doubt,
  failuresOf,
  figureOf,
  ratios,
  roundsOf,
  variation,
} from "#scripts/bench/figures.ts";
import { measured, seen } from "./seen.ts";

const rounds = (...values: (number | null)[]) =>
  new Map(values.flatMap((value, round) => (value === null ? [] : [[round, value] as const])));

test.each([
  { name: "nothing", values: rounds(), is: null },
  { name: "one", values: rounds(3), is: { median: 3, least: 3, most: 3 } },
  {
    name: "an outlier moves the most, not the median",
    values: rounds(2, 90, 1),
    is: { median: 2, least: 1, most: 90 },
  },
])("figure of $name", ({ values, is }) => {
  expect(figureOf(values)).toEqual(is);
});

// The second round was slow for both: by itself each figure doubles, in comparison neither does.
test.each([
  { name: "ratios", how: ratios, own: rounds(20, 40, 24), is: [2, 2, 2.4] },
  { name: "differences", how: differences, own: rounds(20, 40, 24), is: [10, 20, 14] },
  { name: "a round that only one has", how: ratios, own: rounds(20, null, 24, 50), is: [2, 2.4] },
])("$name are made within the round", ({ how, own, is }) => {
  expect([...how(own, rounds(10, 20, 10)).values()]).toEqual(is);
});

test("nothing is so many times nothing", () => {
  expect(ratios(rounds(5), rounds(0)).size).toBe(0);
});

describe("cost by request and by event", () => {
  test.each([
    { name: "by request", measure: cpuPerRequestUs, of: { requests: 50, cpuUs: 10_000 }, is: 200 },
    { name: "by event", measure: cpuPerEventUs, of: { requests: 1, events: 500, cpuUs: 10_000 }, is: 20 },
    { name: "when nothing was answered", measure: cpuPerRequestUs, of: { requests: 0, cpuUs: 10_000 }, is: null },
    { name: "when no event came", measure: cpuPerEventUs, of: { cpuUs: 10_000 }, is: null },
    { name: "of what has no process of its own", measure: cpuPerRequestUs, of: { requests: 50, cpuUs: 0 }, is: null },
  ])("$name", ({ measure, of, is }) => {
    expect(measure(seen(of))).toBe(is);
  });
});

test("rounds are those of one contestant in one scenario", () => {
  const all = [
    ...measured("json-64", "bare", [{ cpuUs: 100 }, { cpuUs: 200 }]),
    ...measured("json-1", "bare", [{ cpuUs: 300 }]),
    ...measured("json-64", "causeway", [{ cpuUs: 400 }]),
  ];
  expect(roundsOf(all, "json-64", "bare workerd", cpuPerRequestUs)).toEqual(rounds(1, 2));
});

describe("whether bare workerd is a measure at all", () => {
  const all = (...cpuUs: number[]) =>
    measured(
      "json-64",
      "bare",
      cpuUs.map((cpu) => ({ cpuUs: cpu })),
    );
  test.each([
    { name: "three rounds alike", of: all(100, 101, 99), is: null },
    { name: "a quarter apart is just bearable", of: all(90, 100, 115), is: null },
    { name: "more than a quarter", of: all(90, 100, 116), is: "too noisy" },
    { name: "two rounds", of: all(100, 100), is: "too few rounds" },
    { name: "none", of: [], is: "too few rounds" },
  ])("$name", ({ of, is }) => {
    expect(doubt(of, "json-64", cpuPerRequestUs)).toBe(is);
  });
  test("of nothing there is no variation", () => expect(variation(rounds())).toBeNull());
});

test("memory by stream is over the process's least, which it had before the first streams came", () => {
  const all = [
    ...measured("slow-500", "causeway", [
      { bytes: 150e6, bytesBefore: 100e6 },
      // What it took for the first round it still has.
      { bytes: 152e6, bytesBefore: 148e6 },
    ]),
    ...measured("slow-1000", "causeway", [{ bytes: 200e6, bytesBefore: 150e6 }]),
    ...measured("slow-1000", "bare", [{ bytes: 90e6, bytesBefore: 1e6 }]),
  ];
  expect(bytesByStream(all, "slow-1000", "Causeway", 1_000)?.median).toBe(100e3);
  expect(bytesByStream(all, "slow-500", "Causeway", 500)).toEqual({ median: 100e3, least: 100e3, most: 104e3 });
  expect(bytesByStream(all, "slow-1000", "direct", 1_000)).toBeNull();
});

test("failures are counted over the rounds, with the first of them, and silence is one too", () => {
  const all = measured("streams", "litellm", [
    { events: 10 },
    { failed: 2, failure: "500 oh" },
    { failed: 1, failure: "later", requests: 0 },
  ]);
  expect(failuresOf(all, "streams", "LiteLLM")).toEqual({ failed: 3, first: "500 oh", silent: 1 });
  expect(failuresOf(all, "bursts", "LiteLLM")).toEqual({ failed: 0, first: null, silent: 0 });
});
