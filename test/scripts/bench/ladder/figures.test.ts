import { describe, expect, it } from "vitest";
import { measuredOf, type Round } from "#scripts/bench/ladder/figures.ts";
import type { Rung } from "#scripts/bench/ladder/rungs.ts";
import { tableOf } from "#scripts/bench/ladder/table.ts";

const RUNGS: readonly Rung[] = [
  { name: "first", adds: "the first" },
  { name: "aside", adds: "what few need", isBeside: true },
  { name: "last", adds: "the last" },
];

function round(bare: number, first: number, aside: number, last: number, bareWaited = 0): Round {
  return { costs: new Map(Object.entries({ bare, first, aside, last })), bareWaited };
}

describe("from rounds to figures", () => {
  it("takes the median of what each round says by its own bare workerd", () => {
    // The second round ran on a machine half as fast: as µs it would be the dearest, as a ratio it is the cheapest.
    const { figures, bareUs } = measuredOf(RUNGS, [
      round(100, 150, 400, 300),
      round(200, 220, 600, 560),
      round(100, 160, 500, 320),
    ]);
    expect(bareUs).toBe(100);
    expect(figures.map(({ name, ratio, least, most }) => [name, ratio, least, most])).toEqual([
      ["first", 1.5, 1.1, 1.6],
      ["aside", 4, 3, 5],
      ["last", 3, 2.8, 3.2],
    ]);
  });

  it("says what a stage adds to the one that it stands on, and nothing stands on one beside the path", () => {
    const { figures } = measuredOf(RUNGS, [round(100, 150, 400, 300)]);
    expect(figures.map(({ name, addsUs }) => [name, addsUs])).toEqual([
      ["first", 50],
      ["aside", 250],
      ["last", 150],
    ]);
  });

  it("says how far bare workerd varied, and how long it waited for a core", () => {
    const rounds = [round(100, 1, 1, 1, 0.1), round(130, 1, 1, 1, 2), round(90, 1, 1, 1, 0.2)];
    expect(measuredOf(RUNGS, rounds)).toMatchObject({ bareUs: 100, noise: 0.4, waited: 0.2 });
  });

  it("makes no figures of a round that lacks a rung, or of no round", () => {
    const broken = { costs: new Map([["bare", 100]]), bareWaited: 0 };
    expect(() => measuredOf(RUNGS, [broken])).toThrow("first");
    expect(() => measuredOf(RUNGS, [])).toThrow();
  });
});

describe("the table", () => {
  const measured = measuredOf(RUNGS, [round(100, 150, 400, 300), round(110, 165, 440, 341)]);

  it("has a line for each stage, with what it adds, all up to it, and what it is", () => {
    expect(tableOf("request", RUNGS, measured).split("\n")).toEqual([
      "CPU by request. B, bare workerd, takes 100 µs and varied by 10 %.",
      "stage  adds µs  in all × B  [least-most]  what it is",
      "first       50        1.50  [1.50-1.50]   the first",
      "aside      250        4.00  [4.00-4.00]   what few need",
      "last       150        3.00  [3.00-3.10]   the last",
    ]);
  });

  it("says so where others had the core as well", () => {
    expect(tableOf("request", RUNGS, { ...measured, waited: 1.3 })).toContain("waited for a core 1.3 times as long");
  });
});
