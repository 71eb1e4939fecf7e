// Percentiles, fairness and the part of an answer that lies within a time.
import { describe, expect, test } from "vitest";
import { jain, partWithin, quantile } from "#scripts/chaos/statistics.ts";

describe("quantile", () => {
  const hundred = Array.from({ length: 100 }, (_, at) => 100 - at);
  test.each([
    { name: "of nothing", values: [], part: 0.99, is: null },
    { name: "of one value", values: [7], part: 0.5, is: 7 },
    { name: "the median of an even number is the lower middle", values: [4, 1, 3, 2], part: 0.5, is: 2 },
    { name: "p99 of a hundred leaves one above it", values: hundred, part: 0.99, is: 99 },
    { name: "the least", values: hundred, part: 0, is: 1 },
    { name: "the most", values: hundred, part: 1, is: 100 },
  ])("$name", ({ values, part, is }) => {
    expect(quantile(values, part)).toBe(is);
  });
});

describe("Jain's index", () => {
  test.each([
    { name: "all the same", amounts: [3, 3, 3, 3], is: 1 },
    { name: "one has everything", amounts: [8, 0, 0, 0], is: 0.25 },
    { name: "nobody has anything", amounts: [0, 0], is: null },
    { name: "one of ten has ten times as much", amounts: [10, ...Array(9).fill(1)], is: 361 / 1_090 },
  ])("$name", ({ amounts, is }) => {
    const index = jain(amounts);
    if (is === null) expect(index).toBeNull();
    else expect(index).toBeCloseTo(is, 9);
  });
});

describe("the part within a time", () => {
  test.each([
    { name: "all of it", from: 10, to: 20, part: 1 },
    { name: "none of it, before", from: -20, to: 0, part: 0 },
    { name: "none of it, after", from: 100, to: 120, part: 0 },
    { name: "its end", from: -10, to: 10, part: 0.5 },
    { name: "its beginning", from: 75, to: 175, part: 0.25 },
    { name: "its middle", from: -50, to: 150, part: 0.5 },
    { name: "an instant within", from: 50, to: 50, part: 1 },
    { name: "an instant without", from: 150, to: 150, part: 0 },
  ])("$name", ({ from, to, part }) => {
    expect(partWithin(from, to, 0, 100)).toBeCloseTo(part, 9);
  });
});
