import { describe, expect, test } from "vitest";
import type { Outcome } from "#src/fleet/outcome.ts";
import { TicketBook } from "#src/fleet/ticket-book.ts";
import { UNSEEN } from "#src/fleet/view.ts";

const NOW_MS = 1_790_000_000_000;
const OK: Outcome = { kind: "ok", ttftMs: 100, tokensPerS: 40 };
const FAILED: Outcome = { kind: "failed" };
const NO_VIEW = { hosts: {}, pairs: {} };

/** A book that was given slots in advance now. */
function given(spare: Readonly<Record<string, number>>): TicketBook {
  const book = new TicketBook("i");
  book.reported(book.report(NOW_MS), spare, NOW_MS);
  return book;
}

/** How many slots it can still use by itself. */
function usable(book: TicketBook, host = "a", nowMs = NOW_MS): number {
  let count = 0;
  while (book.takeSpare(`usable-${count}`, host, "m", nowMs)) count++;
  return count;
}

describe("slots given in advance", () => {
  test.each([
    { name: "as many as were given", host: "a", afterMs: 0, count: 3 },
    { name: "until 2.5 s after the question", host: "a", afterMs: 2_499, count: 3 },
    { name: "no longer", host: "a", afterMs: 2_500, count: 0 },
    { name: "of no other host", host: "b", afterMs: 0, count: 0 },
  ])("$name: $count", ({ host, afterMs, count }) => {
    expect(usable(given({ a: 3 }), host, NOW_MS + afterMs)).toBe(count);
  });

  test("none before anything was reported", () => {
    expect(usable(new TicketBook("i"))).toBe(0);
  });

  test("none while a report is under way, and those of its answer after it", () => {
    const book = given({ a: 3 });
    const report = book.report(NOW_MS);
    expect(book.takeSpare("t", "a", "m", NOW_MS)).toBe(false);
    book.reported(report, { a: 2 }, NOW_MS);
    expect(usable(book)).toBe(2);
  });

  test("the answer to a report that was overtaken gives none", () => {
    const book = new TicketBook("i");
    const [earlier, later] = [book.report(NOW_MS), book.report(NOW_MS + 1)];
    book.reported(earlier, { a: 9 }, NOW_MS);
    expect(book.takeSpare("t", "a", "m", NOW_MS + 1)).toBe(false);
    book.reported(later, { a: 1 }, NOW_MS + 1);
    book.reported(earlier, { a: 9 }, NOW_MS);
    expect(usable(book)).toBe(1);
  });

  test("the time runs from when the report was sent, not from its answer", () => {
    const book = new TicketBook("i");
    const report = book.report(NOW_MS);
    book.reported(report, { a: 1 }, NOW_MS);
    expect(book.takeSpare("t", "a", "m", NOW_MS + 2_600)).toBe(false);
  });

  test("one that comes free may be used again", () => {
    const book = given({ a: 1 });
    book.takeSpare("t", "a", "m", NOW_MS);
    expect(book.takeSpare("u", "a", "m", NOW_MS)).toBe(false);
    book.drop("t", NOW_MS + 100);
    expect(usable(book)).toBe(1);
  });

  test("but not while a report that counts it is under way", () => {
    const book = given({ a: 1 });
    book.takeSpare("t", "a", "m", NOW_MS);
    const report = book.report(NOW_MS);
    book.drop("t", NOW_MS);
    book.reported(report, {}, NOW_MS);
    expect(usable(book)).toBe(0);
  });

  test.each([
    { name: "a ticket", isGranted: true },
    { name: "a slot that nobody gave", isGranted: false },
  ])("$name that ends is none of them", ({ isGranted }) => {
    const book = given({ b: 1 });
    book.hold("t", "a", "m", isGranted, NOW_MS);
    book.drop("t", NOW_MS);
    expect(usable(book, "a")).toBe(0);
  });
});

describe("a report", () => {
  test("says what is in use: tickets by their ids, other slots by their number", () => {
    const book = given({ a: 2 });
    book.takeSpare("s1", "a", "m", NOW_MS);
    book.takeSpare("s2", "a", "m", NOW_MS);
    book.hold("l1", "b", "m", false, NOW_MS);
    book.hold("t1", "b", "n", true, NOW_MS);
    expect([book.inFlight("a"), book.inFlight("b"), book.inFlight("c")]).toEqual([2, 2, 0]);
    const report = book.report(NOW_MS);
    expect(report).toMatchObject({ isolate: "i", used: { a: 2, b: 1 }, tickets: { t1: { host: "b", servedAs: "n" } } });
    book.drop("t1", NOW_MS);
    book.drop("s1", NOW_MS);
    expect(book.report(NOW_MS)).toMatchObject({ seq: report.seq + 1, used: { a: 1, b: 1 }, tickets: {} });
  });

  test("leaves out what was ended without a word: 15 s after its last sign of life", () => {
    const book = new TicketBook("i");
    book.hold("dead", "a", "m", true, NOW_MS);
    book.hold("alive", "a", "m", true, NOW_MS);
    book.lives("alive", NOW_MS + 5_000);
    expect(Object.keys(book.report(NOW_MS + 14_999).tickets)).toEqual(["dead", "alive"]);
    expect(Object.keys(book.report(NOW_MS + 15_000).tickets)).toEqual(["alive"]);
    expect(book.inFlight("a")).toBe(1);
  });

  test("says once what was seen and decided, and again when nobody heard it", () => {
    const book = new TicketBook("i");
    book.note("a", "m", OK, 120);
    book.decided({ atMs: NOW_MS, id: "t", model: "m", host: "a", why: "first choice" });
    const first = book.report(NOW_MS);
    expect(Object.values(first.outcomes)).toMatchObject([
      { host: "a", servedAs: "m", ok: 1, heldMs: { value: 120, count: 1 } },
    ]);
    expect(first.decisions).toHaveLength(1);
    expect(book.report(NOW_MS)).toMatchObject({ outcomes: {}, decisions: [] });
    book.note("a", "m", FAILED, 5);
    book.note("b", "m", OK, 5);
    book.unheard(first);
    const counts = Object.values(book.report(NOW_MS).outcomes).map(({ host, ok, failed }) => ({ host, ok, failed }));
    expect(counts).toEqual([
      { host: "a", ok: 1, failed: 1 },
      { host: "b", ok: 1, failed: 0 },
    ]);
  });

  test("carries the last twenty decisions", () => {
    const book = new TicketBook("i");
    for (let nth = 0; nth < 50; nth++) book.decided({ atMs: nth, id: `${nth}`, model: "m", host: null, why: "" });
    const { decisions } = book.report(NOW_MS);
    expect([decisions.length, decisions[0]?.id, decisions.at(-1)?.id]).toEqual([20, "30", "49"]);
  });
});

describe("a host that failed", () => {
  const untilMs = (failures: number): number => {
    const book = new TicketBook("i");
    for (let nth = 0; nth < failures; nth++) book.saw("a", FAILED, NOW_MS);
    return (book.view(NO_VIEW, NOW_MS).hosts.a?.busyUntilMs ?? NOW_MS) - NOW_MS;
  };

  test.each([
    { failures: 0, ms: 0 },
    { failures: 1, ms: 2_000 },
    { failures: 2, ms: 4_000 },
    { failures: 5, ms: 32_000 },
    { failures: 50, ms: 32_000 },
  ])("$failures times in a row is avoided for $ms ms", ({ failures, ms }) => {
    expect(untilMs(failures)).toBe(ms);
  });

  test.each<{ name: string; outcome: Outcome; avoided: boolean }>([
    { name: "an answer ends it", outcome: OK, avoided: false },
    { name: "being busy does not", outcome: { kind: "busy", forMs: 1 }, avoided: true },
    { name: "a caller who left does not", outcome: { kind: "neither" }, avoided: true },
  ])("$name", ({ outcome, avoided }) => {
    const book = new TicketBook("i");
    book.saw("a", FAILED, NOW_MS);
    book.saw("a", outcome, NOW_MS);
    expect(book.view(NO_VIEW, NOW_MS).hosts.a !== undefined).toBe(avoided);
  });

  test("the view is the pool's again afterwards, and what the pool knows stays in it", () => {
    const book = new TicketBook("i");
    book.saw("a", FAILED, NOW_MS);
    const view = { hosts: { a: { ...UNSEEN, inFlight: 3, busyUntilMs: NOW_MS + 60_000 }, b: UNSEEN }, pairs: {} };
    expect(book.view(view, NOW_MS)).toEqual(view);
    expect(book.view(view, NOW_MS + 2_000)).toBe(view);
  });
});
