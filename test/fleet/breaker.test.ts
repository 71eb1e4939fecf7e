import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { at, type Breaker, type Calls, CLOSED, observe, permit, recovered } from "#src/fleet/breaker.ts";

/** Where a tenth of the window begins. */
const START_MS = 1_790_000_001_000;
const S = 1_000;
const NONE: Calls = { successes: 0, failures: 0, neither: 0 };

/** The breaker after batches of calls, each at its time from the start. */
function afterCalls(batches: readonly (Partial<Calls> & { readonly atMs: number })[], from: Breaker = CLOSED): Breaker {
  return batches.reduce(
    (breaker, { atMs, ...calls }) => observe(breaker, { ...NONE, ...calls }, START_MS + atMs),
    from,
  );
}

const OPEN = afterCalls([{ atMs: 0, failures: 10 }]);
/** Its minute is over. */
const HALF_OPEN_AT_MS = START_MS + 60 * S;

/** How many of so many calls that are begun at once may be made. */
function permitted(breaker: Breaker, calls: number, slots: number, nowMs: number): { count: number; breaker: Breaker } {
  let count = 0;
  let now = breaker;
  for (let call = 0; call < calls; call++) {
    const next = permit(now, slots, nowMs);
    now = next.breaker;
    if (next.permitted) count++;
  }
  return { count, breaker: now };
}

describe("a closed breaker", () => {
  test.each<{ name: string; batches: Parameters<typeof afterCalls>[0]; state: Breaker["state"] }>([
    { name: "opens at ten failures", batches: [{ atMs: 0, failures: 10 }], state: "open" },
    { name: "not at nine: they prove nothing", batches: [{ atMs: 0, failures: 9 }], state: "closed" },
    { name: "at half of ten", batches: [{ atMs: 0, successes: 5, failures: 5 }], state: "open" },
    { name: "not at less than half", batches: [{ atMs: 0, successes: 6, failures: 5 }], state: "closed" },
    {
      name: "at half of those of 30 s together",
      batches: [
        { atMs: 0, failures: 5 },
        { atMs: 29 * S, successes: 4 },
        { atMs: 29 * S + 1, failures: 1 },
      ],
      state: "open",
    },
    {
      name: "not by failures from before the window",
      batches: [
        { atMs: 0, failures: 9 },
        { atMs: 30 * S, failures: 9 },
      ],
      state: "closed",
    },
    {
      name: "a slice leaves by itself while the others stay",
      batches: [
        { atMs: 0, successes: 8 },
        { atMs: 10 * S, failures: 7 },
        { atMs: 29 * S, neither: 1 },
        { atMs: 31 * S, failures: 3 },
      ],
      state: "open",
    },
    {
      name: "successes that are still in the window keep it closed",
      batches: [
        { atMs: 2 * S, successes: 12 },
        { atMs: 10 * S, failures: 7 },
        { atMs: 29 * S, failures: 3 },
      ],
      state: "closed",
    },
    { name: "never by what says nothing of the host", batches: [{ atMs: 0, neither: 100 }], state: "closed" },
    { name: "which is not among the ten either", batches: [{ atMs: 0, neither: 9, failures: 9 }], state: "closed" },
    { name: "nor in the half", batches: [{ atMs: 0, neither: 90, failures: 5, successes: 5 }], state: "open" },
  ])("$name", ({ batches, state }) => {
    expect(afterCalls(batches).state).toBe(state);
  });

  test("permits everything, whatever the slots, and remembers nothing of it", () => {
    const { count, breaker } = permitted(CLOSED, 100, 1, START_MS);
    expect({ count, breaker }).toEqual({ count: 100, breaker: CLOSED });
  });

  test("keeps a window's slices and no more, for ever", () => {
    let breaker: Breaker = CLOSED;
    for (let atMs = 0; atMs < 3_600 * S; atMs += 700)
      breaker = observe(breaker, { ...NONE, successes: 1 }, START_MS + atMs);
    expect(breaker.state === "closed" && breaker.slices.length).toBeLessThanOrEqual(11);
  });

  test("against a list of all calls: it opens when half of ten failed in 30 s, at most a slice off", () => {
    const call = fc.record({ gapMs: fc.integer({ min: 0, max: 4_000 }), failed: fc.boolean() });
    fc.assert(
      fc.property(fc.array(call, { minLength: 10, maxLength: 80 }), (calls) => {
        const log: { atMs: number; failed: boolean }[] = [];
        let breaker: Breaker = CLOSED;
        let nowMs = START_MS;
        const isBad = (withinMs: number): boolean => {
          const recent = log.filter(({ atMs }) => nowMs - atMs < withinMs);
          return recent.length >= 10 && recent.filter(({ failed }) => failed).length * 2 >= recent.length;
        };
        for (const { gapMs, failed } of calls) {
          nowMs += gapMs;
          log.push({ atMs: nowMs, failed });
          breaker = observe(breaker, { ...NONE, successes: failed ? 0 : 1, failures: failed ? 1 : 0 }, nowMs);
          // Slices leave whole: what counts is the calls of some window of between 27 and 30 s.
          const windows = Array.from({ length: 31 }, (_, tenth) => isBad(27 * S + tenth * 100));
          if (breaker.state === "open") expect(windows).toContain(true);
          else expect(windows).toContain(false);
          if (breaker.state === "open") return;
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("an open breaker", () => {
  test.each([
    { name: "at once", afterMs: 0, count: 0, state: "open" },
    { name: "a ms before its minute is over", afterMs: 60 * S - 1, count: 0, state: "open" },
    { name: "then", afterMs: 60 * S, count: 10, state: "half-open" },
  ])("$name: $count of 20 calls, $state", ({ afterMs, count, state }) => {
    expect(at(OPEN, START_MS + afterMs).state).toBe(state);
    expect(permitted(OPEN, 20, 64, START_MS + afterMs).count).toBe(count);
  });

  test("is moved by nothing that began before: neither longer nor shorter", () => {
    const late = afterCalls([{ atMs: 59 * S, failures: 50, successes: 50, neither: 50 }], OPEN);
    expect(late).toEqual(OPEN);
  });

  test("of a host that came back need not wait out its minute", () => {
    expect(permitted(recovered(OPEN, START_MS + 5 * S), 20, 4, START_MS + 5 * S).count).toBe(4);
  });

  test.each<{ name: string; breaker: Breaker }>([
    { name: "a closed one", breaker: afterCalls([{ atMs: 0, failures: 9 }]) },
    { name: "a half-open one with its trials", breaker: permit(OPEN, 1, HALF_OPEN_AT_MS).breaker },
  ])("$name is left as it is by a recovery", ({ breaker }) => {
    expect(recovered(breaker, HALF_OPEN_AT_MS)).toEqual(breaker);
  });
});

describe("a half-open breaker", () => {
  test.each([
    { slots: 1, count: 1 },
    { slots: 4, count: 4 },
    { slots: 64, count: 10 },
  ])("lets $count trials through at once on a host with $slots slots", ({ slots, count }) => {
    expect(permitted(OPEN, 100, slots, HALF_OPEN_AT_MS).count).toBe(count);
  });

  test.each<{ name: string; outcomes: readonly Partial<Calls>[]; state: Breaker["state"]; trials: number }>([
    { name: "six successes close it", outcomes: Array(6).fill({ successes: 1 }), state: "closed", trials: 6 },
    { name: "five do not", outcomes: Array(5).fill({ successes: 1 }), state: "half-open", trials: 5 },
    { name: "five failures open it anew", outcomes: Array(5).fill({ failures: 1 }), state: "open", trials: 5 },
    { name: "four do not", outcomes: Array(4).fill({ failures: 1 }), state: "half-open", trials: 4 },
    {
      name: "a trial that said nothing is none: another may be made",
      outcomes: [...Array(20).fill({ neither: 1 }), ...Array(6).fill({ successes: 1 })],
      state: "closed",
      trials: 26,
    },
    {
      name: "four failures among ten are forgiven",
      outcomes: [...Array(4).fill({ failures: 1 }), ...Array(6).fill({ successes: 1 })],
      state: "closed",
      trials: 10,
    },
  ])("$name", ({ outcomes, state, trials }) => {
    let breaker = OPEN;
    let made = 0;
    for (const outcome of outcomes) {
      const next = permit(breaker, 1, HALF_OPEN_AT_MS);
      if (next.permitted) made++;
      breaker = observe(next.breaker, { ...NONE, ...outcome }, HALF_OPEN_AT_MS);
    }
    expect({ state: breaker.state, made }).toEqual({ state, made: trials });
  });

  test("opens for a whole minute again", () => {
    const { breaker } = permitted(OPEN, 5, 5, HALF_OPEN_AT_MS);
    const opened = observe(breaker, { ...NONE, failures: 5 }, HALF_OPEN_AT_MS);
    expect(opened).toEqual({ state: "open", untilMs: HALF_OPEN_AT_MS + 60 * S });
  });

  test("learns nothing from calls that began before it opened, while no trial is under way", () => {
    const halfOpen = at(OPEN, HALF_OPEN_AT_MS);
    expect(observe(halfOpen, { ...NONE, successes: 6 }, HALF_OPEN_AT_MS)).toEqual(halfOpen);
  });

  test("is not blocked for ever by a trial whose outcome never comes", () => {
    const { breaker } = permitted(OPEN, 1, 1, HALF_OPEN_AT_MS);
    expect(permitted(breaker, 1, 1, HALF_OPEN_AT_MS + 60 * S - 1).count).toBe(0);
    expect(permitted(breaker, 1, 1, HALF_OPEN_AT_MS + 60 * S).count).toBe(1);
  });

  test("never more trials at once than slots, nor than ten with a verdict, and it always comes to one", () => {
    const step = fc.oneof(fc.constant("call" as const), fc.constantFrom("ok" as const, "failed" as const));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 12 }), (steps, slots) => {
        let breaker: Breaker = at(OPEN, HALF_OPEN_AT_MS);
        let [underWay, ended] = [0, 0];
        for (const what of steps) {
          if (breaker.state !== "half-open") break;
          if (what === "call") {
            const next = permit(breaker, slots, HALF_OPEN_AT_MS);
            breaker = next.breaker;
            if (next.permitted) underWay++;
            // While it has no verdict, a call can only be refused because enough are under way.
            else expect(underWay).toBeGreaterThan(0);
            expect(underWay).toBeLessThanOrEqual(slots);
            expect(underWay + ended).toBeLessThanOrEqual(10);
          } else if (underWay > 0) {
            underWay--;
            ended++;
            const calls = what === "ok" ? { ...NONE, successes: 1 } : { ...NONE, failures: 1 };
            breaker = observe(breaker, calls, HALF_OPEN_AT_MS);
          }
        }
        if (ended === 10) expect(breaker.state).not.toBe("half-open");
      }),
      { numRuns: 500 },
    );
  });
});
