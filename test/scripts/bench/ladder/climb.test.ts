import { describe, expect, it } from "vitest";
import { climb } from "#scripts/bench/ladder/climb.ts";
import type { Ladder } from "#scripts/bench/ladder/ladders.ts";
import { BARE, WHOLE } from "#scripts/bench/ladder/rungs.ts";
import type { Job, Seen } from "#scripts/bench/load/job.ts";

const LADDER: Ladder = {
  name: "requests",
  by: "request",
  rungs: [
    { name: "one", adds: "" },
    { name: WHOLE, adds: "" },
  ],
  load: { stream: false, connections: 1, ratePerS: null, answer: { tokens: 1, firstMs: 0, gapMs: 0 } },
  count: ({ requests }) => requests,
};
const NOTHING = { p50: null, p99: null };
const SEEN: Seen = {
  requests: 4,
  failed: 0,
  failure: null,
  events: 0,
  windowMs: 1,
  cpuUs: 400,
  bytes: 0,
  bytesBefore: 0,
  latencyUs: NOTHING,
  delayUs: NOTHING,
  jitterUs: NOTHING,
  streams: 0,
  stallFree: 0,
};
const PACE = { rounds: 2, forMs: 5, warmUpMs: 7 };

/** A ground on which nothing runs: what is asked there is noted. */
function groundOf(answer: (job: Job) => Promise<Seen>) {
  const asked: Job[] = [];
  const load = (job: Job): Promise<Seen> => {
    asked.push(job);
    return answer(job);
  };
  const target = { headers: [{}], groups: [] };
  const bare = { ...target, url: "http://bare/v1/chat/completions" };
  return { asked, ground: { load, bare, gateway: { ...target, url: "http://gateway/v1/chat/completions" } } };
}

const quietly = { say: () => {}, signal: new AbortController().signal };

describe("a climb", () => {
  it("warms up, then asks every rung in each round, in the other direction each second one", async () => {
    const { asked, ground } = groundOf(async () => SEEN);
    const rounds = await climb(LADDER, ground, PACE, quietly);
    const bare = "http://bare/v1/chat/completions";
    const one = "http://gateway/rung/one/v1/chat/completions";
    const whole = "http://gateway/v1/chat/completions";
    const inRounds = [bare, one, whole, bare, bare, whole, one, bare];
    expect(asked.map(({ target }) => target.url)).toEqual([bare, whole, ...inRounds]);
    expect(asked.map(({ forMs }) => forMs)).toEqual([7, 7, 5, 5, 5, 5, 5, 5, 5, 5]);
    expect(rounds.map(({ costs }) => Object.fromEntries(costs))).toEqual([
      { bare: 100, one: 100, [WHOLE]: 100 },
      { bare: 100, one: 100, [WHOLE]: 100 },
    ]);
  });

  it("takes for bare workerd what it cost before and after the rungs", async () => {
    const bare = [100, 100, 140];
    const { ground } = groundOf(async ({ target }) =>
      target.url.startsWith("http://bare/") ? { ...SEEN, cpuUs: 4 * (bare.shift() ?? 0) } : SEEN,
    );
    const [round] = await climb(LADDER, ground, { ...PACE, rounds: 1 }, quietly);
    expect(round?.costs.get(BARE)).toBe(120);
  });

  it("has every request answered that was begun, and none before it counts", async () => {
    const { asked, ground } = groundOf(async () => SEEN);
    await climb(LADDER, ground, PACE, quietly);
    expect(new Set(asked.map(({ isToEnd, warmUpMs }) => `${isToEnd} ${warmUpMs}`))).toEqual(new Set(["true 0"]));
  });

  it.each([
    { what: "fails", seen: { ...SEEN, failed: 1, failure: "503 no host" }, says: "503 no host" },
    { what: "does not answer", seen: { ...SEEN, requests: 0 }, says: "/rung/one/" },
  ])("ends at a rung that $what", async ({ seen, says }) => {
    const { ground } = groundOf(async ({ target }) => (target.url.includes("/rung/one/") ? seen : SEEN));
    await expect(climb(LADDER, ground, PACE, quietly)).rejects.toThrow(says);
  });

  it("is given up at once, also while a load hangs", async () => {
    const giving = new AbortController();
    const { ground } = groundOf(() => {
      giving.abort(new Error("enough"));
      return new Promise(() => {});
    });
    await expect(climb(LADDER, ground, PACE, { ...quietly, signal: giving.signal })).rejects.toThrow("enough");
  });
});
