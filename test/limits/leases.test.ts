import { describe, expect, test } from "vitest";
import { DOUBTED_AFTER_MS, Leases, type OpenLease } from "#src/limits/leases.ts";
import { eventWith } from "#test/support/events.ts";

const START_MS = 1_790_000_000_000;
const SLOT = "concurrency";
const MINUTE_MS = 60_000;

function leaseOf(id: string, openedAtMs = START_MS, slots = [SLOT]): OpenLease {
  return {
    id,
    slots,
    charge: { limits: [], cost: { requests: 1, tokens: 0, micros: 0 }, atMs: openedAtMs },
    credits: [],
    event: eventWith({ id, outcome: "abandoned", completionTokens: 0 }),
    openedAtMs,
    heardAtMs: openedAtMs,
    doubtedAtMs: null,
  };
}

function holding(...leases: OpenLease[]): Leases {
  const open = new Leases();
  for (const lease of leases) open.open(lease);
  return open;
}

const ids = (leases: readonly OpenLease[]): string[] => leases.map(({ id }) => id);

describe("a slot", () => {
  test("is held from the opening to the end, by each lease that names it", () => {
    const leases = holding(
      leaseOf("a"),
      leaseOf("b", START_MS, [SLOT, "concurrency/key/k"]),
      leaseOf("c", START_MS, []),
    );
    expect(leases.size).toBe(3);
    expect(leases.inFlight(SLOT, START_MS)).toBe(2);
    expect(leases.inFlight("concurrency/key/k", START_MS)).toBe(1);
    expect(leases.close("b", START_MS + 1)?.id).toBe("b");
    expect(leases.inFlight(SLOT, START_MS + 1)).toBe(1);
    expect(leases.inFlight("concurrency/key/k", START_MS + 1)).toBe(0);
  });

  test.each([
    { name: "before half a minute of silence", silentMs: DOUBTED_AFTER_MS - 1, held: 1 },
    { name: "after it", silentMs: DOUBTED_AFTER_MS, held: 0 },
  ])("is held by a silent holder $name: $held", ({ silentMs, held }) => {
    expect(holding(leaseOf("a")).inFlight(SLOT, START_MS + silentMs)).toBe(held);
  });

  test("is held on by one that is heard of, however long it takes", () => {
    const leases = holding(leaseOf("a"));
    for (let atMs = START_MS; atMs <= START_MS + 10 * MINUTE_MS; atMs += 10_000) {
      expect(leases.inFlight(SLOT, atMs)).toBe(1);
      leases.renew("a", {}, atMs);
    }
  });
});

test("what is not there is neither renewed nor closed", () => {
  const leases = holding(leaseOf("a"));
  expect(leases.renew("b", {}, START_MS)).toBeUndefined();
  expect(leases.close("b", START_MS)).toBeUndefined();
  leases.close("a", START_MS);
  expect(leases.close("a", START_MS)).toBeUndefined();
  expect(leases.size).toBe(0);
});

test("what is known of the request grows with each renewal", () => {
  const leases = holding(leaseOf("a"));
  leases.renew("a", { host: "gpu", completionTokens: 5 }, START_MS + 10_000);
  leases.renew("a", { completionTokens: 9 }, START_MS + 20_000);
  expect(leases.get("a")?.event).toMatchObject({ outcome: "abandoned", host: "gpu", completionTokens: 9 });
});

describe("a silent holder", () => {
  test("is doubted once, and abandoned a quarter of a minute later", () => {
    const leases = holding(leaseOf("a"), leaseOf("b", START_MS + 10_000));
    expect(ids(leases.doubt(START_MS + 29_999))).toEqual([]);
    expect(ids(leases.doubt(START_MS + 30_000))).toEqual(["a"]);
    expect(ids(leases.doubt(START_MS + 39_999))).toEqual([]);
    expect(ids(leases.abandoned(START_MS + 44_999))).toEqual([]);
    expect(ids(leases.abandoned(START_MS + 45_000))).toEqual(["a"]);
  });

  test("that is heard of again is doubted no longer, and has as long as before", () => {
    const leases = holding(leaseOf("a"));
    leases.doubt(START_MS + 30_000);
    expect(leases.renew("a", {}, START_MS + 44_000)?.doubtedAtMs).toBe(START_MS + 30_000);
    expect(leases.get("a")?.doubtedAtMs).toBeNull();
    expect(ids(leases.abandoned(START_MS + 60_000))).toEqual([]);
    expect(ids(leases.doubt(START_MS + 73_999))).toEqual([]);
    expect(ids(leases.doubt(START_MS + 74_000))).toEqual(["a"]);
  });

  test("is not killed by a clock that leaps ahead: doubted, and alive with the next renewal", () => {
    const leases = holding(leaseOf("a"));
    const leaptMs = START_MS + 60 * MINUTE_MS;
    expect(ids(leases.doubt(leaptMs))).toEqual(["a"]);
    expect(ids(leases.abandoned(leaptMs))).toEqual([]);
    leases.renew("a", {}, leaptMs + 10_000);
    expect(ids(leases.abandoned(leaptMs + 60_000))).toEqual([]);
  });

  test("that was heard of in a leap which was taken back is doubted as if heard of now, not an hour later", () => {
    const leases = holding(leaseOf("a"));
    leases.renew("a", {}, START_MS + 60 * MINUTE_MS);
    expect(leases.nextLookInMs(START_MS)).toBe(DOUBTED_AFTER_MS);
    expect(ids(leases.doubt(START_MS))).toEqual([]);
    expect(ids(leases.doubt(START_MS + DOUBTED_AFTER_MS))).toEqual(["a"]);
    expect(leases.inFlight(SLOT, START_MS + DOUBTED_AFTER_MS)).toBe(0);
  });

  test("that was doubted in a leap which was taken back is abandoned a quarter of a minute from now", () => {
    const leases = holding(leaseOf("a"));
    leases.doubt(START_MS + 60 * MINUTE_MS);
    expect(leases.nextLookInMs(START_MS)).toBe(15_000);
    leases.doubt(START_MS);
    expect(ids(leases.abandoned(START_MS + 15_000))).toEqual(["a"]);
  });

  test("may be judged by another time than when it was last heard of", () => {
    const leases = holding(leaseOf("a"), leaseOf("b", START_MS + 1));
    for (const id of ["a", "b"]) leases.renew(id, {}, START_MS + 30_000);
    expect(ids(leases.doubt(START_MS + 30_000, ({ openedAtMs }) => openedAtMs))).toEqual(["a"]);
  });
});

describe("the next look", () => {
  test.each<{ name: string; leases: () => Leases; inMs: number | null }>([
    { name: "without any lease there is none", leases: () => new Leases(), inMs: null },
    { name: "when the first may be doubted", leases: () => holding(leaseOf("a")), inMs: 20_000 },
    {
      name: "whatever the order of opening",
      leases: () => holding(leaseOf("b", START_MS + 5_000), leaseOf("a")),
      inMs: 20_000,
    },
    {
      name: "when one that is doubted is abandoned",
      leases: () => holding(leaseOf("a"), { ...leaseOf("b"), doubtedAtMs: START_MS }),
      inMs: 5_000,
    },
    { name: "now, when it is overdue", leases: () => holding(leaseOf("a", START_MS - MINUTE_MS)), inMs: 0 },
  ])("$name", ({ leases, inMs }) => {
    expect(leases().nextLookInMs(START_MS + 10_000)).toBe(inMs);
  });
});

describe("when a slot is likely to be free", () => {
  const nowMs = START_MS + 20_000;
  const having = (tookMs: readonly number[], ...open: OpenLease[]): Leases => {
    const leases = holding(...open);
    for (const [at, ms] of tookMs.entries()) {
      leases.open(leaseOf(`done-${at}`, START_MS - 100_000));
      leases.close(`done-${at}`, START_MS - 100_000 + ms);
    }
    return leases;
  };

  test.each<{ name: string; leases: Leases; freeMs: number }>([
    { name: "a second, when nothing is known", leases: having([], leaseOf("a")), freeMs: 1_000 },
    {
      name: "when the longest runner has taken as long as the longest before",
      leases: having([30_000, 5_000], leaseOf("a")),
      freeMs: 10_000,
    },
    {
      name: "of several the one that has run longest",
      leases: having([30_000], leaseOf("b", nowMs), leaseOf("a")),
      freeMs: 10_000,
    },
    { name: "a second at least", leases: having([20_500], leaseOf("a")), freeMs: 1_000 },
    {
      name: "by the last sixteen",
      leases: having([90_000, ...Array<number>(16).fill(30_000)], leaseOf("a")),
      freeMs: 10_000,
    },
  ])("$name", ({ leases, freeMs }) => {
    expect(leases.freeInMs(SLOT, nowMs)).toBe(freeMs);
  });
});
