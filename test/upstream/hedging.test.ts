import { describe, expect, test } from "vitest";
import { Problem } from "#src/problem.ts";
import type { Attempt } from "#src/upstream/attempt.ts";
import { hedged } from "#src/upstream/hedged.ts";
import { Hedging } from "#src/upstream/hedging.ts";

describe("when a second host may be asked", () => {
  test("not before enough is known, then after the time that 95 of 100 answers keep", () => {
    const hedging = new Hedging();
    for (let ms = 1; ms <= 19; ms++) hedging.answered(ms);
    expect(hedging.asked()).toBeNull();
    hedging.answered(20);
    expect(hedging.asked()).toBe(19);
    for (let ms = 1; ms <= 100; ms++) hedging.answered(1_000 + ms);
    expect(hedging.asked()).toBe(1_095);
  });

  test("of a thousand questions fifty, and no more than three at once", () => {
    const hedging = new Hedging();
    let spent = 0;
    for (let question = 0; question < 1_000; question++) {
      hedging.asked();
      if (hedging.spend()) spent += 1;
    }
    expect(spent).toBe(50);
    for (let question = 0; question < 1_000; question++) hedging.asked();
    expect([1, 2, 3, 4].map(() => hedging.spend())).toEqual([true, true, true, false]);
  });
});

describe("two hosts", () => {
  type Move = { readonly afterMs: number; readonly answers: boolean };
  const answer = (by: string): Attempt<string, string> => ({ kind: "answered", by, answer: "hi", attempts: 1 });
  const failure = (by: string): Attempt<string, string> => {
    return { kind: "failed", by, problem: new Problem("upstream_error"), attempts: 1 };
  };

  async function play(first: Move, second: Move, mayAsk = true) {
    const seen = { asked: [] as string[], hungUp: [] as string[], late: [] as string[] };
    const ask = async (signal: AbortSignal, isSecond: boolean) => {
      const by = isSecond ? "second" : "first";
      const { afterMs, answers } = isSecond ? second : first;
      seen.asked.push(by);
      signal.addEventListener("abort", () => seen.hungUp.push(by));
      await scheduler.wait(afterMs);
      return answers ? answer(by) : failure(by);
    };
    const discard = ({ by }: { by: string }) => void seen.late.push(by);
    const left = new AbortController().signal;
    const { result, isHedged } = await hedged({ ask, afterMs: 10, mayAsk: () => mayAsk, discard, left });
    await scheduler.wait(60);
    return { ...seen, by: result.by, kind: result.kind, attempts: result.attempts, isHedged };
  }

  const soon = { afterMs: 0, answers: true };
  const late = { afterMs: 50, answers: true };
  test.each([
    {
      name: "the first is in time: the second is not asked",
      first: soon,
      second: soon,
      seen: { asked: ["first"], by: "first", isHedged: false, attempts: 1 },
    },
    {
      name: "the first is late: the second wins, and the first is hung up on",
      first: late,
      second: soon,
      seen: { asked: ["first", "second"], by: "second", hungUp: ["first"], late: ["first"], attempts: 2 },
    },
    {
      name: "the second is later still: it is hung up on",
      first: { ...late, afterMs: 30 },
      second: late,
      seen: { by: "first", hungUp: ["second"], late: ["second"], isHedged: true },
    },
    {
      name: "the first fails late: the second's answer is waited for",
      first: { afterMs: 15, answers: false },
      second: { afterMs: 20, answers: true },
      seen: { by: "second", kind: "answered" },
    },
    {
      name: "both fail: what became of the first",
      first: { afterMs: 15, answers: false },
      second: { afterMs: 0, answers: false },
      seen: { by: "first", kind: "failed", attempts: 2 },
    },
  ])("$name", async ({ first, second, seen }) => {
    expect(await play(first, second)).toMatchObject(seen);
  });

  test("the budget is spent: the first is waited for", async () => {
    expect(await play(late, soon, false)).toMatchObject({ asked: ["first"], by: "first", isHedged: false });
  });
});
