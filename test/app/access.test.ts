/**
 * Who may do what, written out by route and held against every route there is. What a route answers beyond the door is
 * other tests' matter: here a denial is a 401 or a 403, and anything else is a pass.
 */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { v7 as uuidv7 } from "uuid";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { app, ROUTES } from "#src/app.ts";
import { type ApiKeyRecord, issueApiKey, kvKeyOf } from "#src/auth/api-key.ts";
import { SCOPES, type Scope } from "#src/auth/principal.ts";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import type { Env } from "#src/env.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";
import { type Asked, CATALOG, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";
import { type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { record } from "#test/support/usage.ts";

const served = [{ host: "gpu", as: "m" }];
const RESTRICTED = [
  { id: "costly", served, allow: { tiers: ["premium"] } },
  { id: "trial", served, allow: { roles: ["ai-admins"] } },
  { id: "trial-embedder", kind: "embedding", served, allow: { roles: ["ai-monitoring"] } },
];
/** Models of hosts that offer more. */
const OFFERED = [
  { id: "ranker", kind: "rerank", served: [{ host: "gpu", as: "r" }] },
  { id: "hearer", kind: "transcription", served: [{ host: "gpu", as: "h" }] },
];
const SECOND = "https://second.example.test/realms/ai";
const { default: WIDE } = CATALOG.tiers;

let gateway: Gateway;
let second: TestIssuer;
beforeAll(async () => {
  gateway = await startGateway();
  second = await testIssuer(Date.now(), SECOND, "k1", "ES256");
  const first = vi.mocked(fetch).getMockImplementation() ?? second.fetcher;
  vi.mocked(fetch).mockImplementation((input, init) =>
    String(input).startsWith(SECOND) ? second.fetcher(input, init) : first(input, init),
  );
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  const catalog = {
    ...CATALOG,
    tiers: { ...CATALOG.tiers, premium: WIDE },
    hosts: CATALOG.hosts.map((host) => ({ ...host, offers: ["rerank", "transcriptions", "tokenize"] })),
    models: [...CATALOG.models, ...OFFERED, ...RESTRICTED],
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

/** Headers of a token of the second issuer. */
async function fromSecond(claims: Record<string, unknown>): Promise<Asked> {
  return { headers: { authorization: `Bearer ${await second.sign({ aud: "second", ...claims })}` } };
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
  readonly owned: "by nobody" | Owned;
};

type Owned = {
  /** Leaves behind something of a user's, and says how to ask for it. */
  readonly leave: (sub: string) => Promise<Asked & { readonly path?: string }>;
  /** Whether an answer tells of it. */
  readonly tells: (status: number, text: string) => boolean;
};

/** A request that a user of the first issuer made an hour ago. */
async function requestOf(sub: string): Promise<InferenceEvent> {
  const atMs = Date.now() - 3_600_000;
  const id = uuidv7({ msecs: atMs });
  const event = eventWith({ id, atMs, account: `${env.OIDC_ISSUER}|${sub}`, userId: sub, model: "telling-model" });
  await record(event);
  return event;
}

/** A resumable answer that a user of the first issuer was given. */
async function streamOf(sub: string): Promise<string> {
  const headers = { "x-causeway-resumable": "true" };
  const response = await gateway.ask("/v1/chat/completions", { as: { sub }, body: { ...CHAT, stream: true }, headers });
  await response.text();
  return response.headers.get("x-causeway-stream") ?? "";
}

const batchOf = (input_file_id: string) => {
  return { input_file_id, endpoint: "/v1/chat/completions", completion_window: "24h" };
};

/** A user's file, which an answer tells of by its id or its text. */
function ownFile(pathOf: (id: string) => string, asked: (id: string) => Asked = () => ({})): Owned {
  return { leave: async (sub) => asking(await fileOf(sub), pathOf, asked), tells: tellsOfFile };
}

function ownBatch(pathOf: (id: string) => string, asked: (id: string) => Asked = () => ({})): Owned {
  const leave = async (sub: string) => {
    const response = await gateway.ask("/v1/batches", { as: { sub }, body: batchOf(await fileOf(sub)) });
    return asking(((await response.json()) as { id: string }).id, pathOf, asked);
  };
  return { leave, tells: tellsOfFile };
}

const asking = (id: string, pathOf: (id: string) => string, asked: (id: string) => Asked) => {
  return { path: pathOf(id), ...asked(id) };
};
const tellsOfFile = (status: number, text: string): boolean => status === 200 && /"id":|telling-line/.test(text);

async function fileOf(sub: string): Promise<string> {
  const form = new FormData();
  form.append("purpose", "batch");
  form.append("file", new Blob(["telling-line"]), "in.jsonl");
  const encoded = new Response(form);
  const headers = { "content-type": encoded.headers.get("content-type") ?? "" };
  const body = new Uint8Array(await encoded.arrayBuffer());
  const response = await gateway.ask("/v1/files", { as: { sub }, headers, body });
  return ((await response.json()) as { id: string }).id;
}

/** Who may ask for anything at all, and so for what is their own. */
const CALLERS = ["ai-users", "ai-admins", "key of inference", "key of models", "key of embeddings"];
const ADMINS = ["ai-admins", "key of admin"];
const UNKNOWN_KEY = "/admin/keys/key_000000000000";
const SPOKEN = new FormData();
SPOKEN.set("model", "hearer");
SPOKEN.set("file", new File(["RIFF"], "a.wav"));
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
  "POST /v1/responses": {
    asks: { body: { model: "org/plain", input: "hi" } },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "POST /v1/embeddings": {
    asks: { body: { model: "embedder", input: "hi" } },
    may: ["ai-users", "ai-admins", "key of embeddings"],
    owned: "by nobody",
  },
  "POST /v1/messages": {
    asks: { body: { ...CHAT, max_tokens: 9 } },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "POST /v1/messages/count_tokens": {
    asks: { body: CHAT },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "POST /v1/rerank": {
    asks: { body: { model: "ranker", query: "hi", documents: ["a"] } },
    may: ["ai-users", "ai-admins", "key of embeddings"],
    owned: "by nobody",
  },
  "POST /tokenize": {
    asks: { body: { model: "org/plain", prompt: "hi" } },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "POST /v1/audio/transcriptions": {
    asks: { body: SPOKEN },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "GET /v1/models": { asks: {}, may: ["ai-users", "ai-admins", "key of models"], owned: "by nobody" },
  "GET /v1/models/:parameter{.+}": {
    asks: { path: "/v1/models/org/plain" },
    may: ["ai-users", "ai-admins", "key of models"],
    owned: "by nobody",
  },
  "GET /v1/limits": {
    asks: {},
    may: CALLERS,
    owned: {
      leave: async (sub) => {
        await statusOf("/v1/chat/completions", { as: { sub }, body: CHAT });
        return {};
      },
      tells: (_, text) => /"name":"rpm","unit":"requests","limit":1000,"remaining":999/.test(text),
    },
  },
  "GET /v1/usage": {
    asks: {},
    may: CALLERS,
    owned: {
      leave: async (sub) => {
        await requestOf(sub);
        return {};
      },
      tells: (status, text) => status === 200 && text.includes("telling-model"),
    },
  },
  "POST /v1/feedback": {
    asks: { body: { request_id: uuidv7({ msecs: 1_700_000_000_000 }), satisfaction: 7 } },
    may: CALLERS,
    owned: {
      leave: async (sub) => ({ body: { request_id: (await requestOf(sub)).id, satisfaction: 7 } }),
      tells: (status, text) => status !== 404 || !text.includes("request_not_found"),
    },
  },
  "POST /v1/tickets": { asks: { method: "POST" }, may: CALLERS, owned: "by nobody" },
  // A request that is none for a socket: whom it would be opened for is told so.
  "GET /ws/chat/:parameter{.+}": {
    asks: { path: "/ws/chat/org/plain" },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "GET /stream/chat/:parameter{.+}": {
    asks: { path: "/stream/chat/org/plain?message=hi" },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: "by nobody",
  },
  "GET /v1/streams/:parameter": {
    asks: { path: `/v1/streams/${uuidv7()}` },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: {
      leave: async (sub) => ({ path: `/v1/streams/${await streamOf(sub)}` }),
      tells: (status, text) => status !== 404 || !text.includes("stream_not_found"),
    },
  },
  "DELETE /v1/streams/:parameter": {
    asks: { path: `/v1/streams/${uuidv7()}`, method: "DELETE" },
    may: ["ai-users", "ai-admins", "key of inference"],
    owned: {
      leave: async (sub) => ({ path: `/v1/streams/${await streamOf(sub)}`, method: "DELETE" }),
      tells: (status, text) => status !== 404 || !text.includes("stream_not_found"),
    },
  },
  // Wrong on purpose, where it would leave something behind: it is refused behind the door.
  "POST /v1/files": { asks: { body: {} }, may: CALLERS, owned: "by nobody" },
  "GET /v1/files": { asks: {}, may: CALLERS, owned: ownFile(() => "/v1/files") },
  "GET /v1/files/:parameter": {
    asks: { path: "/v1/files/none" },
    may: CALLERS,
    owned: ownFile((id) => `/v1/files/${id}`),
  },
  "DELETE /v1/files/:parameter": {
    asks: { path: "/v1/files/none", method: "DELETE" },
    may: CALLERS,
    owned: ownFile(
      (id) => `/v1/files/${id}`,
      () => ({ method: "DELETE" }),
    ),
  },
  "GET /v1/files/:parameter/content": {
    asks: { path: "/v1/files/none/content" },
    may: CALLERS,
    owned: ownFile((id) => `/v1/files/${id}/content`),
  },
  "POST /v1/batches": {
    asks: { body: {} },
    may: CALLERS,
    owned: ownFile(
      () => "/v1/batches",
      (id) => ({ body: batchOf(id) }),
    ),
  },
  "GET /v1/batches": { asks: {}, may: CALLERS, owned: ownBatch(() => "/v1/batches") },
  "GET /v1/batches/:parameter": {
    asks: { path: "/v1/batches/none" },
    may: CALLERS,
    owned: ownBatch((id) => `/v1/batches/${id}`),
  },
  "POST /v1/batches/:parameter/cancel": {
    asks: { path: "/v1/batches/none/cancel", method: "POST" },
    may: CALLERS,
    owned: ownBatch(
      (id) => `/v1/batches/${id}/cancel`,
      () => ({ method: "POST" }),
    ),
  },
  "GET /admin/usage": { asks: {}, may: ADMINS, owned: "by nobody" },
  "GET /admin/fleet": { asks: {}, may: ADMINS, owned: "by nobody" },
  "POST /admin/fleet/:parameter": {
    asks: { path: "/admin/fleet/none", method: "POST" },
    may: ADMINS,
    owned: "by nobody",
  },
  "GET /admin/audit": { asks: {}, may: ADMINS, owned: "by nobody" },
  "GET /admin/jobs": { asks: {}, may: ADMINS, owned: "by nobody" },
  // There is none of this name: what running one does is no matter here.
  "POST /admin/jobs/:parameter": {
    asks: { path: "/admin/jobs/none", method: "POST" },
    may: ADMINS,
    owned: "by nobody",
  },
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

describe("what is somebody's own is nobody else's", () => {
  const owned = Object.entries(TABLE).flatMap(([name, { owned }]) =>
    owned === "by nobody" ? [] : [{ name, ...owned }],
  );
  const others: Record<string, (sub: string) => Asked | Promise<Asked>> = {
    "another user": () => ({ as: { sub: `other-${crypto.randomUUID()}` } }),
    "an administrator": () => ({ as: { groups: ["ai-admins"], sub: `admin-${crypto.randomUUID()}` } }),
    "a key whose owner is called alike": (sub) => keyWith(["inference", "models"], { owner: sub }),
    "a user who is called alike, of another issuer": (sub) =>
      fromSecond({ sub, realm_access: { roles: ["ai-users"] } }),
  };
  describe.each(owned)("$name", ({ name, leave, tells }) => {
    const ask = async (sub: string, sender: Asked): Promise<boolean> => {
      const { path = name.slice(name.indexOf(" ") + 1), ...request } = await leave(sub);
      const response = await gateway.ask(path, { ...request, ...sender });
      expect([401, 403, 500]).not.toContain(response.status);
      return tells(response.status, await response.text());
    };

    test("its owner", async () => {
      const sub = `owner-${crypto.randomUUID()}`;
      expect(await ask(sub, { as: { sub } })).toBe(true);
    });

    test.each(Object.keys(others))("%s", async (who) => {
      const sub = `owner-${crypto.randomUUID()}`;
      expect(await ask(sub, (await others[who]?.(sub)) ?? {})).toBe(false);
    });
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
    const everyones = [...CATALOG.models, ...OFFERED].map(({ id }) => id);
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
    const ask = async (changed: Record<string, unknown>, path = "/v1/models"): Promise<number> =>
      statusOf(path, await fromSecond({ realm_access: { roles: ["ai-users"] }, groups: ["ai-admins"], ...changed }));
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
