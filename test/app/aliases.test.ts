import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { inSession } from "#src/postgres/session.ts";
import { answering, CATALOG, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";

const CHAT_PATH = "/v1/chat/completions";
const secret = { id: "secret", served: [{ host: "gpu", as: "s" }], allow: { tiers: ["gold"] } };
const capped = { ...CATALOG.tiers.default, models: { "org/plain": { rpm: 1 } } };
const catalog = {
  ...CATALOG,
  models: [...CATALOG.models, secret],
  tiers: { ...CATALOG.tiers, capped, gold: CATALOG.tiers.default },
  aliases: {
    auto: {
      rules: [
        { when: { tools: true }, use: "org/plain" },
        { when: { prefer: ["quality"] }, use: "secret" },
      ],
      otherwise: "cached",
    },
    best: { otherwise: "secret" },
    vectors: { otherwise: "embedder" },
  },
};

let gateway: Gateway;
/** The names that the host was asked for. */
const named: unknown[] = [];

beforeAll(async () => {
  gateway = await startGateway(catalog, (body) => {
    named.push(body.model);
    return answering(body);
  });
});
afterAll(() => {
  vi.restoreAllMocks();
});

const TOOLS = { ...CHAT, model: "auto", tools: [{ type: "function", function: { name: "f" } }] };

test("an alias becomes a model, for the host, the caller, the log and the ledger", async () => {
  const logged = vi.spyOn(console, "log").mockReturnValue();
  const response = await gateway.ask(CHAT_PATH, { body: TOOLS });
  expect(response.status).toBe(200);
  expect(response.headers.get("x-causeway-model")).toBe("org/plain");
  expect(named.at(-1)).toBe("p");
  expect(logged.mock.calls.map(([text]) => JSON.parse(String(text)))).toContainEqual(
    expect.objectContaining({ route: CHAT_PATH, model: "org/plain" }),
  );
  const id = response.headers.get("x-request-id");
  await vi.waitFor(
    async () => {
      const text = "SELECT model FROM inference_logs WHERE id = $1";
      const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [id]));
      expect(rows).toEqual([{ model: "org/plain" }]);
    },
    { timeout: 5_000, interval: 100 },
  );
});

test("streams say it too, and a model's own name needs no word", async () => {
  const streamed = await gateway.ask(CHAT_PATH, { body: { ...TOOLS, stream: true } });
  expect(streamed.headers.get("x-causeway-model")).toBe("org/plain");
  await streamed.text();
  const plain = await gateway.ask(CHAT_PATH, { body: CHAT });
  expect(plain.headers.get("x-causeway-model")).toBeNull();
});

test("an answer to an alias is kept for its model's name, and the other way round", async () => {
  const ask = async (model: string, content: string) => {
    const body = { model, messages: [{ role: "user", content }] };
    const response = await gateway.ask(CHAT_PATH, { as: { sub: "keeper" }, body });
    await response.text();
    return response.headers.get("x-causeway-cache");
  };
  // Kept once the same name finds it; only then is the other one asked.
  await vi.waitFor(async () => expect(await ask("auto", "one")).toBe("hit"));
  expect(await ask("cached", "one")).toBe("hit");
  await vi.waitFor(async () => expect(await ask("cached", "two")).toBe("hit"));
  expect(await ask("auto", "two")).toBe("hit");
});

test("an alias for a model that is not open to the caller is not there", async () => {
  const ask = async (model: string, tier: string, headers: Record<string, string> = {}) => {
    const response = await gateway.ask(CHAT_PATH, { as: { tier }, body: { ...CHAT, model }, headers });
    const text = await response.text();
    expect(text).not.toContain("secret");
    return response.status;
  };
  const quality = { "x-causeway-prefer": "quality" };
  expect([await ask("best", "default"), await ask("auto", "default", quality)]).toEqual([404, 404]);
  expect([await ask("best", "gold"), await ask("auto", "gold", quality)]).toEqual([200, 200]);
  expect(named.at(-1)).toBe("s");
});

test("a tier's own limits for a model hold for its aliases", async () => {
  const as = { sub: "capped", tier: "capped" };
  expect((await gateway.ask(CHAT_PATH, { as, body: CHAT })).status).toBe(200);
  expect((await gateway.ask(CHAT_PATH, { as, body: TOOLS })).status).toBe(429);
});

test("an alias for another kind of model is refused as that model is", async () => {
  const response = await gateway.ask(CHAT_PATH, { body: { ...CHAT, model: "vectors" } });
  expect(response.status).toBe(400);
  const embedded = await gateway.ask("/v1/embeddings", { body: { model: "vectors", input: "x" } });
  expect(embedded.headers.get("x-causeway-model")).toBe("embedder");
});

test("limits are told for the model that an alias stands for when no rule fits", async () => {
  expect(await (await gateway.ask("/v1/limits?model=auto")).json()).toMatchObject({ model: "cached" });
});
