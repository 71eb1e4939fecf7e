import { describe, expect, test } from "vitest";
import { Grants, inAdvance } from "#src/limits/grants.ts";
import type { Cost, Limit } from "#src/limits/windows.ts";

const START_MS = 1_790_000_000_000;
const RPM: Limit = { name: "rpm/tenant", unit: "requests", max: 100, windowMs: 60_000 };
const TPM: Limit = { name: "tpm/tenant", unit: "tokens", max: 1_000, windowMs: 60_000 };
/** A sixtieth of the window. */
const USABLE_MS = 1_000;

const costing = (tokens: number): Cost => ({ requests: 1, tokens, micros: 0 });

/** Grants that hold so many units of requests, granted at 7 by the tenant's clock. */
function holding(units: number): Grants {
  const grants = new Grants();
  grants.add(RPM, units, 7, START_MS);
  return grants;
}

/** Spends a request of each of these, as far as the grants last; how many did. */
function spent(grants: Grants, times: number, nowMs: number): number {
  let count = 0;
  while (count < times && grants.missing([RPM], costing(0), nowMs).length === 0) {
    grants.spend([RPM], costing(0), nowMs);
    count++;
  }
  return count;
}

describe("what a request lacks", () => {
  test.each<{ name: string; cost: Cost; missing: { limit: Limit; units: number }[] }>([
    {
      name: "everything, where nothing was granted",
      cost: costing(30),
      missing: [
        { limit: RPM, units: 1 },
        { limit: TPM, units: 30 },
      ],
    },
    { name: "nothing of what it does not cost", cost: costing(0), missing: [{ limit: RPM, units: 1 }] },
  ])("$name", ({ cost, missing }) => {
    expect(new Grants().missing([RPM, TPM], cost, START_MS)).toEqual(missing);
  });

  test("nothing of what a grant covers, and all of what it does not", () => {
    const grants = holding(1);
    grants.add(TPM, 29, 7, START_MS);
    expect(grants.missing([RPM, TPM], costing(30), START_MS)).toEqual([{ limit: TPM, units: 30 }]);
    expect(grants.missing([RPM, TPM], costing(29), START_MS)).toEqual([]);
  });
});

describe("a grant", () => {
  test("is spent to its last unit, and not beyond", () => {
    expect(spent(holding(3), 9, START_MS)).toBe(3);
  });

  test("is good for a sixtieth of its window from when it was asked for, and no longer", () => {
    expect(spent(holding(3), 1, START_MS + USABLE_MS - 1)).toBe(1);
    expect(spent(holding(3), 1, START_MS + USABLE_MS)).toBe(0);
  });

  test("says which units were spent, for those that turn out too many", () => {
    const grants = holding(3);
    grants.add(TPM, 50, 9, START_MS);
    expect(grants.spend([RPM, TPM], costing(30), START_MS)).toEqual([
      { limit: RPM, atMs: 7, units: 1 },
      { limit: TPM, atMs: 9, units: 30 },
    ]);
  });
});

describe("what goes back to the tenant", () => {
  test("is nothing while all is spent", () => {
    const grants = holding(1);
    spent(grants, 1, START_MS);
    spent(grants, 1, START_MS + USABLE_MS);
    expect(grants.takeCredits()).toEqual([]);
  });

  test.each<{ name: string; end: (grants: Grants) => void }>([
    { name: "its time is over", end: (grants) => grants.missing([RPM], costing(0), START_MS + USABLE_MS) },
    { name: "another takes its place", end: (grants) => grants.add(RPM, 5, 8, START_MS) },
  ])("is what is left of a grant when $name, once", ({ end }) => {
    const grants = holding(3);
    spent(grants, 1, START_MS);
    end(grants);
    expect(grants.takeCredits()).toEqual([{ limit: RPM, atMs: 7, units: 2 }]);
    expect(grants.takeCredits()).toEqual([]);
  });

  test("is not what goes back to a grant that is still held: it can be spent again", () => {
    const grants = holding(1);
    const [credit] = grants.spend([RPM], costing(0), START_MS);
    if (credit === undefined) throw new Error("nothing was spent");
    grants.giveBack(credit);
    expect(grants.takeCredits()).toEqual([]);
    expect(spent(grants, 9, START_MS)).toBe(1);
  });

  test("is what a request gives back later than its grant was held", () => {
    const grants = holding(1);
    const [credit] = grants.spend([RPM], costing(0), START_MS);
    if (credit === undefined) throw new Error("nothing was spent");
    grants.add(RPM, 5, 8, START_MS);
    grants.giveBack(credit);
    expect(grants.takeCredits()).toEqual([{ limit: RPM, atMs: 7, units: 1 }]);
    expect(spent(grants, 9, START_MS)).toBe(5);
  });

  test.each([
    { name: "taken of the grant that is held", left: 5, units: -5, credits: [], spendable: 0 },
    {
      name: "told to the tenant where that does not have as much",
      left: 4,
      units: -5,
      credits: [{ limit: RPM, atMs: 7, units: -5 }],
      spendable: 4,
    },
    { name: "nothing", left: 4, units: 0, credits: [], spendable: 4 },
  ])("more than was spent is $name", ({ left, units, credits, spendable }) => {
    const grants = holding(left);
    grants.giveBack({ limit: RPM, atMs: 7, units });
    expect(grants.takeCredits()).toEqual(credits);
    expect(spent(grants, 9, START_MS)).toBe(spendable);
  });

  test("nothing of nothing is no credit", () => {
    const grants = new Grants();
    grants.giveBack({ limit: RPM, atMs: 7, units: 0 });
    expect(grants.takeCredits()).toEqual([]);
  });
});

test.each([
  { name: "a fiftieth of the cap", max: 1_000, units: 1, asked: 20 },
  { name: "what it needs, where that is more", max: 1_000, units: 300, asked: 300 },
  { name: "what it needs of a small cap", max: 30, units: 1, asked: 1 },
])("asked for in advance: $name", ({ max, units, asked }) => {
  const limit = { ...RPM, max };
  expect(inAdvance({ limit, units })).toEqual({ limit, units: asked });
});
