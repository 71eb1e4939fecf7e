/** Where a caller stands, told without spending: the page, and the headers of answers that needed no lease. */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { issueApiKey } from "#src/auth/api-key.ts";
import { parseCatalog } from "#src/catalog/schema.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { limitsPage, standingHeaders, tierOf } from "#src/ingress/limits.ts";
import { type Asked, answering, CATALOG, CHAT, type Gateway, type Host, startGateway } from "#test/support/gateway.ts";

const PATH = "/v1/limits";
const KEY_ID = "key_limits";
const TIER = {
  rpm: 10,
  rph: 100,
  rpd: 1_000,
  tpm: 50_000,
  tpd: 500_000,
  concurrency: 3,
  share: 1,
  maxTokens: 100,
  budget: { perDay: 2, perMonth: 20.5 },
  models: { cached: { rpm: 4, concurrency: 1 } },
};
const catalog = {
  ...CATALOG,
  tiers: { ...CATALOG.tiers, narrow: TIER },
  keys: { [KEY_ID]: { rpm: 7, concurrency: 2 } },
};

let gateway: Gateway;
let host: Host = answering;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  gateway = await startGateway(catalog, (body) => host(body));
});
afterAll(() => {
  vi.restoreAllMocks();
});

type Entry = { name: string; unit: string; limit: number; remaining: number; window_seconds: number | null };
type Page = { object: string; tier: string; model: string | null; data: (Entry & { reset_seconds: number | null })[] };

/** A fresh caller of the narrow tier. */
const caller = (): Asked => ({ as: { sub: crypto.randomUUID(), tier: "narrow" } });

async function page(sender: Asked, query = ""): Promise<Page> {
  const response = await gateway.ask(`${PATH}${query}`, sender);
  expect(response.status).toBe(200);
  return response.json();
}

async function left(sender: Asked, query = ""): Promise<Record<string, number>> {
  const { data } = await page(sender, query);
  return Object.fromEntries(data.map(({ name, remaining }) => [name, remaining]));
}

describe("the page", () => {
  test("of a caller who has spent nothing: every limit, with what is left, when it resets and over how long it goes", async () => {
    const entry = (name: string, unit: string, limit: number, window_seconds: number | null) => {
      return { name, unit, limit, remaining: limit, window_seconds, reset_seconds: window_seconds === null ? null : 0 };
    };
    expect(await page(caller())).toEqual({
      object: "list",
      tier: "narrow",
      model: null,
      data: [
        entry("rpm", "requests", 10, 60),
        entry("rph", "requests", 100, 3_600),
        entry("rpd", "requests", 1_000, 86_400),
        entry("tpm", "tokens", 50_000, 60),
        entry("tpd", "tokens", 500_000, 86_400),
        entry("budget-day", "usd-micros", 2_000_000, 86_400),
        entry("budget-month", "usd-micros", 20_500_000, 2_592_000),
        entry("concurrency", "concurrent-requests", 3, null),
      ],
    });
  });

  test("spends nothing, however often it is asked for", async () => {
    const sender = caller();
    for (let turn = 0; turn < 12; turn++) await page(sender);
    expect(await left(sender)).toMatchObject({ rpm: 10, rpd: 1_000, tpm: 50_000 });
  });

  test("after an answer: a request, and its tokens as they turned out", async () => {
    const sender = caller();
    await (await gateway.ask("/v1/chat/completions", { ...sender, body: CHAT })).text();
    await vi.waitFor(async () => {
      // 11 and 7 by the host; org/plain has no price.
      expect(await left(sender)).toMatchObject({
        rpm: 9,
        rph: 99,
        rpd: 999,
        tpm: 49_982,
        tpd: 499_982,
        concurrency: 3,
      });
    });
    const { data } = await page(sender);
    expect(data.find(({ name }) => name === "rpm")?.reset_seconds).toBeGreaterThan(0);
  });

  test("while an answer is under way: what is reserved for it, and one request in flight", async () => {
    const sender = caller();
    // Plain values: a promise of one request may not be settled by another.
    const state = { begun: false, held: true };
    host = async (body) => {
      state.begun = true;
      while (state.held) await scheduler.wait(5);
      return answering(body);
    };
    const asking = gateway.ask("/v1/chat/completions", { ...sender, body: { ...CHAT, max_tokens: 60 } });
    await vi.waitFor(() => expect(state.begun).toBe(true));
    const standing = await left(sender);
    expect(standing).toMatchObject({ rpm: 9, concurrency: 2 });
    expect(standing.tpm).toBeLessThanOrEqual(50_000 - 60);
    expect(standing.tpm).toBeGreaterThan(50_000 - 100);
    host = answering;
    state.held = false;
    await (await asking).text();
  });

  test("for a model that the tier names: its own limits in the place of the tier's", async () => {
    const { model, data } = await page(caller(), "?model=cached");
    expect(model).toBe("cached");
    const names = data.map(({ name, limit }) => `${name}=${limit}`);
    expect(names).toContain("rpm/model/cached=4");
    expect(names).toContain("concurrency/model/cached=1");
    expect(names).toContain("rph=100");
    expect(data.map(({ name }) => name)).not.toContain("rpm");
  });

  test("for another model: the tier's", async () => {
    expect(Object.keys(await left(caller(), "?model=org/plain"))).toEqual(Object.keys(await left(caller())));
  });

  test("of an API key that the catalog caps: its caps as well, whatever it may do", async () => {
    for (const scope of ["inference", "embeddings", "models"] as const) {
      const grant = { owner: crypto.randomUUID(), tier: "narrow", label: "", expiresAtMs: Date.now() + 60_000 };
      const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
      const { key, kvKey, record } = await issueApiKey(env.CAUSEWAY_SECRET, { ...grant, scopes: [scope] }, random);
      await env.KV.put(kvKey, JSON.stringify({ ...record, id: KEY_ID }));
      const sender = { headers: { authorization: `Bearer ${key}` } };
      for (const query of ["", "?model=org/plain"])
        expect(await left(sender, query)).toMatchObject({
          rpm: 10,
          [`rpm/key/${KEY_ID}`]: 7,
          concurrency: 3,
          [`concurrency/key/${KEY_ID}`]: 2,
        });
    }
  });

  test.each([
    { query: "?model=absent", status: 404, code: "model_not_found", param: "model" },
    { query: "?model=", status: 400, code: "invalid_value", param: "model" },
    { query: "?model=cached&model=cached", status: 400, code: "invalid_value", param: "model" },
    { query: "?modle=cached", status: 400, code: "invalid_value", param: "modle" },
  ])("$query: $status", async ({ query, status, code, param }) => {
    const response = await gateway.ask(`${PATH}${query}`);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code, param } });
  });

  test("says the same in its headers", async () => {
    const { headers } = await gateway.ask(PATH, caller());
    expect(headers.get("ratelimit")).toMatch(/^"rpm";r=10;t=0, "rph";r=100;/);
    expect(headers.get("ratelimit-policy")).toMatch(/"budget-day";q=2000000;qu="usd-micros";w=86400/);
    expect(headers.get("x-ratelimit-remaining-requests")).toBe("10");
    expect(headers.get("x-ratelimit-limit-tokens")).toBe("50000");
  });
});

describe("answers that needed no lease say where their caller stands", () => {
  test.each([
    { name: "a list", path: "/v1/models", status: 200 },
    { name: "a model that is not there", path: "/v1/models/absent", status: 404 },
    { name: "a page for others", path: "/admin/fleet", status: 403 },
    { name: "a body that is wrong", path: "/v1/chat/completions", body: {}, status: 400 },
  ])("$name", async ({ path, status, ...request }) => {
    const response = await gateway.ask(path, { ...caller(), ...request });
    await response.text();
    expect(response.status).toBe(status);
    expect(response.headers.get("ratelimit")).toMatch(/"rpm";r=10;t=0/);
  });

  test.each([
    { name: "nobody knows who", path: "/v1/models", status: 401 },
    { name: "what is open to everyone", path: "/health", status: 200 },
  ])("but not $name", async ({ path, status }) => {
    const response = await gateway.ask(path, { as: null });
    await response.text();
    expect(response.status).toBe(status);
    expect(response.headers.get("ratelimit")).toBeNull();
  });
});

describe("with an account that cannot be reached", () => {
  const parsed = parseCatalog(catalog);
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  const callTo = (standing: () => Promise<never>, tier = "narrow"): KnownCall =>
    ({
      request: new Request(`http://x${PATH}`),
      catalog: parsed.catalog,
      env: { ...env, ACCOUNT: { getByName: () => ({ standing }) } },
      principal: { accountId: "a", tier, keyId: null, tenant: null, roles: [], scopes: ["models"], userId: "a" },
    }) as unknown as KnownCall;
  const gone = () => Promise.reject(new Error("overloaded"));

  test("the page says so, and when to come back", async () => {
    await expect(limitsPage(callTo(gone))).rejects.toMatchObject({
      code: "limits_unavailable",
      facts: { retryAfterS: 2 },
    });
  });

  test("other answers go without headers, and do not wait for one that dawdles", async () => {
    expect(await standingHeaders(callTo(gone))).toEqual({});
    expect(await standingHeaders(callTo(() => new Promise<never>(() => undefined)))).toEqual({});
  });

  test("a caller's tier is the catalog's, or its default", () => {
    expect(tierOf(callTo(gone)).rpm).toBe(10);
    expect(tierOf(callTo(gone, "gone")).rpm).toBe(1_000);
    const none = { ...callTo(gone, "gone"), catalog: { ...parsed.catalog, tiers: {} } };
    expect(() => tierOf(none)).toThrow(expect.objectContaining({ code: "misconfigured" }));
  });
});
