import { describe, expect, test } from "vitest";
import type { HoldingsReport } from "#src/fleet/holdings.ts";
import type { Gathered, Outcome } from "#src/fleet/outcome.ts";
import { Pool, type TakeRequest } from "#src/fleet/pool.ts";

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
  const plain = { isolate: "i", seq: ++seq, used: {}, tickets: {}, outcomes: {}, decisions: [] };
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
    expect(pool.decisions.map(({ id, host }) => [id, host])).toEqual([
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

describe("slots in advance", () => {
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
        const none = { value: 0, count: 0 };
        const failed = { ok: 0, failed: 10, neither: 0, busyForMs: 0, ttft: none, tokensPerS: none };
        expect(reported(pool, { outcomes: { x: { host: "b", servedAs: "m", ...failed } } }).hasOpened).toBe(true);
      },
    },
  ])("are not given for a host $name", ({ against }) => {
    const pool = new Pool();
    against(pool);
    expect(reported(pool).spare).toEqual({});
  });
});
