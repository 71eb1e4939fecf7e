import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { CATALOG, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";
import { parseList } from "#test/support/structured-fields.ts";

const WIDE = { rpm: 5_000, rph: 50_000, rpd: 500_000, tpm: 100_000_000, concurrency: 5_000, share: 1 };
const LIMITED = {
  ...CATALOG,
  tiers: {
    default: WIDE,
    narrow: { ...WIDE, rpm: 137 },
    few: { ...WIDE, rpm: 3 },
    single: { ...WIDE, concurrency: 1 },
    words: { ...WIDE, tpm: 400 },
    poor: { ...WIDE, budget: { perDay: 0.05 } },
    bounded: { ...WIDE, maxTokens: 50, over: "clamp" },
    mixed: { ...WIDE, models: { cached: { rpm: 1 } } },
  },
  issuers: [],
  tenants: { acme: { rpm: 10 } },
};

/** A thousand requests may take two busy cores longer than the usual 5 s. */
vi.setConfig({ testTimeout: 60_000 });

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway(LIMITED);
  vi.spyOn(console, "log").mockReturnValue();
});
afterEach(() => vi.useRealTimers());

const caller = (tier: string, sub = `u-${crypto.randomUUID()}`) => ({ sub, tier });

async function ask(as: Record<string, unknown>, body: object = CHAT): Promise<Response> {
  const response = await gateway.ask("/v1/chat/completions", { as, body });
  await response.arrayBuffer();
  return response;
}

const admitted = (responses: readonly Response[]): number => responses.filter(({ status }) => status === 200).length;
const times = <T>(count: number, work: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => work(at));

test("a thousand at once of one caller at 137 a minute: exactly 137, the others 429 and told when", async () => {
  const as = caller("narrow");
  const responses = await Promise.all(times(1_000, () => ask(as)));
  expect(admitted(responses)).toBe(137);
  const refused = responses.filter(({ status }) => status !== 200);
  for (const { status, headers } of refused) {
    expect(status).toBe(429);
    expect(parseList(headers.get("ratelimit-policy") ?? "")).toHaveLength(5);
    const limits = parseList(headers.get("ratelimit") ?? "");
    const rpm = limits.find(({ value }) => value === "rpm")?.parameters;
    expect(rpm?.r).toBe(0);
    expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(Number(rpm?.t));
    expect(headers.get("x-ratelimit-remaining-requests")).toBe("0");
  }
});

test("a hundred callers at once, each at three a minute: three of each, and nobody another's", async () => {
  const callers = times(100, () => caller("few"));
  const responses = await Promise.all(times(500, (at) => ask(callers[at % 100] ?? {})));
  for (let who = 0; who < 100; who++) expect(admitted(responses.filter((_, at) => at % 100 === who))).toBe(3);
});

test("a caller who goes on at once with its next request never waits for its own last one", async () => {
  const as = caller("single");
  for (let request = 0; request < 200; request++) expect((await ask(as)).status).toBe(200);
});

describe("limits of other kinds", () => {
  test("tokens are reserved while a request runs, and what was not used comes back", async () => {
    const as = caller("words");
    const body = { ...CHAT, max_tokens: 300 };
    const both = await Promise.all([ask(as, body), ask(as, body)]);
    expect(admitted(both)).toBe(1);
    const refused = both.find(({ status }) => status === 429);
    expect(refused?.headers.get("x-ratelimit-limit-tokens")).toBe("400");
    await vi.waitFor(async () => expect((await ask(as, body)).status).toBe(200));
  });

  test("more tokens than the limit has are never worth a retry", async () => {
    const response = await gateway.ask("/v1/chat/completions", {
      as: caller("words"),
      body: { ...CHAT, max_tokens: 5_000 },
    });
    expect(response.status).toBe(429);
    expect(await response.json()).toMatchObject({ error: { code: "rate_limit_exceeded", type: "tokens" } });
    expect(response.headers.get("x-should-retry")).toBe("false");
    expect(response.headers.get("retry-after")).toBeNull();
  });

  test("a budget that is spent is a quota, not a rate", async () => {
    const as = caller("poor");
    const body = { ...CHAT, model: "cached", max_tokens: 1, temperature: 1 };
    const statuses: number[] = [];
    // 18 tokens an answer at a dollar per thousand: two fit into five cents, and what a third one reserves does not.
    for (let request = 0; request < 4; request++) statuses.push((await ask(as, body)).status);
    expect(statuses).toEqual([200, 200, 429, 429]);
    const refused = await gateway.ask("/v1/chat/completions", { as, body });
    expect(await refused.json()).toMatchObject({ error: { code: "insufficient_quota" } });
    expect(refused.headers.get("x-should-retry")).toBe("false");
  });

  test("a model with limits of its own does not count against the tier's", async () => {
    const as = caller("mixed");
    const body = { ...CHAT, model: "cached", temperature: 1 };
    expect([(await ask(as, body)).status, (await ask(as, body)).status]).toEqual([200, 429]);
    const other = await ask(as);
    expect(other.status).toBe(200);
    expect(other.headers.get("ratelimit")).toContain(`"rpm";r=${WIDE.rpm - 1}`);
  });

  test("what the users of a tenant share: ten a minute, whoever they are", async () => {
    const users = times(4, () => ({ ...caller("default"), tenant: "acme" }));
    const responses = await Promise.all(times(40, (at) => ask(users[at % 4] ?? {})));
    expect(admitted(responses)).toBe(10);
    expect((await ask({ ...caller("default"), tenant: "other" })).status).toBe(200);
  });
});

test("GET /v1/limits spends nothing and agrees with the headers", async () => {
  const as = caller("few");
  await ask(as);
  const looks = await Promise.all(times(5, () => gateway.ask("/v1/limits", { as })));
  for (const look of looks) {
    expect(look.headers.get("ratelimit")).toContain('"rpm";r=2');
    const { data } = (await look.json()) as { data: { name: string; remaining: number }[] };
    expect(data.find(({ name }) => name === "rpm")).toMatchObject({ remaining: 2 });
  }
  expect(admitted(await Promise.all(times(4, () => ask(as))))).toBe(2);
});

test.each(["/v1/models", "/v1/models/none", "/v1/nothing-here"])(
  "%s says where a known caller stands",
  async (path) => {
    const response = await gateway.ask(path, { as: caller("few") });
    const known = path !== "/v1/nothing-here";
    expect(response.headers.has("ratelimit")).toBe(known);
    expect(response.headers.has("ratelimit-policy")).toBe(known);
  },
);
