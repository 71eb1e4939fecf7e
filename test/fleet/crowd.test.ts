import { describe, expect, test } from "vitest";
import { seeded } from "#scripts/storm/chance.ts";
import { Crowd } from "#src/fleet/crowd.ts";

const START_MS = 1_790_000_000_000;
const SECOND_MS = 1_000;
const WEIGHT = 100;
/** What the hosts can serve. */
const SERVED_PER_S = 10;

type Demand = { readonly perSecond: number; readonly share?: number };

/** Callers who ask at random at their rates for so long; while `stands`, a line does. */
function asking(crowd: Crowd, demands: readonly Demand[], fromMs: number, forS: number, seed = 1) {
  const chance = seeded(seed);
  const asked = demands.map(() => 0);
  const letIn = demands.map(() => 0);
  let overloaded = 0;
  const arrivals = demands
    .flatMap(({ perSecond }, caller) => {
      const times: { readonly atMs: number; readonly caller: number }[] = [];
      for (let atMs = fromMs; atMs < fromMs + forS * SECOND_MS; ) {
        atMs += (-Math.log(1 - chance()) * SECOND_MS) / perSecond;
        times.push({ atMs, caller });
      }
      return times;
    })
    .sort((a, b) => a.atMs - b.atMs);
  for (const { atMs, caller } of arrivals) {
    const ask = { account: String(caller), share: demands[caller]?.share ?? 1, weight: WEIGHT };
    asked[caller] = (asked[caller] ?? 0) + 1;
    const isOverloaded = crowd.asks(ask, SERVED_PER_S / SECOND_MS, atMs);
    if (isOverloaded) overloaded++;
    if (isOverloaded && crowd.shareMs(ask.account) > 0) continue;
    letIn[caller] = (letIn[caller] ?? 0) + 1;
    crowd.lets(ask);
  }
  const perSecond = (counts: readonly number[]): number[] => counts.map((count) => count / forS);
  return { asked: perSecond(asked), letIn: perSecond(letIn), overloaded: overloaded / arrivals.length };
}

/** The same once it is in its stride: a line stands, and the first ten seconds are not counted. */
function overloaded(demands: readonly Demand[]) {
  const crowd = new Crowd();
  crowd.waits(1, START_MS - SECOND_MS);
  asking(crowd, demands, START_MS, 10, 2);
  return asking(crowd, demands, START_MS + 10 * SECOND_MS, 60);
}

const equal = (count: number, perSecond: number): Demand[] => Array.from({ length: count }, () => ({ perSecond }));
const total = (rates: readonly number[]): number => rates.reduce((sum, rate) => sum + rate, 0);

describe("nobody is cut", () => {
  test("while less is asked for than is served, though a line stands and one asks most of it", () => {
    const { asked, letIn, overloaded: part } = overloaded([{ perSecond: 5 }, ...equal(5, 0.4)]);
    expect(letIn).toEqual(asked);
    expect(part).toBe(0);
  });

  test("before a line has stood for half a second, however much is asked for", () => {
    const ask = { account: "x", share: 1, weight: WEIGHT };
    const crowd = new Crowd();
    crowd.waits(1, START_MS);
    const answers = Array.from({ length: 100 }, (_, nth) => crowd.asks(ask, 0.01, START_MS + nth * 4));
    expect(answers).not.toContain(true);
    expect(crowd.asks(ask, 0.01, START_MS + 500)).toBe(true);
  });

  test("by a line that has been empty meanwhile", () => {
    const ask = { account: "x", share: 1, weight: WEIGHT };
    const crowd = new Crowd();
    crowd.waits(1, START_MS);
    for (let nth = 0; nth < 100; nth++) crowd.asks(ask, 0.01, START_MS + nth);
    crowd.waits(-1, START_MS + 200);
    crowd.waits(1, START_MS + 300);
    expect(crowd.asks(ask, 0.01, START_MS + 700)).toBe(false);
    expect(crowd.asks(ask, 0.01, START_MS + 800)).toBe(true);
  });

  test("while nobody knows what the hosts can do", () => {
    const crowd = new Crowd();
    crowd.waits(1, START_MS);
    const ask = { account: "x", share: 1, weight: WEIGHT };
    const answers = Array.from({ length: 100 }, (_, nth) => crowd.asks(ask, null, START_MS + nth * 100));
    expect(answers).not.toContain(true);
  });
});

describe("too much", () => {
  test("one of ten floods with ten times the others': it is cut to their rate", () => {
    const { letIn } = overloaded([{ perSecond: 16 }, ...equal(9, 1.6)]);
    const others = total(letIn.slice(1)) / 9;
    expect(letIn[0]).toBeLessThan(1.5 * others);
    expect(letIn[0]).toBeGreaterThan(0.67 * others);
    expect(total(letIn)).toBeGreaterThan(SERVED_PER_S);
    expect(total(letIn)).toBeLessThan(1.3 * SERVED_PER_S);
  });

  test("who asks for less than the others may have is not touched", () => {
    const { asked, letIn } = overloaded([{ perSecond: 40 }, ...equal(5, 0.5)]);
    expect(total(letIn.slice(1))).toBeGreaterThanOrEqual(0.97 * total(asked.slice(1)));
    expect(letIn[0]).toBeGreaterThan(6);
    expect(letIn[0]).toBeLessThan(11);
  });

  test("everyone may have what its share says", () => {
    const { letIn } = overloaded([1, 2, 4].map((share) => ({ perSecond: 20, share })));
    const perShare = letIn.map((rate, nth) => rate / 2 ** nth);
    expect(Math.max(...perShare) / Math.min(...perShare)).toBeLessThan(1.2);
  });

  test("who comes anew is let in at once, and who is cut is told when it may come", () => {
    const crowd = new Crowd();
    crowd.waits(1, START_MS - SECOND_MS);
    asking(crowd, equal(2, 20), START_MS, 20);
    const nowMs = START_MS + 20 * SECOND_MS;
    const late = { account: "late", share: 1, weight: WEIGHT };
    expect(crowd.asks(late, SERVED_PER_S / SECOND_MS, nowMs)).toBe(true);
    expect(crowd.shareMs("late")).toBe(0);
    // It floods as well: sooner or later it is told to wait, and for about as long as its share of one request takes.
    let waitMs = 0;
    for (let nth = 0; nth < 50 && waitMs === 0; nth++) {
      crowd.asks(late, SERVED_PER_S / SECOND_MS, nowMs + nth);
      waitMs = crowd.shareMs("late");
      if (waitMs === 0) crowd.lets(late);
    }
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThan(5_000);
  });
});

describe("afterwards", () => {
  test("all is as before: who asks alone is let in, and so is everyone who fits", () => {
    const crowd = new Crowd();
    crowd.waits(1, START_MS - SECOND_MS);
    asking(crowd, equal(3, 30), START_MS, 20);
    crowd.waits(-1, START_MS + 20 * SECOND_MS);
    const { asked, letIn } = asking(crowd, equal(3, 2), START_MS + 30 * SECOND_MS, 30);
    expect(letIn).toEqual(asked);
  });

  test("one who asks alone is not too much, however slow the host", () => {
    const crowd = new Crowd();
    const slowPerMs = 1 / 60_000;
    const ask = { account: "x", share: 1, weight: WEIGHT };
    crowd.waits(1, START_MS - SECOND_MS);
    for (let nth = 0; nth < 20; nth++) crowd.asks(ask, slowPerMs, START_MS + nth);
    expect(crowd.asks({ ...ask, account: "y" }, slowPerMs, START_MS + 25 * SECOND_MS)).toBe(false);
  });

  test("who has not asked for 30 s is forgotten, also in a crowd that goes on", () => {
    const crowd = new Crowd();
    const asks = (account: string, atMs: number) => crowd.asks({ account, share: 1, weight: WEIGHT }, null, atMs);
    asks("x", START_MS);
    asks("y", START_MS + 1);
    crowd.forgetGone(START_MS + 30_000);
    expect(crowd.callers).toBe(1);
  });

  test("they are gone when nobody waits and nobody has asked for 30 s", () => {
    const crowd = new Crowd();
    crowd.asks({ account: "x", share: 1, weight: WEIGHT }, null, START_MS);
    expect([crowd.isGone(START_MS + 29_999), crowd.isGone(START_MS + 30_000)]).toEqual([false, true]);
    crowd.waits(1, START_MS);
    expect([crowd.waiting, crowd.isGone(START_MS + 30_000)]).toEqual([1, false]);
  });
});
