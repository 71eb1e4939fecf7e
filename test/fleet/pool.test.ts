import { describe, expect, test } from "vitest";
import type { HoldingsReport } from "#src/fleet/holdings.ts";
import { type Gathered, NO_OUTCOMES, type Outcome } from "#src/fleet/outcome.ts";
import { Pool } from "#src/fleet/pool.ts";
import type { TakeRequest } from "#src/fleet/take.ts";

const NOW_MS = 1_790_000_000_000;
const OK: Outcome = { kind: "ok", ttftMs: 100, tokensPerS: 40 };
const HOSTS = [
  { id: "a", capacity: 1 },
  { id: "b", capacity: 8 },
];

/** A request for host `a`, which has one slot, with only what a test is about. */
function request(id: string, of: Partial<TakeRequest> = {}): TakeRequest {
  const plain = { account: id, share: 1, priority: 0, weight: 100, model: "m", waitedMs: 0, maxWaitMs: 60_000 };
  const pairs = [{ host: "a", servedAs: "m", capacity: 1 }];
  return { id, ...plain, mayCutWait: false, maxWaiting: 100, isolate: "i", pairs, ...of };
}

let seq = 0;
function reported(pool: Pool, of: Partial<HoldingsReport & { outcomes: Gathered }> = {}, nowMs = NOW_MS) {
  const plain = { isolate: "i", seq: ++seq, used: {}, kept: {}, tickets: {}, outcomes: {}, decisions: [] };
  return pool.report({ ...plain, ...of }, HOSTS, nowMs);
}

const both = [
  { host: "a", servedAs: "m", capacity: 1 },
  { host: "b", servedAs: "m", capacity: 8 },
];

describe("a slot", () => {
  test("is granted where the first choice is free, else at the next, else waited for", () => {
    const pool = new Pool();
    expect(pool.take(request("1", { pairs: both }), NOW_MS)).toEqual({ kind: "granted", host: "a" });
    expect(pool.take(request("2", { pairs: both }), NOW_MS)).toEqual({ kind: "granted", host: "b" });
    expect(pool.take(request("3"), NOW_MS)).toEqual({ kind: "waiting" });
    expect(pool.decisions.all().map(({ id, host }) => [id, host])).toEqual([
      ["1", "a"],
      ["2", "b"],
    ]);
  });

  test("asked for again is the same one, and counts once", () => {
    const pool = new Pool();
    for (let nth = 0; nth < 3; nth++)
      expect(pool.take(request("1", { pairs: both }), NOW_MS)).toEqual({ kind: "granted", host: "a" });
    expect(pool.holdings.inFlight("a")).toBe(1);
  });

  test.each<{ name: string; frees: (pool: Pool) => unknown }>([
    { name: "that is given back", frees: (pool) => pool.release("1", OK, 100, NOW_MS) },
    { name: "of a caller who leaves", frees: (pool) => pool.leave("1", NOW_MS) },
    {
      name: "that its isolate lists no more",
      frees: (pool) => {
        reported(pool, { tickets: { "1": { host: "a", servedAs: "m" } } });
        reported(pool);
      },
    },
    { name: "of an isolate that fell silent", frees: (pool) => pool.sweep(NOW_MS + 15_000) },
  ])("$name goes to who is next, once", ({ frees }) => {
    const pool = new Pool();
    pool.take(request("1"), NOW_MS);
    pool.take(request("2"), NOW_MS + 9_500);
    pool.take(request("3"), NOW_MS + 9_500);
    frees(pool);
    expect(pool.turns()).toEqual([{ id: "2", host: "a" }]);
    expect(pool.turns()).toEqual([]);
    expect(pool.take(request("2"), NOW_MS + 9_600)).toEqual({ kind: "granted", host: "a" });
    expect(pool.take(request("3"), NOW_MS + 9_600)).toEqual({ kind: "waiting" });
  });
});

describe("who waits", () => {
  test("and asks no more for 6 s has gone", () => {
    const pool = new Pool();
    pool.take(request("1"), NOW_MS);
    for (const id of ["2", "3"]) pool.take(request(id), NOW_MS);
    pool.take(request("3"), NOW_MS + 1);
    pool.sweep(NOW_MS + 6_000);
    expect(pool.waiting().map(({ account }) => account)).toEqual(["3"]);
  });

  test("and has gone without a word takes no slot, and is charged nothing for its place", () => {
    const pool = new Pool();
    pool.take(request("1"), NOW_MS);
    pool.take(request("gone", { account: "x", weight: 10_000 }), NOW_MS);
    for (const id of ["y", "z"]) pool.take(request(id), NOW_MS + 5_000);
    pool.release("1", OK, 100, NOW_MS + 6_000);
    expect(pool.turns()).toEqual([{ id: "y", host: "a" }]);
    for (const account of ["y", "x"]) pool.take(request(`${account} again`, { account }), NOW_MS + 6_000);
    for (const id of ["y", "z"]) pool.release(id, OK, 100, NOW_MS + 6_100);
    expect(pool.turns().map(({ id }) => id)).toEqual(["z", "x again"]);
  });

  test("and leaves is not served", () => {
    const pool = new Pool();
    pool.take(request("1"), NOW_MS);
    pool.take(request("2"), NOW_MS);
    pool.leave("2", NOW_MS);
    pool.release("1", OK, 100, NOW_MS);
    expect(pool.turns()).toEqual([]);
    expect([pool.line.size, pool.holdings.inFlight("a")]).toEqual([0, 0]);
  });
});

describe("nobody waits", () => {
  const refused = (of: Partial<TakeRequest>, before = 1) => {
    const pool = new Pool();
    pool.take(request("0"), NOW_MS - 10_000);
    pool.release("0", OK, 100, NOW_MS);
    for (let nth = 1; nth <= before; nth++) pool.take(request(`${nth}`), NOW_MS);
    return pool.take(request("x", of), NOW_MS);
  };

  test.each<{ name: string; of: Partial<TakeRequest>; before?: number; retryAfterMs: number }>([
    { name: "who does not bear to", of: { maxWaitMs: 0 }, retryAfterMs: 10_000 },
    { name: "longer than is borne", of: { maxWaitMs: 9_999 }, retryAfterMs: 10_000 },
    { name: "behind others for longer than is borne", of: { maxWaitMs: 29_999 }, before: 3, retryAfterMs: 30_000 },
    { name: "in a line that is as long as it may be", of: { maxWaiting: 2 }, before: 3, retryAfterMs: 30_000 },
  ])("$name: refused with how long it would be", ({ of, before, retryAfterMs }) => {
    expect(refused(of, before)).toEqual({ kind: "refused", because: "full", retryAfterMs });
  });

  test("for as long as slots were held that isolates filled by themselves", () => {
    const pool = new Pool();
    const quick = { ...NO_OUTCOMES, ok: 90, heldMs: { value: 40, count: 90 } };
    pool.take(request("0"), NOW_MS - 10_000);
    pool.release("0", OK, 100, NOW_MS);
    reported(pool, { outcomes: { x: { host: "a", servedAs: "m", ...quick } } });
    pool.take(request("1"), NOW_MS);
    expect(pool.take(request("2", { maxWaitMs: 1_000 }), NOW_MS)).toEqual({ kind: "waiting" });
  });

  test("at a priority for longer than those before it at the same", () => {
    expect(refused({ maxWaitMs: 10_000, priority: 1 }, 5)).toEqual({ kind: "waiting" });
  });

  test("for hosts that are shut: come back later", () => {
    const pool = new Pool();
    pool.shut(new Set(["a"]), NOW_MS);
    expect(pool.take(request("1"), NOW_MS)).toMatchObject({ kind: "refused", because: "out" });
    expect(pool.take(request("2", { pairs: both }), NOW_MS)).toEqual({ kind: "granted", host: "b" });
    pool.shut(new Set(), NOW_MS);
    expect(pool.take(request("3"), NOW_MS)).toEqual({ kind: "granted", host: "a" });
  });
});

describe("hosts that go out", () => {
  test("leave nobody waiting for them alone: they ask again, and hear it", () => {
    const pool = new Pool();
    for (const id of ["1", "2"]) pool.take(request(id), NOW_MS);
    pool.take(request("3", { pairs: both.slice(1).map((pair) => ({ ...pair, capacity: 0 })) }), NOW_MS);
    pool.shut(new Set(["a"]), NOW_MS);
    expect(pool.turns()).toEqual([{ id: "2", host: null }]);
    expect(pool.take(request("2"), NOW_MS)).toMatchObject({ kind: "refused", because: "out" });
  });
});

describe("a pool that is new in memory", () => {
  /** Of its life before it knows isolate `j`. */
  const anew = (): Pool => {
    const pool = new Pool();
    pool.holdings.expect(["j"], NOW_MS);
    reported(pool);
    return pool;
  };

  test("grants nothing before it has heard what isolates hold", () => {
    const pool = anew();
    expect(pool.take(request("1"), NOW_MS)).toEqual({ kind: "waiting" });
    expect(reported(pool, {}, NOW_MS + 1).spare).toEqual({});
    reported(pool, { isolate: "j", used: { a: 1 } }, NOW_MS + 2);
    expect(pool.take(request("1"), NOW_MS + 2)).toEqual({ kind: "waiting" });
    reported(pool, { isolate: "j" }, NOW_MS + 3);
    expect(pool.turns()).toEqual([{ id: "1", host: "a" }]);
  });

  test("waits no longer than they take to report", () => {
    const pool = anew();
    pool.take(request("1"), NOW_MS);
    expect(pool.take(request("1"), NOW_MS + 4_499)).toEqual({ kind: "waiting" });
    expect(pool.take(request("1"), NOW_MS + 4_500)).toEqual({ kind: "granted", host: "a" });
  });
});

describe("slots in advance", () => {
  const B = [{ host: "b", servedAs: "m", capacity: 8 }];

  test.each<{ name: string; used: Record<string, number>; tickets: number; spare: number }>([
    { name: "a sixteenth for one that is idle", used: {}, tickets: 0, spare: 4 },
    { name: "two more than are used", used: { b: 8 }, tickets: 0, spare: 10 },
    { name: "two more than are used one by one", used: { b: 3 }, tickets: 5, spare: 10 },
    { name: "no more than a quarter of what is free", used: { b: 20 }, tickets: 0, spare: 11 },
  ])("follow use: $name", ({ used, tickets, spare }) => {
    const held = Object.fromEntries(Array.from({ length: tickets }, (_, id) => [id, { host: "b", servedAs: "m" }]));
    const report = { isolate: "i", seq: 1, used, kept: {}, tickets: held, outcomes: {}, decisions: [] };
    expect(new Pool().report(report, [{ id: "b", capacity: 64 }], NOW_MS).spare).toEqual({ b: spare });
  });

  test("that nobody used go to who waits when their time is over, and not to who comes then", () => {
    const pool = new Pool();
    reported(pool);
    for (let nth = 0; nth < 6; nth++) pool.take(request(`${nth}`, { pairs: B }), NOW_MS);
    expect(pool.take(request("waits", { pairs: B }), NOW_MS + 5_000)).toEqual({ kind: "waiting" });
    expect(pool.take(request("waits", { pairs: B }), NOW_MS + 7_999)).toEqual({ kind: "waiting" });
    expect(pool.take(request("new", { pairs: B }), NOW_MS + 8_000)).toEqual({ kind: "granted", host: "b" });
    expect(pool.turns()).toEqual([{ id: "waits", host: "b" }]);
    expect(pool.take(request("late", { pairs: B }), NOW_MS + 8_000)).toEqual({ kind: "waiting" });
  });

  test("are a quarter of what is free, while nobody waits; the rest is for who asks", () => {
    const pool = new Pool();
    expect(reported(pool).spare).toEqual({ b: 2 });
    expect(reported(pool, { isolate: "j" }).spare).toEqual({ b: 1 });
    const pairs = [{ host: "b", servedAs: "m", capacity: 8 }];
    const answers = Array.from({ length: 6 }, (_, nth) => pool.take(request(`${nth}`, { pairs }), NOW_MS).kind);
    expect(answers).toEqual(["granted", "granted", "granted", "granted", "granted", "waiting"]);
    expect(reported(pool, { isolate: "j" }).spare).toEqual({});
    expect(pool.turns()).toEqual([{ id: "5", host: "b" }]);
  });

  test.each<{ name: string; against: (pool: Pool) => unknown }>([
    { name: "that is shut", against: (pool) => pool.shut(new Set(["b"]), NOW_MS) },
    {
      name: "with an open breaker",
      against: (pool) => {
        const failed = { ...NO_OUTCOMES, failed: 10 };
        expect(reported(pool, { outcomes: { x: { host: "b", servedAs: "m", ...failed } } }).hasOpened).toBe(true);
      },
    },
  ])("are not given for a host $name", ({ against }) => {
    const pool = new Pool();
    against(pool);
    expect(reported(pool).spare).toEqual({});
  });
});
