// When who asks, and that nobody waits for an answer before the next question.
import { describe, expect, test } from "vitest";
import { turnsOf } from "#scripts/chaos/affinity.ts";
import { arrive, even, poisson } from "#scripts/chaos/arrivals.ts";
import { seeded } from "#scripts/storm/chance.ts";
import { times } from "./seen.ts";

describe("arrivals at random", () => {
  const arrivals = poisson([20, 2, 2], 60_000, seeded(7));

  test("each caller's rate, and all within the time, in order", () => {
    const counts = times(3, (caller) => arrivals.filter((one) => one.caller === caller).length);
    expect(counts[0]).toBeGreaterThan(1_050);
    expect(counts[0]).toBeLessThan(1_350);
    for (const count of counts.slice(1)) expect(Math.abs(count - 120)).toBeLessThan(45);
    expect(arrivals.every(({ atMs }) => atMs >= 0 && atMs < 60_000)).toBe(true);
    expect(arrivals.every(({ atMs }, at) => atMs >= (arrivals[at - 1]?.atMs ?? 0))).toBe(true);
  });

  test("the same again for the same seed", () => {
    expect(poisson([20, 2, 2], 60_000, seeded(7))).toEqual(arrivals);
  });
});

test("an even pace takes the callers in turn", () => {
  expect(even(4, 2, 3)).toEqual([
    { atMs: 0, caller: 0 },
    { atMs: 500, caller: 1 },
    { atMs: 1_000, caller: 2 },
    { atMs: 1_500, caller: 0 },
  ]);
});

test("a session's turns come in order, a round apart, from one caller", () => {
  const turns = turnsOf({ sessions: 6, turns: 3, perSecond: 2 }, 4);
  for (const session of times(6, (at) => at)) {
    const own = turns.filter((turn) => turn.session === session);
    expect(own.map(({ turn }) => turn)).toEqual([0, 1, 2]);
    expect(own.map(({ atMs }) => atMs)).toEqual([0, 3_000, 6_000].map((atMs) => atMs + session * 500));
    expect(new Set(own.map(({ caller }) => caller)).size).toBe(1);
  }
});

describe("sending", () => {
  const soon = times(5, (atMs) => ({ atMs }));

  test("nobody waits for an answer, and all are waited for", async () => {
    let under = 0;
    let most = 0;
    const answers = Promise.withResolvers<void>();
    await arrive(
      soon,
      async () => {
        most = Math.max(most, ++under);
        if (under === soon.length) answers.resolve();
        await answers.promise;
        under -= 1;
      },
      new AbortController().signal,
    );
    expect({ most, under }).toEqual({ most: 5, under: 0 });
  });

  test("it ends when there is enough", async () => {
    let sent = 0;
    const send = async () => void sent++;
    await arrive(soon, send, new AbortController().signal, () => sent === 2);
    expect(sent).toBe(2);
  });

  test("it can be given up", async () => {
    const over = new AbortController();
    const sending = arrive([{ atMs: 60_000 }], async () => undefined, over.signal);
    over.abort();
    await expect(sending).rejects.toThrow("aborted");
  });
});
