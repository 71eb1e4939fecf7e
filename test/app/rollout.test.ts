/**
 * How a model is changed under its callers: variants of which each caller has one, copies that nobody sees, and the
 * switch that ends it. Through the whole Worker.
 */
import { env, exports } from "cloudflare:workers";
import OpenAI from "openai";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { JsonObject } from "#src/json.ts";
import { inSession } from "#src/postgres/session.ts";
import { answering, CATALOG, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";

const catalog = {
  hosts: [{ ...CATALOG.hosts[0], slots: 50 }],
  models: [
    {
      id: "split",
      served: [
        { host: "gpu", as: "old", split: 50 },
        { host: "gpu", as: "new", split: 50 },
      ],
    },
    { id: "shadowed", served: [{ host: "gpu", as: "real" }], shadow: [{ host: "gpu", as: "copy" }] },
    { id: "off", served: [{ host: "gpu", as: "x" }], enabled: false },
    { id: "variant-off", served: [{ host: "gpu", as: "x", enabled: false }] },
  ],
  tiers: CATALOG.tiers,
};

let gateway: Gateway;
let said: JsonObject[] = [];
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  gateway = await startGateway(catalog, (body) => {
    said.push(body);
    return body.model === "copy" ? new Response("the copy's own trouble", { status: 500 }) : answering(body);
  });
});
afterAll(() => {
  vi.restoreAllMocks();
});

const ask = (model: string, sub: string, more: object = {}) =>
  gateway.ask("/v1/chat/completions", { as: { sub }, body: { ...CHAT, model, ...more } });

test("a caller keeps its variant, and callers are spread over both", async () => {
  const variantOf = async (sub: string) => {
    said = [];
    expect((await ask("split", sub)).status).toBe(200);
    return said.map(({ model }) => model).join();
  };
  const subs = Array.from({ length: 12 }, (_, at) => `caller-${at}`);
  const first: string[] = [];
  for (const sub of subs) first.push(await variantOf(sub));
  for (const [at, sub] of subs.entries()) expect(await variantOf(sub)).toBe(first[at]);
  expect(new Set(first)).toEqual(new Set(["old", "new"]));
});

test.each([false, true])(
  "a copy goes out beside the answer, streamed %s, and is in no ledger, whatever becomes of it",
  async (stream) => {
    said = [];
    const response = await ask("shadowed", "watched", { stream });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("hello");
    await vi.waitFor(() => expect(said.map(({ model }) => model).sort()).toEqual(["copy", "real"]), 4_000);
    const text = "SELECT id, outcome FROM inference_logs WHERE model = 'shadowed' AND id >= $1::uuid";
    const id = response.headers.get("x-request-id");
    const rows = await vi.waitFor(
      async () => {
        const found = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [id]));
        expect(found.rows).not.toHaveLength(0);
        return found.rows;
      },
      { timeout: 5_000, interval: 100 },
    );
    expect(rows).toEqual([{ id, outcome: "complete" }]);
  },
);

test("a model that is switched off is told as that, once, and is nobody's to pick", async () => {
  let attempts = 0;
  const client = new OpenAI({
    apiKey: await gateway.issuer.sign({ sub: "someone", tier: "default" }),
    baseURL: "http://x/v1",
    fetch: (input, init) => {
      attempts += 1;
      return exports.default.fetch(new Request(input, init));
    },
  });
  said = [];
  for (const model of ["off", "variant-off"]) {
    attempts = 0;
    const asking = client.chat.completions.create({ model, messages: [{ role: "user", content: "hi" }] });
    await expect(asking).rejects.toMatchObject({ status: 503, code: "model_disabled", param: "model" });
    expect(attempts).toBe(1);
  }
  expect(said).toEqual([]);
  expect((await client.models.list()).data.map(({ id }) => id)).toEqual(["split", "shadowed"]);
  const health = await gateway.ask("/health", { as: null });
  expect(await health.json()).toMatchObject({ status: "ok", models: { off: "disabled", "variant-off": "disabled" } });
});
