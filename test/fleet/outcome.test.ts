import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { add, both, type Gathered, gather, NO_OUTCOMES, type Outcome, type Outcomes } from "#src/fleet/outcome.ts";

const OK: Outcome = { kind: "ok", ttftMs: 100, tokensPerS: 40 };

const of = (...outcomes: readonly Outcome[]): Outcomes =>
  outcomes.reduce((sum, outcome) => add(sum, outcome), NO_OUTCOMES);

describe("an outcome counts", () => {
  test.each<{ name: string; outcomes: readonly Outcome[]; counted: Partial<Outcomes> }>([
    { name: "for the host", outcomes: [OK, OK], counted: { ok: 2, failed: 0, neither: 0 } },
    { name: "against it", outcomes: [{ kind: "failed" }], counted: { ok: 0, failed: 1, neither: 0 } },
    { name: "for neither", outcomes: [{ kind: "neither" }], counted: { ok: 0, failed: 0, neither: 1 } },
    {
      name: "as busy, which is no failure",
      outcomes: [{ kind: "busy", forMs: 500 }],
      counted: { ok: 0, failed: 0, neither: 1, busyForMs: 500 },
    },
    {
      name: "as busy for the longest time that was said",
      outcomes: [
        { kind: "busy", forMs: 500 },
        { kind: "busy", forMs: 9_000 },
        { kind: "busy", forMs: 20 },
      ],
      counted: { neither: 3, busyForMs: 9_000 },
    },
    {
      name: "with its time to a first token, if there was one",
      outcomes: [OK, { kind: "ok", ttftMs: null, tokensPerS: 60 }, { kind: "ok", ttftMs: 300, tokensPerS: null }],
      counted: { ok: 3, ttft: { value: 200, count: 2 }, tokensPerS: { value: 50, count: 2 } },
    },
    {
      name: "without figures that are none",
      outcomes: [{ kind: "ok", ttftMs: Number.NaN, tokensPerS: Number.POSITIVE_INFINITY }],
      counted: { ok: 1, ttft: { value: 0, count: 0 }, tokensPerS: { value: 0, count: 0 } },
    },
  ])("$name", ({ outcomes, counted }) => {
    expect(of(...outcomes)).toMatchObject(counted);
  });

  test("as a mean that is the mean", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60_000 }), { minLength: 1, maxLength: 40 }), (samples) => {
        const { ttft } = of(...samples.map((ttftMs): Outcome => ({ kind: "ok", ttftMs, tokensPerS: null })));
        expect(ttft.count).toBe(samples.length);
        expect(ttft.value).toBeCloseTo(samples.reduce((a, b) => a + b, 0) / samples.length, 3);
      }),
    );
  });
});

describe("two lists as one", () => {
  test("are counted together; of the averages the later one's", () => {
    const earlier = of(OK, { kind: "failed" }, { kind: "busy", forMs: 900 });
    const later = of({ kind: "ok", ttftMs: 300, tokensPerS: null }, { kind: "neither" }, { kind: "busy", forMs: 100 });
    expect(both(earlier, later)).toEqual({
      ok: 2,
      failed: 1,
      neither: 3,
      busyForMs: 900,
      ttft: { value: 300, count: 1 },
      tokensPerS: { value: 40, count: 1 },
      heldMs: { value: 0, count: 0 },
    });
    const [short, long] = [add(NO_OUTCOMES, OK, 10), add(NO_OUTCOMES, OK, 90)];
    expect([both(short, long), both(long, NO_OUTCOMES)]).toMatchObject([
      { heldMs: { value: 90, count: 1 } },
      { heldMs: { value: 90, count: 1 } },
    ]);
  });

  test("with one that is empty are the other", () => {
    const some = of(OK, { kind: "failed" }, { kind: "busy", forMs: 900 });
    expect(both(some, NO_OUTCOMES)).toEqual(some);
    expect(both(NO_OUTCOMES, some)).toEqual(some);
  });
});

test("gathered by pair: a name on another host is another pair", () => {
  const into: Gathered = {};
  gather(into, "a", "m", OK);
  gather(into, "a", "m", { kind: "failed" });
  gather(into, "b", "m", { kind: "failed" });
  gather(into, "a", "n", { kind: "neither" });
  const rows = Object.values(into).map(({ host, servedAs, ok, failed, neither }) => ({
    host,
    servedAs,
    ok,
    failed,
    neither,
  }));
  expect(rows).toEqual([
    { host: "a", servedAs: "m", ok: 1, failed: 1, neither: 0 },
    { host: "b", servedAs: "m", ok: 0, failed: 1, neither: 0 },
    { host: "a", servedAs: "n", ok: 0, failed: 0, neither: 1 },
  ]);
});
