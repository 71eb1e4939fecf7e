import { describe, expect, test } from "vitest";
import { type LoadCaller, type PoolLoad, simulate } from "#scripts/bench/pool-load.ts";
import { jain, quantile, sum } from "#scripts/chaos/statistics.ts";

/** 12 slots of 1.5 s: 8 requests/s. */
const SMALL = { hosts: 3, slots: 4, msPerToken: 25 };
const CAPACITY_PER_S = 8;
const TOKENS = 60;
const TTFT_MS = 200;

/** Ten callers of whom one asks ten times as often, together so many times what can be served. */
function overload(times: number): readonly LoadCaller[] {
  const perSecond = (times * CAPACITY_PER_S) / 19;
  return Array.from({ length: 10 }, (_, nth) => {
    return { share: 1, tokens: TOKENS, perSecond: nth === 0 ? 10 * perSecond : perSecond };
  });
}

describe("three times what can be served, for three minutes, one of ten floods", () => {
  const runs = [1, 2, 3].map((seed) =>
    simulate({
      ...{ seed, ...SMALL, callers: overload(3) },
      ...{ forMs: 180_000, fillMs: 10_000, maxWaitMs: 10_000, mayCutWait: true },
    }),
  );

  test("the slots work, and none beyond them", () => {
    expect(sum(runs.map(({ utilisation }) => utilisation)) / runs.length).toBeGreaterThanOrEqual(0.9);
    expect(runs.map(({ mostOnAHost }) => mostOnAHost)).toEqual(runs.map(() => SMALL.slots));
  });

  test.each(runs)("everyone is served the same", ({ tokens }) => {
    expect(jain(tokens)).toBeGreaterThanOrEqual(0.95);
    expect(jain(tokens.slice(1))).toBeGreaterThanOrEqual(0.98);
  });

  test.each(runs)("hardly anybody who is let in waits at all, and the others are told at once", (served) => {
    expect(quantile(served.waitsMs, 0.95)).toBeLessThanOrEqual(TTFT_MS);
    expect(served.refused / served.requests).toBeGreaterThan(0.6);
    expect(served.longestLine).toBeLessThan(40);
  });
});

describe("room for everybody", () => {
  const load: PoolLoad = {
    ...{ seed: 1, ...SMALL, callers: overload(0.7) },
    ...{ forMs: 180_000, fillMs: 10_000, maxWaitMs: 10_000, mayCutWait: true },
  };
  const served = simulate(load);

  test("nobody is refused, however unevenly they ask", () => {
    expect(served.refused).toBe(0);
    expect(served.tokens[0]).toBeGreaterThan(5 * (served.tokens[1] ?? 0));
  });
});

describe("a long line of callers who always want more", () => {
  const shares = [1, 2, 4];
  const sizes = [30, 60, 120];
  const callers = Array.from({ length: 180 }, (_, nth): LoadCaller => {
    return { share: shares[nth % 3] ?? 1, tokens: sizes[Math.floor(nth / 3) % 3] ?? 1, perSecond: null };
  });
  const load: PoolLoad = {
    ...{ seed: 1, hosts: 4, slots: 4, msPerToken: 25, callers },
    ...{ forMs: 900_000, fillMs: 60_000, maxWaitMs: 3_600_000, mayCutWait: false },
  };
  const served = simulate(load);
  const of = (share: number): number[] => served.tokens.filter((_, nth) => callers[nth]?.share === share);

  test("hardly anybody is refused, and the slots always work", () => {
    expect(served.refused / served.requests).toBeLessThan(0.002);
    expect(served.longestLine).toBe(180);
    expect(served.utilisation).toBeGreaterThan(0.99);
    expect(served.mostOnAHost).toBe(4);
  });

  test.each(shares)("those with a share of %i are served the same tokens, though not the same requests", (share) => {
    expect(jain(of(share))).toBeGreaterThanOrEqual(0.95);
  });

  test("shares are served in proportion", () => {
    const perShare = shares.map((share) => sum(of(share)) / share);
    expect(Math.max(...perShare) / Math.min(...perShare)).toBeLessThan(1.1);
    expect(jain(served.tokens.map((tokens, nth) => tokens / (callers[nth]?.share ?? 1)))).toBeGreaterThanOrEqual(0.95);
  });
});
