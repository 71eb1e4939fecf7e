import { env } from "cloudflare:workers";
import { afterEach, describe, expect, test, vi } from "vitest";
import { parseCatalog } from "#src/catalog/schema.ts";
import type { Tier } from "#src/catalog/tier.ts";
import { admission, leaseOf } from "#src/ingress/admit.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { isolateOf } from "#src/isolate.ts";
import type { Admission } from "#src/limits/admission.ts";
import type { Problem } from "#src/problem.ts";
import { eventWith } from "#test/support/events.ts";

const TOTAL_MS = 60_000;
const DRAFT = eventWith({ outcome: "abandoned" });
const COST = { requests: 1, tokens: 10, micros: 0 };
const EMPTY = { windows: [], slots: [] };

/** A call whose account answers as the test says, and what the queue and the account were told. */
function calling(account: object, localRpm: number | null, queueWorks = true) {
  const tier = { rpm: 10, rph: 10, rpd: 10, tpm: 1_000, concurrency: 5, share: 1 };
  const parsed = parseCatalog({
    hosts: [{ id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://gpu.test" } }],
    models: [{ id: "m", served: [{ host: "gpu", as: "m" }] }],
    tiers: { default: { ...tier, ...(localRpm === null ? {} : { localAllowance: { rpm: localRpm } }) } },
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  const queued: { body: unknown; options: QueueSendOptions | undefined }[] = [];
  const work: Promise<void>[] = [];
  const send = async (body: unknown, options?: QueueSendOptions) => {
    if (!queueWorks) throw new Error("queue down");
    queued.push({ body, options });
  };
  const call = {
    env: { ...env, USAGE: { send }, ACCOUNT: { getByName: () => account } },
    isolate: { ...isolateOf(env), allowances: new Map() },
    catalog: parsed.catalog,
    defer: (promise: Promise<void>) => void work.push(promise),
    principal: { accountId: "a", keyId: null, tenant: null, tier: "default" },
  } as unknown as KnownCall;
  const [found] = Object.values(parsed.catalog.tiers);
  return { call, tier: found as Tier, queued, afterwards: () => Promise.all(work) };
}

const unreachable = (late: Promise<never> | Promise<{ kind: "admitted"; standings: typeof EMPTY }>): Admission => {
  late.catch(() => undefined);
  return { kind: "unreachable", cause: "no answer", late };
};
const lost = () => unreachable(Promise.reject(new Error("gone")));

function thrownBy(work: () => unknown): Problem {
  try {
    work();
  } catch (thrown) {
    return thrown as Problem;
  }
  throw new Error("nothing was thrown");
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("an account that cannot be reached", () => {
  test("without an allowance: 503, with when to come back", () => {
    const { call, tier } = calling({}, null);
    const problem = thrownBy(() => leaseOf(call, tier, DRAFT, TOTAL_MS, lost()));
    expect(problem).toMatchObject({ code: "limits_unavailable", facts: { retryAfterS: 2 } });
  });

  test("with one that is for callers: work that nobody waits for takes none of it", () => {
    const { call, tier } = calling({}, 2);
    const line = { ...call, isBackground: true };
    expect(thrownBy(() => leaseOf(line, tier, DRAFT, TOTAL_MS, lost())).code).toBe("limits_unavailable");
  });

  test("with one: exactly so many a minute, marked, and the queue keeps the draft until the request must be over", async () => {
    const { call, tier, queued } = calling({}, 2);
    const lease = leaseOf(call, tier, DRAFT, TOTAL_MS, lost());
    expect(await lease.confirmed).toBe(true);
    const event = { ...DRAFT, outcome: "complete" as const };
    await lease.settle(event);
    expect(queued).toEqual([
      { body: { event: { ...DRAFT, admittedBy: "local" }, outbox: null }, options: { delaySeconds: 90 } },
      { body: { event: { ...event, admittedBy: "local" }, outbox: null }, options: undefined },
    ]);
    leaseOf(call, tier, DRAFT, TOTAL_MS, lost());
    expect(thrownBy(() => leaseOf(call, tier, DRAFT, TOTAL_MS, lost())).code).toBe("limits_unavailable");
  });

  test("nor the queue: nothing is confirmed, so no byte leaves", async () => {
    const { call, tier } = calling({}, 2, false);
    expect(await leaseOf(call, tier, DRAFT, TOTAL_MS, lost()).confirmed).toBe(false);
  });

  test.each([{ localRpm: null }, { localRpm: 2 }])(
    "that says yes after all gives back what it reserved, and tells nobody of it (allowance: $localRpm)",
    async ({ localRpm }) => {
      const released: string[] = [];
      const { call, tier, queued, afterwards } = calling(
        { release: async (id: string) => released.push(id) },
        localRpm,
      );
      const late = unreachable(Promise.resolve({ kind: "admitted" as const, standings: EMPTY }));
      if (localRpm === null) thrownBy(() => leaseOf(call, tier, DRAFT, TOTAL_MS, late));
      else await leaseOf(call, tier, DRAFT, TOTAL_MS, late).confirmed;
      await afterwards();
      expect(released).toEqual([DRAFT.id]);
      expect(queued).toHaveLength(localRpm === null ? 0 : 1);
    },
  );
});

describe("a refusal in OpenAI's words", () => {
  const limit = (name: string, unit: "requests" | "tokens" | "micros") => ({ name, unit, max: 5, windowMs: 60_000 });
  const standings = { windows: [{ limit: limit("rpm", "requests"), remaining: 0, resetMs: 12_345 }], slots: [] };
  test.each<{ unit: "requests" | "tokens" | "micros" | "concurrent-requests"; code: string; type: string }>([
    { unit: "requests", code: "rate_limit_exceeded", type: "requests" },
    { unit: "tokens", code: "rate_limit_exceeded", type: "tokens" },
    { unit: "micros", code: "insufficient_quota", type: "insufficient_quota" },
    { unit: "concurrent-requests", code: "rate_limit_exceeded", type: "requests" },
  ])("$unit", ({ unit, code, type }) => {
    const { call, tier } = calling({}, null);
    const denial: Admission = { kind: "denied", standings, violated: { name: "x", unit }, retryAfterMs: 12_345 };
    const problem = thrownBy(() => leaseOf(call, tier, DRAFT, TOTAL_MS, denial));
    expect(problem).toMatchObject({ code, status: 429, facts: { type, retryAfterS: 13 } });
    expect(problem.facts.headers).toMatchObject({ ratelimit: '"rpm";r=0;t=13' });
  });

  test("what no waiting helps says so, and not when to come back", () => {
    const { call, tier } = calling({}, null);
    const violated = { name: "tpm", unit: "tokens" as const };
    const denial: Admission = { kind: "denied", standings, violated, retryAfterMs: null };
    const { facts } = thrownBy(() => leaseOf(call, tier, DRAFT, TOTAL_MS, denial));
    expect(facts.retryAfterS).toBeUndefined();
    expect(facts.headers).toMatchObject({ "x-should-retry": "false" });
  });
});

test("the account is asked with the tier's limits, the draft and this machine's clock", async () => {
  const asked: unknown[] = [];
  const account = {
    admit: async (request: unknown) => {
      asked.push(request);
      return { kind: "admitted", standings: EMPTY };
    },
    confirm: async () => true,
  };
  const { call, tier } = calling(account, null);
  const before = Date.now();
  expect((await admission(call, tier, { ...DRAFT, model: "m" }, COST)).kind).toBe("admitted");
  expect(asked).toMatchObject([
    {
      cost: COST,
      tenant: null,
      keyId: null,
      slots: [{ name: "concurrency", max: 5 }],
      ifAbandoned: { id: DRAFT.id },
      limits: [{ name: "rpm" }, { name: "rph" }, { name: "rpd" }, { name: "tpm", max: 1_000 }],
    },
  ]);
  expect(Reflect.get(Object(asked[0]), "askedAtMs")).toBeGreaterThanOrEqual(before);
});
