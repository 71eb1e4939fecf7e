import { createExecutionContext, evictDurableObject, waitOnExecutionContext } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { app } from "#src/app.ts";
import { accountOfKey, kvKeyOf } from "#src/auth/api-key.ts";
import type { Env } from "#src/env.ts";
import { isolateOf } from "#src/isolate.ts";
import { inSession } from "#src/postgres/session.ts";
import type { UsageEvent } from "#src/usage/event.ts";
import { type Asked, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";

let gateway: Gateway;
/** Every line that was logged. */
const logged: string[] = [];
beforeAll(async () => {
  gateway = await startGateway();
  for (const level of ["log", "error", "warn"] as const) {
    vi.spyOn(console, level).mockImplementation((...parts: unknown[]) => {
      logged.push(parts.join(" "));
    });
  }
});
afterAll(() => {
  vi.restoreAllMocks();
});

const ADMIN = { groups: ["ai-admins"], sub: "ops" };
const GRANT = { owner: "n8n", tier: "basic", scopes: ["inference", "models"], label: "nightly" };
const CLOSED_PORT = "postgres://nobody:nothing@127.0.0.1:1/none";

const issued = z.object({ key: z.string(), id: z.string(), expiresAt: z.string(), createdAt: z.string() });
const page = z.object({
  data: z.array(z.looseObject({ id: z.string(), state: z.string() })),
  next: z.string().nullable(),
});

const asAdmin = (path: string, request: Asked = {}): Promise<Response> => gateway.ask(path, { as: ADMIN, ...request });
/** Most keys have an owner of their own, and with it an Account object of their own. */
const freshOwner = (): string => `owner-${crypto.randomUUID()}`;

async function issue(changed: Record<string, unknown> = {}): Promise<z.infer<typeof issued> & { owner: string }> {
  const body = { ...GRANT, owner: freshOwner(), ...changed };
  const response = await asAdmin("/admin/keys", { body });
  expect(response.status).toBe(201);
  return { ...issued.parse(await response.json()), owner: body.owner };
}

/** What a key opens: the statuses of a model list and of a completion. */
async function opens(key: string): Promise<[models: number, chat: number]> {
  const headers = { authorization: `Bearer ${key}` };
  const [models, chat] = await Promise.all([
    gateway.ask("/v1/models", { headers }),
    gateway.ask("/v1/chat/completions", { headers, body: CHAT }),
  ]);
  await Promise.all([models.arrayBuffer(), chat.arrayBuffer()]);
  return [models.status, chat.status];
}

async function rowOf(id: string): Promise<Record<string, unknown> | undefined> {
  const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) =>
    session.query("SELECT * FROM api_keys WHERE id = $1", [id]),
  );
  return rows[0];
}

/** The same Worker with some bindings replaced. It has its own isolate memory, unless that is given. */
async function askWith(changed: Record<string, unknown>, path: string, request: Asked = {}): Promise<Response> {
  const { as = ADMIN, method = request.body === undefined ? "GET" : "POST", body, headers = {} } = request;
  const sent = new Headers({ "content-type": "application/json", ...headers });
  if (!sent.has("authorization")) sent.set("authorization", `Bearer ${await gateway.issuer.sign(as ?? {})}`);
  const context = createExecutionContext();
  const init = { method, headers: sent, ...(body === undefined ? {} : { body: JSON.stringify(body) }) };
  const bindings = { ...env, ...changed } as unknown as Env;
  const response = await app.fetch(new Request(`http://x${path}`, init), bindings, context);
  await waitOnExecutionContext(context);
  return response;
}

const codeOf = async (response: Response): Promise<unknown> => ((await response.json()) as { code?: unknown }).code;

describe("issuing", () => {
  test("the key opens what it was given, and its text is nowhere", async () => {
    const { key, id, owner } = await issue();
    expect(key).toMatch(/^cw_[A-Za-z0-9_-]{48}$/);
    expect(await opens(key)).toEqual([200, 200]);
    const row = await rowOf(id);
    expect(row).toMatchObject({ owner, tier: "basic", created_by: "ops", revision: 1, edge_revision: 1 });
    expect(`key:${row?.hash}`).toBe(await kvKeyOf(env.CAUSEWAY_SECRET, key));
    expect(JSON.stringify(row) + logged.join()).not.toContain(key.slice(3, 40));
  });

  test.each<{ name: string; changed: Record<string, unknown>; seen: Record<string, unknown>; days: number }>([
    { name: "30 days by default", changed: {}, seen: { label: "nightly" }, days: 30 },
    { name: "a year at most", changed: { expiresInDays: 365 }, seen: {}, days: 365 },
    { name: "the default tier", changed: { tier: undefined }, seen: { tier: "default" }, days: 30 },
    {
      name: "scopes once each",
      changed: { scopes: ["models", "inference", "models"] },
      seen: { scopes: ["inference", "models"] },
      days: 30,
    },
  ])("$name", async ({ changed, seen, days }) => {
    const document = await (await asAdmin("/admin/keys", { body: { ...GRANT, ...changed } })).json();
    expect(document).toMatchObject({ ...seen, state: "active", createdBy: "ops", revokedAt: null });
    expect(document).not.toHaveProperty("hash");
    const { createdAt, expiresAt } = issued.parse(document);
    expect(Date.parse(expiresAt) - Date.parse(createdAt)).toBe(days * 86_400_000);
  });

  test.each<{ name: string; body: unknown; names: string }>([
    { name: "an unknown field", body: { ...GRANT, colour: "red" }, names: "colour" },
    { name: "no owner", body: { ...GRANT, owner: undefined }, names: "owner" },
    { name: "an owner with a space", body: { ...GRANT, owner: "a b" }, names: "owner" },
    { name: "an owner with a bar", body: { ...GRANT, owner: "https://id|x" }, names: "owner" },
    { name: "no scopes", body: { ...GRANT, scopes: [] }, names: "scopes" },
    { name: "an unknown scope", body: { ...GRANT, scopes: ["root"] }, names: "scopes.0" },
    { name: "no such tier", body: { ...GRANT, tier: "gold" }, names: "tier" },
    { name: "a tier of every object", body: { ...GRANT, tier: "toString" }, names: "tier" },
    { name: "no label", body: { ...GRANT, label: "" }, names: "label" },
    { name: "a label that turns around what is read", body: { ...GRANT, label: "\u202eabc" }, names: "label" },
    { name: "a label of two lines", body: { ...GRANT, label: "a\nb" }, names: "label" },
    { name: "for ever", body: { ...GRANT, expiresInDays: 366 }, names: "expiresInDays" },
    { name: "not at all", body: { ...GRANT, expiresInDays: 0 }, names: "expiresInDays" },
    { name: "half a day", body: { ...GRANT, expiresInDays: 0.5 }, names: "expiresInDays" },
  ])("refused: $name", async ({ body, names }) => {
    const response = await asAdmin("/admin/keys", { body });
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const { status, code, detail } = (await response.json()) as { status: number; code: string; detail: string };
    expect({ status, code, named: detail.split(":")[0] }).toEqual({ status: 400, code: "invalid_value", named: names });
  });
});

test.each([
  { method: "GET", path: "/admin/keys" },
  { method: "POST", path: "/admin/keys" },
  { method: "POST", path: "/admin/keys/key_x/rotate" },
  { method: "DELETE", path: "/admin/keys/key_x" },
])("only administrators: $method $path", async ({ method, path }) => {
  const { key } = await issue();
  const answers = await Promise.all([
    gateway.ask(path, { method, as: null }),
    gateway.ask(path, { method, as: { groups: ["ai-users", "ai-monitoring"] } }),
    gateway.ask(path, { method, headers: { authorization: `Bearer ${key}` } }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([401, 403, 403]);
});

test("a key with the scope admin administers keys", async () => {
  const { key } = await issue({ scopes: ["admin"] });
  const response = await gateway.ask("/admin/keys?limit=1", { headers: { authorization: `Bearer ${key}` } });
  expect(response.status).toBe(200);
});

describe("listing", () => {
  test("page after page, every key of an owner once, and neither text nor hash", async () => {
    const owner = freshOwner();
    const made = [await issue({ owner }), await issue({ owner }), await issue({ owner })];
    const seen: string[] = [];
    let cursor = "";
    do {
      const text = await (await asAdmin(`/admin/keys?owner=${owner}&limit=2${cursor}`)).text();
      expect(text).not.toMatch(/hash|cw_/);
      const { data, next } = page.parse(JSON.parse(text));
      seen.push(...data.map(({ id }) => id));
      cursor = next === null ? "" : `&cursor=${next}`;
    } while (cursor !== "");
    expect(seen.toSorted()).toEqual(made.map(({ id }) => id).toSorted());
  });

  test("by state", async () => {
    const { id, owner } = await issue();
    await asAdmin(`/admin/keys/${id}`, { method: "DELETE" });
    const ids = async (state: string) =>
      page.parse(await (await asAdmin(`/admin/keys?owner=${owner}&state=${state}`)).json()).data.map((key) => key.id);
    expect([await ids("revoked"), await ids("active")]).toEqual([[id], []]);
  });

  test.each([
    "colour=red",
    "limit=0",
    "limit=201",
    "limit=x",
    "state=dead",
    "owner=a%20b",
    "cursor=x",
    "limit=1&limit=2",
  ])("refused: %s", async (query) => {
    const response = await asAdmin(`/admin/keys?${query}`);
    const { code, detail } = (await response.json()) as { code: string; detail: string };
    expect({ code, named: detail.split(":")[0] }).toEqual({ code: "invalid_value", named: query.split("=")[0] });
  });
});

describe("rotating", () => {
  test("both keys work in the overlap, and the old one ends with it", async () => {
    const old = await issue();
    await opens(old.key);
    const response = await asAdmin(`/admin/keys/${old.id}/rotate`, { body: { overlapHours: 1 } });
    expect(response.status).toBe(201);
    const document = await response.json();
    const fresh = issued.parse(document);
    expect(document).toMatchObject({ owner: old.owner, tier: "basic", state: "active", replaces: { id: old.id } });
    expect(await opens(fresh.key)).toEqual([200, 200]);
    expect((await opens(old.key))[0]).toBe(200);
    const { retires_at: retiresAt } = (await rowOf(old.id)) ?? {};
    vi.setSystemTime(Number(retiresAt) + 1);
    const principal = await gateway.ask("/v1/models", { headers: { authorization: `Bearer ${old.key}` } });
    vi.useRealTimers();
    expect(principal.status).toBe(401);
  });

  test("without an overlap the old key ends at once, though the isolate remembers it", async () => {
    const old = await issue({ tier: "default" });
    expect(await opens(old.key)).toEqual([200, 200]);
    await asAdmin(`/admin/keys/${old.id}/rotate`, { body: { overlapHours: 0 } });
    expect(isolateOf(env).auth.keyRecords.size).toBeGreaterThan(0);
    expect(await opens(old.key)).toEqual([401, 401]);
  });

  test.each([
    { name: "no body", body: null },
    { name: "an empty body", body: new Uint8Array() },
  ])("24 hours by default: $name", async ({ body }) => {
    const { id } = await issue();
    const response = await exports.default.fetch(`http://x/admin/keys/${id}/rotate`, {
      method: "POST",
      headers: { authorization: `Bearer ${await gateway.issuer.sign(ADMIN)}` },
      body,
    });
    expect(response.status).toBe(201);
    const { retires_at: retires, changed_at: changed } = (await rowOf(id)) ?? {};
    expect(Number(retires) - Number(changed)).toBe(86_400_000);
  });

  test("never twice: the answer names the key that replaced it", async () => {
    const { id } = await issue();
    const fresh = issued.parse(await (await asAdmin(`/admin/keys/${id}/rotate`, { body: {} })).json());
    const again = await asAdmin(`/admin/keys/${id}/rotate`, { body: {} });
    expect(again.status).toBe(409);
    expect(await again.json()).toMatchObject({ code: "key_not_active", detail: expect.stringContaining(fresh.id) });
  });

  test.each<{ name: string; body: unknown; code: string; status: number; target?: string }>([
    { name: "a week at most", body: { overlapHours: 169 }, code: "invalid_value", status: 400 },
    { name: "an unknown field", body: { hours: 1 }, code: "invalid_value", status: 400 },
    { name: "no such key", body: {}, code: "key_not_found", status: 404, target: "key_none" },
  ])("refused: $name", async ({ body, code, status, target }) => {
    const { id } = await issue();
    const response = await asAdmin(`/admin/keys/${target ?? id}/rotate`, { body });
    expect([response.status, await codeOf(response)]).toEqual([status, code]);
  });
});

describe("revoking", () => {
  test("bites at once everywhere, though the isolate remembers the key and KV still had it", async () => {
    const { key, id, owner } = await issue({ tier: "default" });
    expect(await opens(key)).toEqual([200, 200]);
    const kvKey = await kvKeyOf(env.CAUSEWAY_SECRET, key);
    const record = await env.KV.get(kvKey);
    expect((await asAdmin(`/admin/keys/${id}`, { method: "DELETE" })).status).toBe(200);
    expect(await env.KV.get(kvKey)).toBeNull();
    // Another place, where KV has not heard of it yet.
    await env.KV.put(kvKey, record ?? "");
    expect(isolateOf(env).auth.keyRecords.has(kvKey)).toBe(true);
    expect(await opens(key)).toEqual([401, 401]);
    // The Account object remembers it beyond its own life.
    await evictDurableObject(env.ACCOUNT.getByName(accountOfKey(owner)));
    expect(await opens(key)).toEqual([401, 401]);
  });

  test("twice is the same as once, and nothing else of the owner's ends", async () => {
    const { id, owner } = await issue();
    const other = await issue({ owner });
    const first = (await (await asAdmin(`/admin/keys/${id}`, { method: "DELETE" })).json()) as { revokedAt: string };
    const second = await asAdmin(`/admin/keys/${id}`, { method: "DELETE" });
    expect(second.status).toBe(200);
    expect(await second.json()).toMatchObject({ revokedAt: first.revokedAt, state: "revoked" });
    expect(await opens(other.key)).toEqual([200, 200]);
    expect(await codeOf(await asAdmin(`/admin/keys/${id}/rotate`, { body: {} }))).toBe("key_not_active");
  });

  test.each(["key_none", "%00", "key_%00", "key_'--", "..%2fkeys"])("no such key: %s", async (wrong) => {
    expect(await codeOf(await asAdmin(`/admin/keys/${wrong}`, { method: "DELETE" }))).toBe("key_not_found");
    expect(await codeOf(await asAdmin(`/admin/keys/${wrong}/rotate`, { body: {} }))).toBe("key_not_found");
  });
});

describe("when a part is down", () => {
  const failing = (): Promise<never> => Promise.reject(new Error("down"));
  const DEAF_KV = { get: env.KV.get.bind(env.KV), getWithMetadata: failing, put: failing, delete: failing };
  const DEAF_ACCOUNT = {
    idFromName: () => undefined,
    getByName: (name: string) => {
      const account = env.ACCOUNT.getByName(name);
      return { retireKey: failing, settle: (event: UsageEvent) => account.settle(event) };
    },
  };

  const DEAF_SOCKETS = { idFromName: () => undefined, getByName: () => ({ retireKey: failing }) };

  test.each([
    { method: "GET", path: "/admin/keys" },
    { method: "POST", path: "/admin/keys", body: GRANT },
    { method: "POST", path: "/admin/keys/key_x/rotate", body: {} },
    { method: "DELETE", path: "/admin/keys/key_x" },
  ])("Postgres stopped: $method $path says so, and known keys go on", async ({ method, path, ...rest }) => {
    const { key } = await issue();
    const down = { HYPERDRIVE: { connectionString: CLOSED_PORT } };
    const response = await askWith(down, path, { method, ...rest });
    expect([response.status, response.headers.get("retry-after"), await codeOf(response)]).toEqual([
      503,
      "5",
      "unavailable",
    ]);
    const served = await askWith(down, "/v1/chat/completions", {
      body: CHAT,
      headers: { authorization: `Bearer ${key}` },
    });
    expect(served.status).toBe(200);
  });

  test("KV deaf to a fresh key: 503, and the key that nobody was shown is not delivered", async () => {
    const owner = freshOwner();
    const response = await askWith({ KV: DEAF_KV }, "/admin/keys", { body: { ...GRANT, owner } });
    expect([response.status, await codeOf(response)]).toEqual([503, "unavailable"]);
    const { data } = page.parse(await (await asAdmin(`/admin/keys?owner=${owner}`)).json());
    expect(data.map(({ state }) => state)).toEqual(["undelivered"]);
  });

  test.each([
    { name: "KV", changed: { KV: DEAF_KV } },
    { name: "the Account object", changed: { ACCOUNT: DEAF_ACCOUNT } },
    { name: "the sockets' object", changed: { CHAT_SOCKET: DEAF_SOCKETS } },
  ])("$name deaf to a revocation: 503, and the repeat completes it", async ({ changed }) => {
    const { key, id } = await issue({ tier: "default" });
    await opens(key);
    const response = await askWith(changed, `/admin/keys/${id}`, { method: "DELETE" });
    expect([response.status, await codeOf(response)]).toEqual([503, "unavailable"]);
    expect((await asAdmin(`/admin/keys/${id}`, { method: "DELETE" })).status).toBe(200);
    expect(await opens(key)).toEqual([401, 401]);
    expect(await env.KV.get(await kvKeyOf(env.CAUSEWAY_SECRET, key))).toBeNull();
  });

  test("the Account object deaf to a rotation: the repeat gives a key that works, and the lost one is withdrawn", async () => {
    const old = await issue();
    const failed = await askWith({ ACCOUNT: DEAF_ACCOUNT }, `/admin/keys/${old.id}/rotate`, {
      body: { overlapHours: 0 },
    });
    expect(failed.status).toBe(503);
    const lost = String((await rowOf(old.id))?.replaced_by);
    const again = await asAdmin(`/admin/keys/${old.id}/rotate`, { body: { overlapHours: 0 } });
    expect(again.status).toBe(201);
    const fresh = issued.parse(await again.json());
    expect(await opens(fresh.key)).toEqual([200, 200]);
    expect(await opens(old.key)).toEqual([401, 401]);
    expect(await rowOf(lost)).toMatchObject({ revoked_at: expect.any(Date), delivered_at: null });
  });
});

describe("every act is recorded", () => {
  const seen: unknown[] = [];
  beforeEach(() => seen.splice(0));
  afterEach(() => seen.splice(0));
  /** The actor's own outbox, seen from the outside. */
  const LISTENING = {
    idFromName: () => undefined,
    getByName: (name: string) => {
      const account = env.ACCOUNT.getByName(name);
      return {
        retireKey: (id: string, fromMs: number) => account.retireKey(id, fromMs),
        settle: async (event: unknown) => {
          seen.push(event);
        },
      };
    },
  };

  test.each<{
    name: string;
    ask: (id: string) => { path: string; request: Asked };
    act: Record<string, unknown>;
    detail: Record<string, unknown>;
  }>([
    {
      name: "issue",
      ask: () => ({ path: "/admin/keys", request: { body: { ...GRANT, owner: "audited" } } }),
      act: { action: "key.issue", outcome: "ok", actor: "ops", target: expect.stringMatching(/^key_/) },
      detail: { owner: "audited", scopes: "inference models" },
    },
    {
      name: "rotate",
      ask: (id) => ({ path: `/admin/keys/${id}/rotate`, request: { body: {} } }),
      act: { action: "key.rotate", outcome: "ok" },
      detail: { replacedBy: expect.stringMatching(/^key_/) },
    },
    {
      name: "revoke",
      ask: (id) => ({ path: `/admin/keys/${id}`, request: { method: "DELETE" } }),
      act: { action: "key.revoke", outcome: "ok" },
      detail: { owner: "audited" },
    },
    {
      name: "a wrong grant",
      ask: () => ({ path: "/admin/keys", request: { body: {} } }),
      act: { action: "key.issue", outcome: "failed", target: null },
      detail: { code: "invalid_value" },
    },
    {
      name: "a key that is not there",
      ask: () => ({ path: "/admin/keys/key_none", request: { method: "DELETE" } }),
      act: { action: "key.revoke", outcome: "failed", target: "key_none" },
      detail: { code: "key_not_found" },
    },
  ])("$name", async ({ ask, act, detail }) => {
    const { id, key } = await issue({ owner: "audited" });
    const { path, request } = ask(id);
    await (await askWith({ ACCOUNT: LISTENING }, path, request)).arrayBuffer();
    expect(seen).toEqual([expect.objectContaining({ ...act, detail: expect.objectContaining(detail) })]);
    expect(JSON.stringify(seen)).not.toMatch(/cw_/);
    expect(JSON.stringify(seen)).not.toContain(key);
  });
});
