import { describe, expect, test } from "vitest";
import type { Outcome } from "#src/fleet/outcome.ts";
import { Problem, type ProblemCode } from "#src/problem.ts";
import { attempt, type Hosts, type Patience, type Reply } from "#src/upstream/attempt.ts";

/** What a host of the test does when asked. */
type Move = "answer" | "busy" | "broken" | "wrong" | "throws" | "cannot" | "hangs" | "throws at once";

const refusal = (kind: "failed" | "rejected", code: ProblemCode): Reply<never> => ({
  kind,
  problem: new Problem(code),
});

function ask(move: Move, signal: AbortSignal): Promise<Reply<string>> {
  if (move === "throws at once") throw new Error("no binding CPU_VPC");
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    signal.addEventListener("abort", () => reject(signal.reason));
    if (move === "answer") resolve({ kind: "answer", answer: "hi" });
    if (move === "busy") resolve(refusal("failed", "host_busy"));
    if (move === "broken") resolve(refusal("failed", "upstream_error"));
    if (move === "wrong") resolve(refusal("rejected", "invalid_value"));
    if (move === "throws") reject(new TypeError("Network connection lost."));
    if (move === "cannot") reject(new Problem("unsupported_value", { param: "tools" }));
  });
}

/** Hosts in this order, and what was said of those that gave no answer. */
function inOrder<C>(hosts: readonly C[], over: [C, Outcome][] = []): Hosts<C> {
  return {
    next: async (tried) => {
      const by = hosts[tried.length];
      return by === undefined ? { kind: "none", problem: new Problem("no_healthy_host") } : { kind: "host", by };
    },
    over: (by, outcome) => void over.push([by, outcome]),
  };
}

const FREELY = { spend: () => true, refund: () => undefined };
const PATIENCE = {
  connectWithinMs: null,
  beginWithinMs: 5_000,
  untilMs: Number.MAX_SAFE_INTEGER,
  retries: FREELY,
};
/** Time for everything, and a caller who stays. */
const patient = <C>(changed: Partial<Patience<C>> = {}): Patience<C> => {
  return { ...PATIENCE, tried: [], left: new AbortController().signal, now: Date.now, ...changed };
};

async function run(moves: readonly Move[], options: { leaveAfterMs?: number } & Partial<Patience<Move>> = {}) {
  const left = new AbortController();
  const { leaveAfterMs, ...changed } = options;
  if (leaveAfterMs === 0) left.abort();
  else if (leaveAfterMs !== undefined) setTimeout(() => left.abort(), leaveAfterMs);
  const asked: Move[] = [];
  const over: [Move, Outcome][] = [];
  const result = await attempt(
    inOrder(moves, over),
    (move: Move, signal) => {
      asked.push(move);
      return ask(move, signal);
    },
    patient({ left: left.signal, ...changed }),
  );
  return { asked, result, over };
}

const failed = (by: Move | null, attempts: number, code: ProblemCode) => ({
  kind: "failed",
  by,
  attempts,
  problem: { code },
});

describe("who is asked, and what comes of it", () => {
  test.each<{ name: string; moves: Move[]; asked: number; result: object }>([
    { name: "nobody can serve", moves: [], asked: 0, result: failed(null, 0, "no_healthy_host") },
    {
      name: "the first answers",
      moves: ["answer", "answer"],
      asked: 1,
      result: { kind: "answered", by: "answer", answer: "hi", attempts: 1 },
    },
    {
      name: "the first is busy: the next",
      moves: ["busy", "answer"],
      asked: 2,
      result: { kind: "answered", attempts: 2 },
    },
    {
      name: "the first cannot be reached: the next",
      moves: ["throws", "answer"],
      asked: 2,
      result: { kind: "answered", attempts: 2 },
    },
    {
      name: "the first has no way to it: the next",
      moves: ["throws at once", "answer"],
      asked: 2,
      result: { kind: "answered", attempts: 2 },
    },
    {
      name: "the request is refused: no other is asked",
      moves: ["wrong", "answer"],
      asked: 1,
      result: { kind: "rejected", by: "wrong", attempts: 1, problem: { code: "invalid_value" } },
    },
    {
      name: "busy, then refused",
      moves: ["busy", "wrong", "answer"],
      asked: 2,
      result: { kind: "rejected", by: "wrong", attempts: 2 },
    },
    {
      name: "a host that cannot do it is passed by",
      moves: ["cannot", "answer"],
      asked: 2,
      result: { kind: "answered", by: "answer", attempts: 1 },
    },
    {
      name: "no host can do it: the question's fault",
      moves: ["cannot"],
      asked: 1,
      result: {
        kind: "rejected",
        by: null,
        attempts: 0,
        problem: { code: "unsupported_value", facts: { param: "tools" } },
      },
    },
    {
      name: "all fail: the last one's reason",
      moves: ["busy", "throws", "broken"],
      asked: 3,
      result: failed("broken", 3, "upstream_error"),
    },
    { name: "all fail, busy last", moves: ["broken", "busy"], asked: 2, result: failed("busy", 2, "host_busy") },
    {
      name: "three at most",
      moves: ["busy", "busy", "busy", "answer"],
      asked: 3,
      result: failed("busy", 3, "host_busy"),
    },
  ])("$name", async ({ moves, asked, result }) => {
    const seen = await run(moves);
    expect(seen.asked).toEqual(moves.slice(0, asked));
    expect(seen.result).toMatchObject(result);
  });
});

describe("what is said of hosts that gave no answer", () => {
  test.each<{ move: Move; outcome: Outcome }>([
    { move: "busy", outcome: { kind: "busy", forMs: 0 } },
    { move: "broken", outcome: { kind: "failed" } },
    { move: "throws", outcome: { kind: "failed" } },
    { move: "throws at once", outcome: { kind: "failed" } },
    { move: "hangs", outcome: { kind: "failed" } },
    { move: "wrong", outcome: { kind: "neither" } },
    { move: "cannot", outcome: { kind: "neither" } },
  ])("$move", async ({ move, outcome }) => {
    expect((await run([move], { beginWithinMs: 20 })).over).toEqual([[move, outcome]]);
  });

  test("nothing of one that answered", async () => {
    expect((await run(["answer"])).over).toEqual([]);
  });

  test("nothing against one whose caller left", async () => {
    expect((await run(["hangs"], { leaveAfterMs: 10 })).over).toEqual([["hangs", { kind: "neither" }]]);
  });
});

describe("when nobody has room", () => {
  const full = new Problem("host_busy", { retryAfterS: 3 });
  const oneThenFull: Hosts<Move> = {
    next: async (tried) => (tried.length === 0 ? { kind: "host", by: "broken" } : { kind: "none", problem: full }),
    over: () => undefined,
  };
  const patience = () => patient<Move>();

  test("the reason is told, and nobody was asked", async () => {
    const hosts: Hosts<Move> = { ...oneThenFull, next: async () => ({ kind: "none", problem: full }) };
    expect(await attempt(hosts, ask, patience())).toEqual({ kind: "failed", by: null, problem: full, attempts: 0 });
  });

  test("a host that failed before is the reason", async () => {
    expect(await attempt(oneThenFull, ask, patience())).toMatchObject(failed("broken", 1, "upstream_error"));
  });

  test("a caller who leaves the line is gone", async () => {
    const hosts: Hosts<Move> = { ...oneThenFull, next: async () => ({ kind: "client_left" }) };
    expect(await attempt(hosts, ask, patience())).toEqual({ kind: "client_left", by: null, attempts: 0 });
  });
});

describe("time", () => {
  test("a silent host is given up, and the next one has its own time", async () => {
    const { asked, result } = await run(["hangs", "answer"], { beginWithinMs: 20 });
    expect(asked).toEqual(["hangs", "answer"]);
    expect(result).toMatchObject({ kind: "answered", attempts: 2 });
  });

  test("silent hosts only: a timeout, not a failure", async () => {
    expect((await run(["busy", "hangs"], { beginWithinMs: 20 })).result).toMatchObject(
      failed("hangs", 2, "first_token_timeout"),
    );
  });

  test("headers that do not come are another matter than a first token that does not", async () => {
    const { result } = await run(["hangs"], { connectWithinMs: 20, beginWithinMs: 60 });
    expect(result).toMatchObject(failed("hangs", 1, "connect_timeout"));
    const reaching = (_: Move, signal: AbortSignal, reached: () => void) => {
      reached();
      return ask("hangs", signal);
    };
    const patience = patient<Move>({ connectWithinMs: 20, beginWithinMs: 60 });
    expect(await attempt(inOrder<Move>(["hangs"]), reaching, patience)).toMatchObject(
      failed("hangs", 1, "first_token_timeout"),
    );
  });

  test("all of it has an end: what is left of it is the next host's, and nobody is asked when nothing is", async () => {
    const { result, asked } = await run(["hangs", "answer"], { beginWithinMs: null, untilMs: Date.now() + 30 });
    expect(asked).toEqual(["hangs"]);
    expect(result).toMatchObject(failed("hangs", 1, "total_timeout"));
  });

  test("the deadline ends with the beginning of the answer", async () => {
    const signals: AbortSignal[] = [];
    const patience = patient<string>({ beginWithinMs: 20 });
    const asking = (_: string, signal: AbortSignal) => {
      signals.push(signal);
      return ask("answer", signal);
    };
    await attempt(inOrder(["host"]), asking, patience);
    await scheduler.wait(40);
    expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  });
});

describe("a budget", () => {
  test.each<{ name: string; moves: Move[]; asked: number }>([
    { name: "that is spent: a failure is not followed by another host", moves: ["broken", "answer"], asked: 1 },
    { name: "is not touched by who is busy", moves: ["busy", "busy", "answer"], asked: 3 },
    { name: "is not touched by who cannot", moves: ["cannot", "answer"], asked: 2 },
  ])("$name", async ({ moves, asked }) => {
    const retries = { spend: () => false, refund: () => undefined };
    expect((await run(moves, { retries })).asked).toHaveLength(asked);
  });

  test.each<{ name: string; moves: Move[]; asked: number }>([
    { name: "there are", moves: ["broken", "broken"], asked: 2 },
    { name: "can do it", moves: ["broken", "cannot", "cannot", "answer"], asked: 4 },
  ])("is spent on hosts that $name", async ({ moves, asked }) => {
    const spent = { times: 0 };
    const retries = { spend: () => spent.times++ < 2, refund: () => void spent.times-- };
    expect((await run(moves, { retries })).asked).toHaveLength(asked);
    expect(spent.times).toBe(1);
  });

  test("hosts that were asked before are not asked again", async () => {
    const tried: Move[] = ["broken", "throws"];
    expect((await run(["answer", "answer", "answer"], { tried })).result).toMatchObject({ attempts: 1 });
    expect(tried).toHaveLength(3);
  });
});

describe("a caller who leaves", () => {
  test.each<{ name: string; moves: Move[]; leaveAfterMs: number; asked: number; result: object }>([
    {
      name: "before anyone was asked",
      moves: ["hangs", "answer"],
      leaveAfterMs: 0,
      asked: 1,
      result: { kind: "client_left", by: "hangs", attempts: 1 },
    },
    {
      name: "while the first is silent",
      moves: ["hangs", "answer"],
      leaveAfterMs: 10,
      asked: 1,
      result: { kind: "client_left", by: "hangs", attempts: 1 },
    },
    {
      name: "while the second is silent",
      moves: ["busy", "hangs"],
      leaveAfterMs: 10,
      asked: 2,
      result: { kind: "client_left", by: "hangs", attempts: 2 },
    },
  ])("$name", async ({ moves, leaveAfterMs, asked, result }) => {
    const seen = await run(moves, { leaveAfterMs });
    expect(seen.asked).toHaveLength(asked);
    expect(seen.result).toEqual(result);
  });

  test("after the answer has begun still ends the exchange", async () => {
    const left = new AbortController();
    let signal: AbortSignal | undefined;
    const asking = (move: Move, given: AbortSignal) => {
      signal = given;
      return ask(move, given);
    };
    await attempt<Move, string>(inOrder<Move>(["answer"]), asking, patient({ left: left.signal }));
    left.abort();
    expect(signal?.aborted).toBe(true);
  });
});
