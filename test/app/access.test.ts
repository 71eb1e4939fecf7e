/**
 * Who may do what, written out by route and held against every route there is. What a route answers beyond the door is
 * other tests' matter: here a denial is a 401 or a 403, and anything else is a pass.
 */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { app, ROUTES } from "#src/app.ts";
import { type ApiKeyRecord, issueApiKey, kvKeyOf } from "#src/auth/api-key.ts";
import { SCOPES, type Scope } from "#src/auth/principal.ts";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import type { Env } from "#src/env.ts";
import { type Asked, CATALOG, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";
import { testIssuer } from "#test/support/issuer.ts";

const served = [{ host: "gpu", as: "m" }];
const RESTRICTED = [
  { id: "costly", served, allow: { tiers: ["premium"] } },
  { id: "trial", served, allow: { roles: ["ai-admins"] } },
  { id: "trial-embedder", kind: "embedding", served, allow: { roles: ["ai-monitoring"] } },
];
const SECOND = "https://second.example.test/realms/ai";
const { default: WIDE } = CATALOG.tiers;

let gateway: Gateway;
beforeAll(async () => {
  gateway = await startGateway();
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  const catalog = {
    ...CATALOG,
    tiers: { ...CATALOG.tiers, premium: WIDE },
    models: [...CATALOG.models, ...RESTRICTED],
    roles: { "ai-monitoring": ["watchers", "ai-monitoring"] },
    issuers: [
      {
        issuer: SECOND,
        audience: "second",
        algorithms: ["ES256"],
        claims: { groups: "realm_access.roles", tier: "plan" },
      },
    ],
  };
  await env.KV.put(CATALOG_KEY, JSON.stringify(catalog));
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** Headers of an API key with these scopes. */
async function keyWith(scopes: readonly Scope[], changed: Partial<ApiKeyRecord> = {}): Promise<Asked> {
  const grant = { owner: "robot", tier: "default", scopes: [...scopes], label: "", expiresAtMs: Date.now() + 60_000 };
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const { key, kvKey, record } = await issueApiKey(env.CAUSEWAY_SECRET, { ...grant, ...changed }, random);
  await env.KV.put(kvKey, JSON.stringify(record));
  return { headers: { authorization: `Bearer ${key}` } };
}

const withGroups = (...groups: string[]): Asked => ({ as: { groups, sub: groups.join("+") || "nobody" } });

const WHO: Record<string, () => Asked | Promise<Asked>> = {
  nobody: () => ({ as: null }),
  "no groups": () => withGroups(),
  "ai-users": () => withGroups("ai-users"),
  "ai-monitoring": () => withGroups("ai-monitoring"),
  "ai-admins": () => withGroups("ai-admins"),
  "key of nothing": () => keyWith([]),
  ...Object.fromEntries(SCOPES.map((scope) => [`key of ${scope}`, () => keyWith([scope])])),
  "expired key of all": () => keyWith(SCOPES, { expiresAtMs: 1 }),
};
const EVERYONE = Object.keys(WHO);

type Row = {
  /** A request that is right in everything but perhaps its sender. */
  readonly asks: Asked & { readonly path?: string };
  readonly may: readonly string[];
  /** Whose the things behind the route are: where somebody's own, `may` holds for the owner, and others get nothing. */
  readonly owned: "by nobody" | "by an account";
};

const ADMINS = ["ai-admins", "key of admin"];
const UNKNOWN_KEY = "/admin/keys/key_000000000000";
const TABLE: Record<string, Row> = {
  "GET /health": { asks: {}, may: EVERYONE, owned: "by nobody" },
  "POST /v1/chat/completions": {
    asks: { body: CHAT },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "POST /v1/completions": {
    asks: { body: { model: "org/plain", prompt: "hi" } },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "POST /v1/embeddings": {
    asks: { body: { model: "embedder", input: "hi" } },
    may: ["ai-users", "ai-admins", "key of embeddings"],
    owned: "by nobody",
  },
  "GET /v1/models": { asks: {}, may: ["ai-users", "ai-admins", "key of models"], owned: "by nobody" },
  "GET /v1/models/:parameter{.+}": {
    asks: { path: "/v1/models/org/plain" },
    may: ["ai-users", "ai-admins", "key of models"],
    owned: "by nobody",
  },
  "GET /admin/fleet": { asks: {}, may: ADMINS, owned: "by nobody" },
  "GET /admin/audit": { asks: {}, may: ADMINS, owned: "by nobody" },
  "DELETE /admin/issuer-keys": { asks: { method: "DELETE" }, may: ADMINS, owned: "by nobody" },
  "GET /admin/keys": { asks: {}, may: ADMINS, owned: "by nobody" },
  // Wrong on purpose, where it would leave something behind: it is refused behind the door.
  "POST /admin/keys": { asks: { body: {} }, may: ADMINS, owned: "by nobody" },
  "DELETE /admin/keys/:parameter": { asks: { method: "DELETE", path: UNKNOWN_KEY }, may: ADMINS, owned: "by nobody" },
  "POST /admin/keys/:parameter/rotate": {
    asks: { path: `${UNKNOWN_KEY}/rotate`, body: {} },
    may: ADMINS,
    owned: "by nobody",
  },
};

const nameOf = ({ method, path }: { method: string; path: string }): string => `${method} ${path}`;

async function statusOf(path: string, request: Asked): Promise<number> {
  const response = await gateway.ask(path, request);
  await response.arrayBuffer();
  return response.status;
}

test("every route has its row, and every row its route", () => {
  expect(Object.keys(TABLE).sort()).toEqual(ROUTES.map(nameOf).sort());
});

describe.each(ROUTES.map((route) => ({ name: nameOf(route), path: route.path })))("$name", ({ name, path }) => {
  test.each(EVERYONE)("%s", async (who) => {
    const row = TABLE[name];
    const sender = await WHO[who]?.();
    if (row === undefined || sender === undefined) throw new Error("no row, or nobody of this name");
    const { path: asked = path, ...request } = row.asks;
    const status = await statusOf(asked, { ...request, ...sender });
    const refused = who === "nobody" || who.startsWith("expired") ? 401 : 403;
    if (row.may.includes(who)) expect([401, 403, 500]).not.toContain(status);
    else expect(status).toBe(refused);
  });

  test("HEAD asks for no less than GET", async () => {
    if (!name.startsWith("GET ") || TABLE[name]?.may === EVERYONE) return;
    const { path: asked = path } = TABLE[name]?.asks ?? {};
    expect(await statusOf(asked, { method: "HEAD", as: null })).toBe(401);
    expect(await statusOf(asked, { method: "HEAD", ...withGroups() })).toBe(403);
  });
});

describe("a key that was retired opens no route", () => {
  test.each(Object.entries(TABLE).filter(([, { may }]) => may !== EVERYONE))("%s", async (name, { asks }) => {
    const owner = `retired-${crypto.randomUUID()}`;
    const sender = await keyWith(SCOPES, { owner });
    const { path = name.slice(name.indexOf(" ") + 1), ...request } = asks;
    expect([401, 403]).not.toContain(await statusOf(path, { ...request, ...sender }));
    const text = sender.headers?.authorization?.slice("Bearer ".length) ?? "";
    await env.ACCOUNT.getByName(`key|${owner}`).retireKey(await idOf(text), Date.now());
    expect(await statusOf(path, { ...request, ...sender })).toBe(401);
  });

  async function idOf(text: string): Promise<string> {
    const stored = await env.KV.get<ApiKeyRecord>(await kvKeyOf(env.CAUSEWAY_SECRET, text), "json");
    if (stored === null) throw new Error("no such key");
    return stored.id;
  }
});

describe("models that the catalog does not open to everyone", () => {
  const asked = (model: string): Record<"get" | "use", readonly [path: string, body: unknown]> => ({
    get: [`/v1/models/${model}`, undefined],
    use: model.endsWith("embedder")
      ? ["/v1/embeddings", { model, input: "hi" }]
      : ["/v1/chat/completions", { ...CHAT, model }],
  });
  const user = withGroups("ai-users");
  const senders: Record<string, () => Asked | Promise<Asked>> = {
    "a user": () => user,
    "a user of the tier": () => ({ as: { ...user.as, tier: "premium" } }),
    "a user who claims no such tier": () => ({ as: { ...user.as, tier: ["premium"] } }),
    "an admin": () => withGroups("ai-admins"),
    "a user who also watches": () => withGroups("ai-users", "watchers"),
    "a key of the tier": () => keyWith(["inference", "embeddings", "models"], { tier: "premium" }),
  };
  test.each<{ who: string; open: string[] }>([
    { who: "a user", open: [] },
    { who: "a user of the tier", open: ["costly"] },
    { who: "a user who claims no such tier", open: [] },
    { who: "an admin", open: ["costly", "trial", "trial-embedder"] },
    { who: "a user who also watches", open: ["trial-embedder"] },
    { who: "a key of the tier", open: ["costly"] },
  ])("$who: $open", async ({ who, open }) => {
    const sender = (await senders[who]?.()) ?? {};
    const { data } = (await (await gateway.ask("/v1/models", sender)).json()) as { data: { id: string }[] };
    const everyones = CATALOG.models.map(({ id }) => id);
    expect(data.map(({ id }) => id)).toEqual([...everyones, ...open]);
    for (const { id } of RESTRICTED)
      for (const [path, body] of Object.values(asked(id))) {
        const status = await statusOf(path, { ...sender, ...(body === undefined ? {} : { body }) });
        expect({ id, path, status }).toEqual({ id, path, status: open.includes(id) ? 200 : 404 });
      }
  });

  test.each(["get", "use"] as const)("to %s one looks like one that is not there", async (act) => {
    const answers = await Promise.all(
      ["costly", "absent"].map(async (model) => {
        const [path, body] = asked(model)[act];
        const response = await gateway.ask(path, { ...user, ...(body === undefined ? {} : { body }) });
        return { status: response.status, text: (await response.text()).replaceAll(model, "model") };
      }),
    );
    expect(answers[0]).toEqual(answers[1]);
    expect(answers[0]).toMatchObject({ status: 404, text: expect.stringContaining("model_not_found") });
  });

  test("no host was asked for one that is not open", async () => {
    const before = gateway.asked.length;
    const [path, body] = asked("trial").use;
    await statusOf(path, { ...user, body });
    expect(gateway.asked.length).toBe(before);
  });
});

describe("an issuer of the catalog", () => {
  test("beside the first one, with its own audience, algorithm and claims", async () => {
    const second = await testIssuer(Date.now(), SECOND, "k1", "ES256");
    const others = vi.mocked(fetch).getMockImplementation();
    vi.mocked(fetch).mockImplementation((input, init) =>
      String(input).startsWith(SECOND) || others === undefined ? second.fetcher(input, init) : others(input, init),
    );
    const ask = async (changed: Record<string, unknown>, path = "/v1/models"): Promise<number> => {
      const claims = { aud: "second", realm_access: { roles: ["ai-users"] }, groups: ["ai-admins"], ...changed };
      return statusOf(path, { headers: { authorization: `Bearer ${await second.sign(claims)}` } });
    };
    expect(await ask({})).toBe(200);
    expect(await ask({}, "/admin/fleet")).toBe(403);
    expect(await ask({ realm_access: { roles: ["ai-admins"] } }, "/admin/fleet")).toBe(200);
    expect(await ask({ aud: "causeway" })).toBe(401);
    expect(await ask({ iss: env.OIDC_ISSUER, aud: "causeway" })).toBe(401);
  });

  test("that is the first one: what the catalog says of it is meant", async () => {
    const catalog = { ...CATALOG, issuers: [{ issuer: env.OIDC_ISSUER, audience: "narrow", typ: "at+jwt" }] };
    const get = (name: string) => Promise.resolve(name === CATALOG_KEY ? JSON.stringify(catalog) : null);
    const bindings = { ...env, KV: { get, getWithMetadata: get, put: () => Promise.resolve() } } as unknown as Env;
    const ask = async (token: Promise<string>): Promise<number> => {
      const context = createExecutionContext();
      const headers = { authorization: `Bearer ${await token}` };
      const response = await app.fetch(new Request("http://x/v1/models", { headers }), bindings, context);
      await waitOnExecutionContext(context);
      return response.status;
    };
    const { sign } = gateway.issuer;
    expect(await ask(sign({ aud: "narrow" }, { typ: "at+jwt" }))).toBe(200);
    expect(await ask(sign({ aud: "narrow" }))).toBe(401);
    expect(await ask(sign({}, { typ: "at+jwt" }))).toBe(401);
  });
});
