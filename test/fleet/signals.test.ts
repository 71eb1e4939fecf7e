import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { add, NO_OUTCOMES, type Outcome, type Outcomes } from "#src/fleet/outcome.ts";
import { Signals } from "#src/fleet/signals.ts";
import { pairKey } from "#src/fleet/view.ts";

const NOW_MS = 1_790_000_000_000;
const FAILED: Outcome = { kind: "failed" };
const OK: Outcome = { kind: "ok", ttftMs: null, tokensPerS: null };

const of = (...outcomes: readonly Outcome[]): Outcomes =>
  outcomes.reduce((sum, outcome) => add(sum, outcome), NO_OUTCOMES);
const times = (count: number, outcome: Outcome): Outcomes => of(...Array<Outcome>(count).fill(outcome));
const timed = (ttftMs: number | null, tokensPerS: number | null): Outcomes => of({ kind: "ok", ttftMs, tokensPerS });

describe("breakers", () => {
  test("are said to open once: when they do", () => {
    const signals = new Signals();
    const failed = (count: number) => signals.observe("a", "m", times(count, FAILED), NOW_MS);
    expect([failed(9), failed(1), failed(1)]).toEqual([false, true, false]);
  });

  test("are a pair's own: another name on the host may be called, another host too", () => {
    const signals = new Signals();
    signals.observe("a", "m", times(10, FAILED), NOW_MS);
    const may = (host: string, servedAs: string) => signals.mayCall(host, servedAs, 4, NOW_MS);
    expect([may("a", "m"), may("a", "n"), may("b", "m")]).toEqual([false, true, true]);
    expect([signals.isClosed("a"), signals.isClosed("b")]).toEqual([false, true]);
  });

  test("half open count the calls that are made, not the questions whether one may be", () => {
    const signals = new Signals();
    signals.observe("a", "m", times(10, FAILED), NOW_MS);
    const laterMs = NOW_MS + 60_000;
    const may = () => signals.mayCall("a", "m", 2, laterMs);
    expect([may(), may(), may()]).toEqual([true, true, true]);
    signals.call("a", "m", 2, laterMs);
    expect(may()).toBe(true);
    signals.call("a", "m", 2, laterMs);
    expect(may()).toBe(false);
    signals.observe("a", "m", times(1, OK), laterMs);
    expect(may()).toBe(true);
    signals.observe("a", "m", times(5, OK), laterMs);
    expect(signals.isClosed("a")).toBe(true);
  });

  test("of a host that came back let trials through at once, those of others do not", () => {
    const signals = new Signals();
    for (const host of ["a", "b"]) signals.observe(host, "m", times(10, FAILED), NOW_MS);
    signals.recovered("a", NOW_MS + 5_000);
    const may = (host: string) => signals.mayCall(host, "m", 4, NOW_MS + 5_000);
    expect([may("a"), may("b")]).toEqual([true, false]);
  });

  test("are seen by isolates as they are now", () => {
    const signals = new Signals();
    signals.observe("a", "m", times(10, FAILED), NOW_MS);
    const seen = (afterMs: number) => signals.view(NOW_MS + afterMs)[pairKey("a", "m")];
    expect(seen(0)).toMatchObject({ breaker: "open", openUntilMs: NOW_MS + 60_000 });
    expect(seen(59_999)).toMatchObject({ breaker: "open" });
    expect(seen(60_000)).toMatchObject({ breaker: "half-open", openUntilMs: 0 });
  });
});

describe("moving averages", () => {
  test("are null until measured, then a fifth new", () => {
    const signals = new Signals();
    const seen = () => signals.view(NOW_MS)[pairKey("a", "m")];
    signals.observe("a", "m", times(3, FAILED), NOW_MS);
    expect(seen()).toMatchObject({ ttftMs: null, tokensPerS: null });
    signals.observe("a", "m", timed(100, null), NOW_MS);
    expect(seen()).toMatchObject({ ttftMs: 100, tokensPerS: null });
    signals.observe("a", "m", timed(200, 50), NOW_MS);
    expect(seen()?.ttftMs).toBeCloseTo(120);
    expect(seen()?.tokensPerS).toBe(50);
    signals.observe("a", "m", timed(null, 40), NOW_MS);
    expect(seen()?.ttftMs).toBeCloseTo(120);
    expect(seen()?.tokensPerS).toBeCloseTo(48);
  });

  test("of a batch weigh as much as its calls one by one, where all took the same", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 500 }),
        fc.integer({ min: 1, max: 20 }),
        (first, later, count) => {
          const [single, batch] = [new Signals(), new Signals()];
          for (const signals of [single, batch]) signals.observe("a", "m", timed(first, null), NOW_MS);
          for (let call = 0; call < count; call++) single.observe("a", "m", timed(later, null), NOW_MS);
          batch.observe("a", "m", times(count, { kind: "ok", ttftMs: later, tokensPerS: null }), NOW_MS);
          const pairs = [{ host: "a", servedAs: "m" }];
          expect(batch.ttftMs(pairs)).toBeCloseTo(single.ttftMs(pairs) ?? Number.NaN, 6);
        },
      ),
    );
  });

  test("the shortest of several pairs; null where none was measured", () => {
    const signals = new Signals();
    signals.observe("a", "m", timed(300, null), NOW_MS);
    signals.observe("b", "m", timed(200, null), NOW_MS);
    signals.observe("c", "m", times(1, FAILED), NOW_MS);
    const least = (...hosts: string[]) => signals.ttftMs(hosts.map((host) => ({ host, servedAs: "m" })));
    expect([least("a", "b", "c"), least("a"), least("c"), least()]).toEqual([200, 300, null, null]);
  });
});

describe("a host that is busy", () => {
  test("is left alone until then, whatever the name that was asked for; its breaker stays closed", () => {
    const signals = new Signals();
    signals.observe("a", "m", times(50, { kind: "busy", forMs: 5_000 }), NOW_MS);
    expect(signals.busyUntilMs("a")).toBe(NOW_MS + 5_000);
    expect(signals.busyUntilMs("b")).toBe(0);
    expect([signals.isClosed("a"), signals.mayCall("a", "m", 1, NOW_MS)]).toEqual([true, true]);
  });

  test("by the longest of what it said", () => {
    const signals = new Signals();
    signals.observe("a", "m", of({ kind: "busy", forMs: 5_000 }), NOW_MS);
    signals.observe("a", "n", of({ kind: "busy", forMs: 1_000 }), NOW_MS + 100);
    expect(signals.busyUntilMs("a")).toBe(NOW_MS + 5_000);
    signals.observe("a", "n", of({ kind: "busy", forMs: 6_000 }), NOW_MS + 100);
    expect(signals.busyUntilMs("a")).toBe(NOW_MS + 6_100);
  });
});

test("what is switched off on a host that stays is forgotten: its breaker holds up nobody", () => {
  const signals = new Signals();
  signals.observe("a", "off", of(...Array<Outcome>(10).fill(FAILED)), NOW_MS);
  expect(signals.isClosed("a")).toBe(false);
  signals.keepOnly(new Set(["a"]), new Set([pairKey("a", "m")]));
  expect(signals.isClosed("a")).toBe(true);
});

test("hosts that left the catalog are forgotten, and begin anew when they come back", () => {
  const signals = new Signals();
  for (const host of ["a", "b"])
    signals.observe(host, "m", of(...Array<Outcome>(10).fill(FAILED), { kind: "busy", forMs: 5_000 }), NOW_MS);
  signals.keepOnly(new Set(["b"]), new Set([pairKey("b", "m")]));
  expect(Object.keys(signals.view(NOW_MS))).toEqual([pairKey("b", "m")]);
  expect([signals.busyUntilMs("a"), signals.isClosed("a"), signals.isClosed("b")]).toEqual([0, true, false]);
  expect(signals.busyUntilMs("b")).toBe(NOW_MS + 5_000);
});
