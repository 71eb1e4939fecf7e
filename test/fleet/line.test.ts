import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Line, type Waiter, weightOf } from "#src/fleet/line.ts";
import type { Pair } from "#src/fleet/pair.ts";
import { NaiveLine } from "./naive-line.ts";

const NOW_MS = 1_790_000_000_000;
const always = () => true;

const pairsOf = (...hosts: readonly string[]): Pair[] =>
  hosts.map((host) => ({ host, servedAs: `m-on-${host}`, capacity: 1 }));

let ids = 0;
/** One who waits for host `a`, with only what a test is about. */
function waiter(of: Partial<Waiter> & { readonly account: string }): Waiter {
  const plain = { share: 1, priority: 0, weight: 100, sinceMs: NOW_MS, pairs: pairsOf("a") };
  return { id: `${of.account}-${ids++}`, ...plain, ...of };
}

/** So many of the same account, in line. */
function joined(line: Line, count: number, of: Parameters<typeof waiter>[0]): void {
  for (let nth = 0; nth < count; nth++) line.join(waiter(of));
}

/** Whose turns come, until nobody waits for host `a` or so many have had theirs. */
function turns(line: Line, most = Number.POSITIVE_INFINITY, nowMs = NOW_MS): Waiter[] {
  const served: Waiter[] = [];
  while (served.length < most) {
    const next = line.next("a", nowMs, always);
    if (next === undefined) break;
    served.push(next);
  }
  return served;
}

const accountsOf = (served: readonly Waiter[]): string => served.map(({ account }) => account).join("");

function countsOf(served: readonly Waiter[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { account } of served) counts[account] = (counts[account] ?? 0) + 1;
  return counts;
}

test.each([
  { name: "a token made weighs two", tokens: [10, 5], weight: 20 },
  { name: "nothing weighs something", tokens: [0, 0], weight: 1 },
] as const)("$name", ({ tokens: [prompt, completion], weight }) => {
  expect(weightOf(prompt, completion)).toBe(weight);
});

describe("whose turn it is", () => {
  test.each<{ name: string; waiting: readonly (Partial<Waiter> & { readonly account: string })[]; order: string }>([
    { name: "equals by arrival", waiting: [{ account: "x" }, { account: "y" }, { account: "z" }], order: "xyz" },
    {
      name: "who has had less",
      waiting: [{ account: "x" }, { account: "x" }, { account: "x" }, { account: "y" }, { account: "y" }],
      order: "xyxyx",
    },
    {
      name: "in tokens, not in requests",
      waiting: [
        { account: "x", weight: 300 },
        { account: "x", weight: 300 },
        ...Array(4).fill({ account: "y", weight: 100 }),
      ],
      order: "xyyyxy",
    },
    {
      name: "twice the share, twice the turns",
      waiting: [...Array(3).fill({ account: "x" }), ...Array(4).fill({ account: "y", share: 2 })],
      order: "xyyxyyx",
    },
    {
      name: "more priority first, whatever it has had",
      waiting: [
        { account: "x" },
        { account: "y", priority: 1 },
        { account: "y", priority: 1 },
        { account: "z", priority: 2 },
      ],
      order: "zyyx",
    },
  ])("$name: $order", ({ waiting, order }) => {
    const line = new Line();
    for (const of of waiting) line.join(waiter(of));
    expect(accountsOf(turns(line))).toBe(order);
  });

  test("of those who may go to a host, and of pairs that are permitted", () => {
    const line = new Line();
    line.join(waiter({ account: "x", pairs: pairsOf("b") }));
    line.join(waiter({ account: "y", pairs: pairsOf("b", "a") }));
    line.join(waiter({ account: "z", pairs: [{ host: "a", servedAs: "other", capacity: 1 }] }));
    expect(line.waitingFor("a")).toBe(2);
    expect(line.next("c", NOW_MS, always)).toBeUndefined();
    expect(line.next("a", NOW_MS, ({ servedAs }) => servedAs === "other")?.account).toBe("z");
    expect(line.next("a", NOW_MS, () => false)).toBeUndefined();
    expect(line.next("a", NOW_MS, always)?.account).toBe("y");
    expect([...line.hosts()]).toEqual(["b"]);
    expect([line.size, line.waitingFor("a"), line.waitingFor("b")]).toEqual([1, 0, 1]);
  });

  test("by arrival among those who are level, whatever they have had", () => {
    const line = new Line();
    for (const account of ["x", "x", "y"]) line.join(waiter({ account }), true);
    expect(accountsOf(turns(line))).toBe("xxy");
  });

  test("the same for the same hosts in whatever order", () => {
    const line = new Line();
    line.join(waiter({ account: "x", pairs: pairsOf("a", "b") }));
    line.join(waiter({ account: "x", pairs: pairsOf("a", "b") }));
    line.join(waiter({ account: "y", pairs: pairsOf("b", "a") }));
    expect(accountsOf(turns(line))).toBe("xyx");
  });
});

describe("who leaves", () => {
  test("is not served, and has nothing counted against it", () => {
    const line = new Line();
    const gone = waiter({ account: "x", weight: 10_000 });
    line.join(gone);
    expect(line.leave(gone.id)).toBe(true);
    expect([line.size, line.leave(gone.id)]).toEqual([0, false]);
    joined(line, 2, { account: "y" });
    joined(line, 2, { account: "x" });
    expect(accountsOf(turns(line))).toBe("yxyx");
  });

  test("had its turn already: nothing is given back", () => {
    const line = new Line();
    line.join(waiter({ account: "x" }));
    const [served] = turns(line);
    expect(line.leave(served?.id ?? "")).toBe(false);
  });
});

describe("what was served", () => {
  test("without a wait counts as well", () => {
    const line = new Line();
    line.served(waiter({ account: "x", weight: 250 }));
    joined(line, 2, { account: "x" });
    joined(line, 4, { account: "y" });
    expect(accountsOf(turns(line))).toBe("yyyxyx");
  });

  test.each([
    { name: "more than was estimated costs turns", difference: 200, order: "yyyxyx" },
    { name: "less gives them back", difference: -100, order: "xyxyyy" },
  ])("$name", ({ difference, order }) => {
    const line = new Line();
    const x = waiter({ account: "x" });
    line.served(x);
    line.correct(x, difference);
    joined(line, 2, { account: "x" });
    joined(line, 4, { account: "y" });
    // With nothing to correct: y, then the two in turn.
    expect(accountsOf(turns(line))).toBe(order);
  });

  test("is forgiven where there is room for everybody", () => {
    const line = new Line();
    line.served(waiter({ account: "x", weight: 10_000 }));
    line.forgive();
    joined(line, 2, { account: "x" });
    joined(line, 2, { account: "y" });
    expect(accountsOf(turns(line))).toBe("xyxy");
  });
});

describe("nobody saves up", () => {
  test("who was away starts where the others are", () => {
    const line = new Line();
    joined(line, 300, { account: "x" });
    joined(line, 300, { account: "y" });
    turns(line, 200);
    joined(line, 100, { account: "z" });
    expect(countsOf(turns(line, 30))).toEqual({ x: 10, y: 10, z: 10 });
  });

  test("who was served first and went on idling has no claim either", () => {
    const line = new Line();
    joined(line, 1, { account: "z" });
    joined(line, 200, { account: "x" });
    turns(line, 101);
    joined(line, 50, { account: "z" });
    expect(countsOf(turns(line, 40)).z).toBeLessThanOrEqual(21);
  });
});

describe("nobody starves", () => {
  test("behind a higher priority: one in four turns is for who has waited longest there", () => {
    const line = new Line();
    joined(line, 3, { account: "p" });
    joined(line, 200, { account: "f", priority: 9 });
    expect(accountsOf(turns(line, 16, NOW_MS + 5_000))).toBe("fffpfffpfffpffff");
  });

  test("with a small share: its turn comes by the order itself, however long others have waited", () => {
    const line = new Line();
    joined(line, 200, { account: "f", share: 10 });
    joined(line, 3, { account: "p" });
    expect(accountsOf(turns(line, 24, NOW_MS + 60_000))).toBe("fpffffffffffpffffffffffp");
  });

  test("but not before 5 s", () => {
    const line = new Line();
    joined(line, 1, { account: "p" });
    joined(line, 20, { account: "f", priority: 9 });
    expect(accountsOf(turns(line, 20, NOW_MS + 4_999))).toBe("f".repeat(20));
  });

  test("with newcomers of a higher priority at every turn, everyone is served", () => {
    const line = new Line();
    joined(line, 20, { account: "p" });
    let served = 0;
    for (let turn = 0; turn < 100 && served < 20; turn++) {
      joined(line, 2, { account: "f", priority: 9, sinceMs: NOW_MS + turn * 100 });
      if (turns(line, 1, NOW_MS + 5_000 + turn * 100)[0]?.account === "p") served++;
    }
    expect(served).toBe(20);
  });
});

test("who has waited long among equals has no claim: shares hold however long the line is", () => {
  const line = new Line();
  const shares = { x: 1, y: 2, z: 4 };
  for (const [account, share] of Object.entries(shares)) joined(line, 100, { account, share });
  expect(countsOf(turns(line, 140, NOW_MS + 60_000))).toEqual({ x: 20, y: 40, z: 80 });
});

test("shares of 1, 2 and 4 are served tokens in proportion, whatever the sizes of the requests", () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 2_000 }), { minLength: 150, maxLength: 150 });
  fc.assert(
    fc.property(fc.tuple(sizes, sizes, sizes), (weights) => {
      const line = new Line();
      const shares = [1, 2, 4];
      weights.forEach((row, nth) => {
        for (const weight of row) line.join(waiter({ account: String(nth), share: shares[nth] ?? 1, weight }));
      });
      const tokens = [0, 0, 0];
      // The largest share has the fewest requests left: so far everyone still waits.
      for (const { account, weight } of turns(line, 120))
        tokens[Number(account)] = (tokens[Number(account)] ?? 0) + weight;
      const perShare = tokens.map((sum, nth) => sum / (shares[nth] ?? 1));
      // Start-time fair queuing's bound: apart by no more than each one's largest request by its share.
      expect(Math.max(...perShare) - Math.min(...perShare)).toBeLessThanOrEqual(2_000 + 2_000 / 2);
    }),
    { numRuns: 100 },
  );
});

const someone = fc.record({
  account: fc.constantFrom("x", "y", "z", "w"),
  share: fc.constantFrom(1, 2, 4),
  priority: fc.constantFrom(0, 0, 0, 1),
  weight: fc.integer({ min: 1, max: 500 }),
});

test("ahead is how many really go before", () => {
  const wants = fc.constantFrom(["a"], ["a", "b"], ["c", "a"]);
  const waiting = fc.array(fc.record({ of: someone, hosts: wants }), { maxLength: 30 });
  fc.assert(
    fc.property(waiting, fc.integer({ min: 0, max: 10 }), someone, wants, (others, servedBefore, of, hosts) => {
      const line = new Line();
      for (const other of others) line.join(waiter({ ...other.of, pairs: pairsOf(...other.hosts) }));
      turns(line, servedBefore);
      const newcomer = waiter({ ...of, pairs: pairsOf(...hosts) });
      const ahead = line.ahead(newcomer);
      line.join(newcomer);
      expect(turns(line).findIndex(({ id }) => id === newcomer.id)).toBe(ahead);
    }),
    { numRuns: 500 },
  );
});

test("those who wait for other hosts only are not ahead", () => {
  const line = new Line();
  joined(line, 5, { account: "x", pairs: pairsOf("b", "c") });
  const ahead = (...hosts: string[]) => line.ahead(waiter({ account: "y", pairs: pairsOf(...hosts) }));
  expect([ahead("a"), ahead("a", "c")]).toEqual([0, 1]);
  joined(line, 1, { account: "y", pairs: pairsOf("a", "c") });
  // Its second: behind its first, and the two of x that have had no more by then.
  expect([ahead("a"), ahead("a", "c"), ahead("b")]).toEqual([1, 3, 2]);
});

const HOSTS = ["a", "b", "c"];
type Step =
  | { readonly kind: "join"; readonly of: Partial<Waiter> & { readonly account: string }; readonly hosts: string[] }
  | { readonly kind: "leave"; readonly nth: number }
  | { readonly kind: "next"; readonly host: string }
  | { readonly kind: "served" | "correct"; readonly of: Partial<Waiter> & { readonly account: string } };
const hosts = fc.subarray(HOSTS, { minLength: 1 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("join" as const), of: someone, hosts }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave" as const), nth: fc.nat(40) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("next" as const), host: fc.constantFrom(...HOSTS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("served" as const, "correct" as const), of: someone }) },
);

/** Both lines through the same steps, a while apart. */
function compared(steps: readonly Step[], gapMs: number): void {
  const [line, naive] = [new Line(), new NaiveLine()];
  let nowMs = NOW_MS;
  for (const one of steps) {
    nowMs += gapMs;
    if (one.kind === "next") expect(line.next(one.host, nowMs, always)?.id).toBe(naive.next(one.host, nowMs));
    if (one.kind === "join") {
      const who = waiter({ ...one.of, sinceMs: nowMs, pairs: pairsOf(...one.hosts) });
      line.join(who);
      naive.join(who);
    }
    if (one.kind === "served") {
      line.served(waiter(one.of));
      naive.served(waiter(one.of));
    }
    if (one.kind === "correct") {
      // Only who was ever here has anything to correct.
      for (const each of [line, naive]) each.served(waiter(one.of));
      for (const each of [line, naive]) each.correct(waiter(one.of), -(one.of.weight ?? 0) / 2);
    }
    const leaver = one.kind === "leave" ? naive.waiting[one.nth] : undefined;
    if (leaver !== undefined) {
      line.leave(leaver.id);
      naive.leave(leaver.id);
    }
    expect(line.size).toBe(naive.waiting.length);
  }
  for (const host of HOSTS)
    expect(line.waitingFor(host)).toBe(
      naive.waiting.filter(({ pairs }) => pairs.some((pair) => pair.host === host)).length,
    );
}

test("against a naive list: the same turns for the same steps", () => {
  fc.assert(fc.property(fc.array(step, { maxLength: 120 }), fc.constantFrom(1, 400, 3_000), compared), {
    numRuns: 600,
  });
});

test("against a naive list for thousands of turns: what is forgotten meanwhile matters to nobody", () => {
  const steps = fc.sample(step, { numRuns: 9_000, seed: 5 });
  compared(steps, 400);
});
