import { describe, expect, test } from "vitest";
import { Holdings, type HoldingsReport } from "#src/fleet/holdings.ts";

const NOW_MS = 1_790_000_000_000;
const on = (host: string, isolate = "i") => ({ host, servedAs: "m", isolate });

let seq = 0;
function report(of: Partial<HoldingsReport> = {}): HoldingsReport {
  return { isolate: "i", seq: ++seq, used: {}, kept: {}, tickets: {}, ...of };
}

describe("slots are held", () => {
  test("by tickets, by what is in use, and by what was given in advance", () => {
    const holdings = new Holdings();
    holdings.grant("t", on("a"), NOW_MS);
    holdings.report(report({ used: { a: 2 } }), NOW_MS);
    holdings.offer("i", "a", 3, NOW_MS);
    const seen = () => [holdings.inFlight("a"), holdings.held("a", NOW_MS), holdings.spare("a", NOW_MS)];
    expect(seen()).toEqual([3, 6, 3]);
    holdings.release("t", NOW_MS);
    expect(seen()).toEqual([2, 5, 3]);
    expect(holdings.held("b", NOW_MS)).toBe(0);
  });

  test("in advance for 8 s, or until the isolate says anything", () => {
    const holdings = new Holdings();
    holdings.report(report(), NOW_MS);
    holdings.offer("i", "a", 3, NOW_MS);
    expect([holdings.held("a", NOW_MS + 7_999), holdings.held("a", NOW_MS + 8_000)]).toEqual([3, 0]);
    holdings.report(report({ used: { a: 1 } }), NOW_MS + 100);
    expect(holdings.held("a", NOW_MS + 100)).toBe(1);
  });

  test("once by a ticket that is granted twice, and by none that is given back twice", () => {
    const holdings = new Holdings();
    holdings.grant("t", on("a"), NOW_MS);
    holdings.grant("t", on("b"), NOW_MS);
    expect([holdings.inFlight("a"), holdings.inFlight("b"), holdings.hostOf("t")]).toEqual([1, 0, "a"]);
    expect(holdings.release("t", NOW_MS)).toMatchObject({ host: "a", grantedAtMs: NOW_MS });
    expect(holdings.release("t", NOW_MS)).toBeUndefined();
    expect(holdings.inFlight("a")).toBe(0);
  });
});

describe("a report", () => {
  test("that was overtaken says nothing", () => {
    const holdings = new Holdings();
    const [earlier, later] = [report({ used: { a: 5 } }), report({ used: { a: 1 } })];
    expect(holdings.report(later, NOW_MS)).toEqual([]);
    expect(holdings.report(earlier, NOW_MS)).toBeNull();
    expect(holdings.inFlight("a")).toBe(1);
  });

  test("names tickets that have gone: of those that it has named before, and of its own only", () => {
    const holdings = new Holdings();
    for (const id of ["t1", "t2", "t3"]) holdings.grant(id, on("a"), NOW_MS);
    holdings.grant("other", on("a", "j"), NOW_MS);
    const listed = (...ids: string[]) => Object.fromEntries(ids.map((id) => [id, { host: "a", servedAs: "m" }]));
    // The third is on its way to the isolate.
    expect(holdings.report(report({ tickets: listed("t1", "t2") }), NOW_MS)).toEqual([]);
    expect(holdings.report(report({ tickets: listed("t2") }), NOW_MS)).toEqual(["t1"]);
  });

  test("tells a new life of the object what was granted by the one before", () => {
    const holdings = new Holdings();
    expect(holdings.knows("i")).toBe(false);
    holdings.report(report({ tickets: { t: { host: "a", servedAs: "m" } } }), NOW_MS);
    expect([holdings.knows("i"), holdings.hostOf("t"), holdings.inFlight("a")]).toEqual([true, "a", 1]);
  });
});

test("a report that a release has overtaken grants nothing anew", () => {
  const holdings = new Holdings();
  holdings.grant("t", on("a"), NOW_MS);
  holdings.release("t", NOW_MS + 1);
  holdings.report(report({ tickets: { t: { host: "a", servedAs: "m" } } }), NOW_MS + 2);
  expect(holdings.inFlight("a")).toBe(0);
});

test.each<{ name: string; used: Record<string, number>; heardMs: number; offered: number; may: boolean }>([
  { name: "with slots in advance", used: {}, heardMs: 0, offered: 1, may: true },
  { name: "that may use one again which comes free", used: { a: 1 }, heardMs: 0, offered: 0, may: true },
  { name: "that has heard since", used: { a: 1 }, heardMs: 11, offered: 0, may: false },
  { name: "with nothing", used: {}, heardMs: 0, offered: 0, may: false },
])("what an isolate may start by itself: $name", ({ used, heardMs, offered, may }) => {
  const holdings = new Holdings();
  holdings.report(report({ used }), NOW_MS + heardMs);
  holdings.offer("i", "a", offered, NOW_MS + heardMs);
  expect(holdings.mayStart("a", NOW_MS + 10, NOW_MS + 20)).toBe(may);
});

test("silence for 15 s ends everything, and no sooner", () => {
  const holdings = new Holdings();
  holdings.grant("t", on("a"), NOW_MS);
  holdings.report(report({ used: { a: 2 } }), NOW_MS);
  expect(holdings.silent(NOW_MS + 14_999)).toEqual([]);
  expect(holdings.inFlight("a")).toBe(3);
  expect(holdings.silent(NOW_MS + 15_000)).toEqual(["t"]);
  expect([holdings.inFlight("a"), holdings.knows("i")]).toEqual([1, false]);
});
