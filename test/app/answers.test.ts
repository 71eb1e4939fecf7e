import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { app } from "#src/app.ts";
import { CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";
import { ledgerRows } from "#test/support/ledger.ts";

const CHAT_PATH = "/v1/chat/completions";
let gateway: Gateway;

beforeAll(async () => {
  gateway = await startGateway();
  vi.spyOn(console, "log").mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
});

test("health is open, also to HEAD, and names no address", async () => {
  const response = await gateway.ask("/health", { as: null });
  expect(response.status).toBe(200);
  const text = await response.text();
  expect(JSON.parse(text)).toMatchObject({ models: { "org/plain": "serving" } });
  expect(text).not.toContain("gpu.test");
  const head = await gateway.ask("/health", { as: null, method: "HEAD" });
  expect({ status: head.status, body: await head.text() }).toEqual({ status: 200, body: "" });
});

test.each(["/v1/models/org/plain", "/v1/models/org%2Fplain"])("a model's page: %s", async (path) => {
  expect(await (await gateway.ask(path)).json()).toMatchObject({ id: "org/plain" });
});

test("an answer says who gave it and what is left, and is in the ledger to the token", async () => {
  const response = await gateway.ask(CHAT_PATH, {
    as: { sub: "alice" },
    body: CHAT,
    headers: { "x-workflow-id": "w1" },
  });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: "hello" } }] });
  const header = (name: string) => response.headers.get(name);
  expect(header("x-causeway-host")).toBe("gpu");
  expect(header("x-causeway-cache")).toBe("bypass");
  expect(header("ratelimit")).toMatch(/^"rpm";r=999;t=\d+, /);
  expect(header("cache-control")).toContain("private");
  expect(await ledgerRows(header("x-request-id"))).toEqual([
    expect.objectContaining({
      user_id: "alice",
      model: "org/plain",
      host: "gpu",
      served_as: "p",
      prompt_tokens: 11,
      completion_tokens: 7,
      outcome: "complete",
      estimated: false,
      cost_estimate: null,
      workflow_id: "w1",
      prompt: null,
      response: null,
    }),
  ]);
});

describe("the cache", () => {
  const body = { ...CHAT, model: "cached" };
  const cacheOf = async (sub: string, sent: unknown = body, headers: Record<string, string> = {}) => {
    const response = await gateway.ask(CHAT_PATH, { as: { sub }, body: sent, headers });
    const said = await response.json();
    return { cache: response.headers.get("x-causeway-cache"), id: response.headers.get("x-request-id"), said };
  };

  test("the same question again costs no host, and is in the ledger as such", async () => {
    const first = await cacheOf("bob");
    expect(first.cache).toBe("miss");
    const asked = gateway.asked.length;
    const second = await vi.waitFor(async () => {
      const again = await cacheOf("bob");
      expect(again.cache).toBe("hit");
      return again;
    });
    expect(second.said).toEqual(first.said);
    expect(gateway.asked.length).toBe(asked);
    expect(await ledgerRows(first.id, second.id)).toEqual([
      expect.objectContaining({ outcome: "complete", cache: "miss", saved_tokens: 0, cost_estimate: "0.018000" }),
      expect.objectContaining({
        outcome: "cached",
        cache: "hit",
        saved_tokens: 18,
        tokens_used: "0",
        cost_estimate: "0.000000",
      }),
    ]);
  });

  test("is never another caller's", async () => {
    await cacheOf("carol");
    await vi.waitFor(async () => expect((await cacheOf("carol")).cache).toBe("hit"));
    expect((await cacheOf("mallory")).cache).toBe("miss");
  });

  test("is passed by where the caller says so", async () => {
    await cacheOf("dave");
    await vi.waitFor(async () => expect((await cacheOf("dave")).cache).toBe("hit"));
    expect((await cacheOf("dave", body, { "cache-control": "no-cache" })).cache).toBe("bypass");
  });
});

test("a kept answer leaves only when its lease is durable", async () => {
  const body = { model: "cached", messages: [{ role: "user", content: `keep this ${crypto.randomUUID()}` }] };
  const token = await gateway.issuer.sign({ aud: "causeway", sub: "carol", tier: "default" });
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const asking = async (confirmed: boolean): Promise<Response> => {
    const account = {
      admit: async () => ({ kind: "admitted", standings: { windows: [], slots: [] } }),
      confirm: async () => confirmed,
      settle: async () => undefined,
      standing: async () => ({ windows: [], slots: [] }),
    };
    const bindings = { ...env, ACCOUNT: { getByName: () => account, idFromName: () => "" } } as never;
    const context = createExecutionContext();
    const request = new Request(`http://x${CHAT_PATH}`, { method: "POST", headers, body: JSON.stringify(body) });
    const response = await app.fetch(request, bindings, context);
    await waitOnExecutionContext(context);
    return response;
  };
  expect((await asking(true)).headers.get("x-causeway-cache")).toBe("miss");
  const kept = await asking(true);
  expect({ status: kept.status, cache: kept.headers.get("x-causeway-cache") }).toEqual({ status: 200, cache: "hit" });
  expect((await asking(false)).status).toBe(503);
});
