import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Env } from "#src/env.ts";
import { countRefusal, guard, type Penalties, type Rate } from "#src/ingress/guard.ts";
import { CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";

const NOW_MS = 1_790_000_000_000;

/** Limiters that count by address and never forget. */
function limiters(limits: { completions?: number; embeddings?: number; refusals?: number } = {}) {
  const asked: string[] = [];
  const limiter = (name: string, limit = Number.POSITIVE_INFINITY) => {
    const counts = new Map<string, number>();
    return {
      limit({ key }: { key: string }) {
        asked.push(`${name} ${key}`);
        const count = (counts.get(key) ?? 0) + 1;
        counts.set(key, count);
        return Promise.resolve({ success: count <= limit });
      },
    };
  };
  const bindings = {
    COMPLETIONS_RATE: limiter("completions", limits.completions),
    EMBEDDINGS_RATE: limiter("embeddings", limits.embeddings),
    AUTH_FAILURES: limiter("refusals", limits.refusals),
  } as unknown as Env;
  return { bindings, asked };
}

/** The code of the refusal, or "passed". */
async function verdict(
  address: string | null,
  rate: Rate,
  bindings: Env,
  penalties: Penalties = new Map(),
  nowMs = NOW_MS,
): Promise<unknown> {
  return guard(address, rate, bindings, penalties, nowMs).then(
    () => "passed",
    (thrown: unknown) => Reflect.get(Object(thrown), "code"),
  );
}

describe("the rate of an address", () => {
  test("counts by route and address, and harms no other", async () => {
    const { bindings } = limiters({ completions: 1, embeddings: 2 });
    expect(await verdict("192.0.2.1", "completions", bindings)).toBe("passed");
    expect(await verdict("192.0.2.1", "completions", bindings)).toBe("address_rate_exceeded");
    expect(await verdict("192.0.2.2", "completions", bindings)).toBe("passed");
    expect(await verdict("192.0.2.1", "embeddings", bindings)).toBe("passed");
    expect(await verdict("192.0.2.1", "embeddings", bindings)).toBe("passed");
    expect(await verdict("192.0.2.1", "embeddings", bindings)).toBe("address_rate_exceeded");
    expect(await verdict("192.0.2.1", null, bindings)).toBe("passed");
  });

  test("says when to come back", async () => {
    const { bindings } = limiters({ completions: 0 });
    await expect(guard("192.0.2.1", "completions", bindings, new Map(), NOW_MS)).rejects.toMatchObject({
      status: 429,
      facts: { retryAfterS: 10 },
    });
  });

  test.each([null, "127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])("is not counted for %s", async (address) => {
    const { bindings, asked } = limiters({ completions: 0 });
    expect(await verdict(address, "completions", bindings)).toBe("passed");
    expect(asked).toEqual([]);
  });

  test.each(["128.0.0.1", "12.7.0.0", "::11", "::ffff:128.0.0.1", "127"])("is counted for %s", async (address) => {
    const { bindings } = limiters({ completions: 0 });
    expect(await verdict(address, "completions", bindings)).toBe("address_rate_exceeded");
  });
});

describe("refused credentials", () => {
  test("beyond the limit slow that address down to a trickle, for a minute and on every route", async () => {
    const { bindings, asked } = limiters({ refusals: 2 });
    const penalties: Penalties = new Map();
    for (let refusals = 0; refusals < 2; refusals++) await countRefusal("192.0.2.1", bindings, penalties, NOW_MS);
    expect(await verdict("192.0.2.1", null, bindings, penalties)).toBe("passed");
    await countRefusal("192.0.2.1", bindings, penalties, NOW_MS);
    asked.length = 0;
    for (const rate of ["completions", "embeddings", null] as const) {
      expect(await verdict("192.0.2.1", rate, bindings, penalties, NOW_MS + 199)).toBe("too_many_refusals");
      expect(await verdict("192.0.2.2", rate, bindings, penalties, NOW_MS + 199)).toBe("passed");
    }
    // Turned away at the price of a look-up: no limiter was asked about that address.
    expect(asked.filter((line) => line.endsWith("192.0.2.1"))).toEqual([]);
    // One in 200 ms, however many ask.
    const passed = [];
    for (let atMs = 200; atMs < 2_200; atMs += 10) {
      if ((await verdict("192.0.2.1", null, bindings, penalties, NOW_MS + atMs)) === "passed") passed.push(atMs);
    }
    expect(passed).toEqual([200, 400, 600, 800, 1_000, 1_200, 1_400, 1_600, 1_800, 2_000]);
    for (const atMs of [60_000, 60_001]) {
      expect(await verdict("192.0.2.1", null, bindings, penalties, NOW_MS + atMs)).toBe("passed");
    }
  });

  test("say when the next is looked at", async () => {
    const { bindings } = limiters({ refusals: 0 });
    const penalties: Penalties = new Map();
    await countRefusal("192.0.2.1", bindings, penalties, NOW_MS);
    await expect(guard("192.0.2.1", null, bindings, penalties, NOW_MS + 50)).rejects.toMatchObject({
      status: 429,
      facts: { retryAfterS: 0.15 },
    });
  });

  test("of nobody in particular are not counted", async () => {
    const { bindings, asked } = limiters({ refusals: 0 });
    await countRefusal(null, bindings, new Map(), NOW_MS);
    expect(asked).toEqual([]);
  });

  test("of ever new addresses fill no memory", async () => {
    const { bindings } = limiters({ refusals: 0 });
    const penalties: Penalties = new Map();
    for (let at = 0; at < 10_010; at++) await countRefusal(`a${at}`, bindings, penalties, NOW_MS);
    expect(penalties.size).toBe(10_000);
    expect([penalties.has("a9"), penalties.has("a10"), penalties.has("a10009")]).toEqual([false, true, true]);
  });
});

describe("in the Worker", () => {
  let gateway: Gateway;
  beforeAll(async () => {
    gateway = await startGateway();
  });
  beforeEach(() => {
    for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  });
  afterAll(() => {
    vi.restoreAllMocks();
  });

  const from = (address: string): Record<string, string> => ({ "cf-connecting-ip": address });

  async function statusesOf(asks: readonly (() => Promise<Response>)[]): Promise<number[]> {
    return Promise.all(
      asks.map(async (ask) => {
        const response = await ask();
        await response.arrayBuffer();
        return response.status;
      }),
    );
  }

  test("600 refusals in a minute are answered 401, then the address 429 without any crypto, and another not", async () => {
    const [stormy, calm] = ["203.0.113.1", "203.0.113.2"];
    // A platform that counts by the minute may begin a new one meanwhile: then it takes up to twice as many.
    const forged = () => gateway.ask("/v1/models", { headers: { ...from(stormy), authorization: "Bearer a.b.c" } });
    let [refused, turnedAway] = [0, 0];
    while (turnedAway === 0 && refused < 1_300) {
      const statuses = await statusesOf(Array.from({ length: 50 }, () => forged));
      refused += statuses.filter((status) => status === 401).length;
      turnedAway += statuses.filter((status) => status === 429).length;
    }
    expect(refused).toBeGreaterThanOrEqual(600);
    expect(turnedAway).toBeGreaterThan(0);

    const good = (address: string, sub: string) => gateway.ask("/v1/models", { as: { sub }, headers: from(address) });
    // Thirty at once in the Worker's one isolate: a trickle of them at most.
    const late = await Promise.all(Array.from({ length: 30 }, (_, at) => good(stormy, `late-${at}`)));
    const turned = late.filter(({ status }) => status === 429);
    expect(turned.length).toBeGreaterThanOrEqual(15);
    expect(turned[0]?.headers.get("retry-after")).toBe("1");
    expect(await turned[0]?.json()).toMatchObject({ error: { code: "too_many_refusals" } });
    expect(await statusesOf([() => good(calm, "calm")])).toEqual([200]);
    // A good credential behind the same address is not shut out.
    await vi.waitFor(async () => expect((await good(stormy, "patient")).status).toBe(200), {
      timeout: 5_000,
      interval: 250,
    });
    expect((await gateway.ask("/health", { as: null, headers: from(stormy) })).status).toBe(200);
  }, 20_000);

  test("completions beyond an address's rate are 429, and another address's are not", async () => {
    const chat = (address: string) => () =>
      gateway.ask("/v1/chat/completions", { as: null, body: CHAT, headers: from(address) });
    const [greedy, sibling, modest] = ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"];
    let statuses: number[] = [];
    // Twice the limit at most, as above.
    for (let asked = 0; asked < 300 && !statuses.includes(429); asked += 50)
      statuses = await statusesOf(Array.from({ length: 50 }, () => chat(greedy)));
    expect(statuses).toContain(429);
    expect(await statusesOf([chat(sibling), chat(modest)])).toEqual([429, 401]);
    expect(await statusesOf(Array.from({ length: 150 }, () => chat("127.0.0.1")))).not.toContain(429);
  });

  test("what a caller says of its own address does not matter", async () => {
    const headers = { "x-forwarded-for": "203.0.113.1", "x-real-ip": "203.0.113.1", forwarded: "for=203.0.113.1" };
    expect((await gateway.ask("/v1/models", { headers })).status).toBe(200);
  });
});
