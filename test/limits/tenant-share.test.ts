import { describe, expect, test } from "vitest";
import type { Credit, Wanted } from "#src/limits/grants.ts";
import type { TenantAnswer } from "#src/limits/tenant.ts";
import { TenantShare } from "#src/limits/tenant-share.ts";
import type { Cost, Limit } from "#src/limits/windows.ts";

const START_MS = 1_790_000_000_000;
const RPM: Limit = { name: "rpm/tenant", unit: "requests", max: 1_000, windowMs: 60_000 };
const TENANT = { id: "issuer|acme", limits: [RPM] };
const REQUEST: Cost = { requests: 1, tokens: 0, micros: 0 };
const NOTHING: Cost = { requests: 0, tokens: 0, micros: 0 };

type Question = {
  readonly id: string;
  readonly wanted: readonly Wanted[];
  readonly credits: readonly Credit[];
  /** Answers it: with so many units of requests, or otherwise. */
  grant(units: number, atMs?: number): Promise<void>;
  answer(answer: TenantAnswer): Promise<void>;
  fail(cause: Error): Promise<void>;
};

/** Lets what is ready run. */
async function settled(): Promise<void> {
  for (let turns = 0; turns < 30; turns++) await Promise.resolve();
}

/** A share whose tenant answers when the test says so. */
function share() {
  const questions: Question[] = [];
  let nowMs = START_MS;
  const of = new TenantShare((id) => ({
    grant(wanted, credits) {
      const { promise, resolve, reject } = Promise.withResolvers<TenantAnswer>();
      const answer = (said: TenantAnswer): Promise<void> => {
        resolve(said);
        return settled();
      };
      questions.push({
        id,
        wanted,
        credits,
        answer,
        grant: (units, atMs = 7) => answer({ kind: "granted", atMs, grants: [{ limit: RPM, units }] }),
        fail: (cause) => {
          reject(cause);
          return settled();
        },
      });
      return promise;
    },
  }));
  /** Asks for one request; what has become of it so far. */
  const spend = async (cost = REQUEST, limits = TENANT.limits) => {
    const seen: { state: string; credits: readonly Credit[] } = { state: "waiting", credits: [] };
    of.spend({ ...TENANT, limits }, cost, () => nowMs).then(
      (spent) => {
        seen.state = spent.kind;
        if (spent.kind === "spent") seen.credits = spent.credits;
      },
      (cause: unknown) => {
        seen.state = String(cause);
      },
    );
    await settled();
    return seen;
  };
  const last = (): Question => {
    const question = questions.at(-1);
    if (question === undefined) throw new Error("nobody asked");
    return question;
  };
  return {
    of,
    questions,
    last,
    spend,
    pass: (ms: number) => {
      nowMs += ms;
    },
  };
}

describe("a request", () => {
  test("asks its tenant's object for what it lacks", async () => {
    const { spend, questions } = share();
    const first = await spend();
    expect(questions).toMatchObject([{ id: "issuer|acme", wanted: [{ limit: RPM, units: 1 }], credits: [] }]);
    expect(first.state).toBe("waiting");
  });

  test("is let through by what it is granted, and those that follow by what was granted in advance", async () => {
    const { spend, questions, last } = share();
    const first = await spend();
    await last().grant(3);
    const others = [await spend(), await spend()];
    expect([first, ...others].map(({ state }) => state)).toEqual(["spent", "spent", "spent"]);
    expect(first.credits).toEqual([{ limit: RPM, atMs: 7, units: 1 }]);
    expect(questions).toHaveLength(1);
    await spend();
    expect(questions).toHaveLength(2);
  });

  test("without any cap asks nobody", async () => {
    const { spend, questions } = share();
    const request = await spend(REQUEST, []);
    expect({ state: request.state, asked: questions.length }).toEqual({ state: "spent", asked: 0 });
  });

  test("is refused with what the tenant says", async () => {
    const { of, last } = share();
    const spent = of.spend(TENANT, REQUEST, () => START_MS);
    await settled();
    const violated = { limit: RPM, remaining: 0, resetMs: 5_000 };
    await last().answer({ kind: "denied", violated, retryAfterMs: 5_000 });
    expect(await spent).toEqual({ kind: "denied", violated, retryAfterMs: 5_000 });
  });

  test("fails when the tenant's object does, and the next one asks anew", async () => {
    const { spend, last, questions } = share();
    const first = await spend();
    await last().fail(new Error("unreachable"));
    expect(first.state).toBe("Error: unreachable");
    const second = await spend();
    await last().grant(1);
    expect({ state: second.state, asked: questions.length }).toEqual({ state: "spent", asked: 2 });
  });
});

describe("requests that come together", () => {
  test("wait for one question, and share what it brings", async () => {
    const { spend, last, questions } = share();
    const seen = [await spend(), await spend(), await spend()];
    expect(questions).toHaveLength(1);
    await last().grant(3);
    expect(seen.map(({ state }) => state)).toEqual(["spent", "spent", "spent"]);
    expect(questions).toHaveLength(1);
  });

  test("ask again, one at a time, where it does not suffice for all", async () => {
    const { spend, last, questions } = share();
    const seen = [await spend(), await spend(), await spend()];
    await last().grant(2);
    expect(seen.map(({ state }) => state)).toEqual(["spent", "spent", "waiting"]);
    expect(questions).toHaveLength(2);
    await last().grant(1);
    expect(seen.map(({ state }) => state)).toEqual(["spent", "spent", "spent"]);
  });

  test("are not all refused because one was: each asks for itself", async () => {
    const { spend, last, questions } = share();
    const seen = [await spend({ ...REQUEST, requests: 9 }), await spend()];
    await last().answer({
      kind: "denied",
      violated: { limit: RPM, remaining: 1, resetMs: 5_000 },
      retryAfterMs: 5_000,
    });
    expect(questions).toHaveLength(2);
    await last().grant(1);
    expect(seen.map(({ state }) => state)).toEqual(["denied", "spent"]);
  });

  test("do not all fail because one did", async () => {
    const { spend, last } = share();
    const seen = [await spend(), await spend()];
    await last().fail(new Error("unreachable"));
    await last().grant(1);
    expect(seen.map(({ state }) => state)).toEqual(["Error: unreachable", "spent"]);
  });
});

describe("a grant", () => {
  test("is good from when it was asked for, not from when the answer came", async () => {
    const { spend, last, pass, questions } = share();
    await spend();
    pass(600);
    await last().grant(5);
    pass(399);
    expect((await spend()).state).toBe("spent");
    pass(1);
    expect((await spend()).state).toBe("waiting");
    expect(questions).toHaveLength(2);
  });

  test("that was too long on its way is of no use: the request asks again", async () => {
    const { spend, last, pass, questions } = share();
    const first = await spend();
    pass(1_000);
    await last().grant(5);
    expect({ state: first.state, asked: questions.length }).toEqual({ state: "waiting", asked: 2 });
    expect(last().credits).toEqual([{ limit: RPM, atMs: 7, units: 5 }]);
  });
});

test("a tenant whose answers are always too late is one that cannot be reached", async () => {
  const { spend, last, pass, questions } = share();
  const first = await spend();
  for (let answers = 0; answers < 3; answers++) {
    expect(first.state).toBe("waiting");
    pass(1_000);
    await last().grant(5);
  }
  expect(first.state).toMatch(/^Error: /);
  expect(questions).toHaveLength(3);
});

describe("what was not used", () => {
  test("goes back with the next question", async () => {
    const { of, spend, last, pass } = share();
    const first = await spend();
    await last().grant(3);
    pass(1_000);
    of.giveBack(first.credits, NOTHING);
    await spend();
    expect(last().credits).toEqual([{ limit: RPM, atMs: 7, units: 3 }]);
  });

  test("or used beyond what was taken, is told as well", async () => {
    const { of, spend, last } = share();
    const first = await spend();
    await last().grant(1);
    of.giveBack(first.credits, { ...NOTHING, requests: 3 });
    await spend();
    expect(last().credits).toEqual([{ limit: RPM, atMs: 7, units: -2 }]);
  });

  test("and used as it was taken, is nothing to tell", async () => {
    const { of, spend, last } = share();
    const first = await spend();
    await last().grant(1);
    of.giveBack(first.credits, REQUEST);
    await spend();
    expect(last().credits).toEqual([]);
  });
});
