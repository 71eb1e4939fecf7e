import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { app } from "#src/app.ts";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import { auditLogInsert } from "#src/postgres/audit-log.ts";
import { inSession } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import type { AuditEvent } from "#src/usage/event.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { CATALOG, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";

const ADMIN = { groups: ["ai-admins"], sub: "admin-user" };

const page = z.strictObject({
  data: z.array(
    z.strictObject({
      id: z.uuid(),
      timestamp: z.iso.datetime({ precision: 6 }),
      actor: z.string(),
      key_id: z.string().nullable(),
      action: z.string(),
      target: z.string().nullable(),
      ip: z.string().nullable(),
      outcome: z.string(),
      request_id: z.string().nullable(),
      detail: z.record(z.string(), z.unknown()),
    }),
  ),
  next: z.string().nullable(),
});

let gateway: Gateway;
const log = vi.spyOn(console, "log");
beforeAll(async () => {
  gateway = await startGateway();
  log.mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
});

async function read(query: Record<string, string>) {
  const response = await gateway.ask(`/admin/audit?${new URLSearchParams(query)}`, { as: ADMIN });
  expect(response.status).toBe(200);
  return page.parse(await response.json());
}

function insert(...events: AuditEvent[]) {
  return inSession(env.HYPERDRIVE.connectionString, (session) =>
    transact(session, "causeway_writer", [auditLogInsert(events)]),
  );
}

test("an administrator reads the trail, a page at a time, newest first", async () => {
  const target = crypto.randomUUID();
  const events = Array.from({ length: 5 }, (_, at) => auditWith({ target, atMs: 1_790_000_000_000 + at }));
  await insert(...events);
  const newestFirst = events.map(({ id }) => id).reverse();
  const first = await read({ target, limit: "3" });
  expect(first.data.map(({ id }) => id)).toEqual(newestFirst.slice(0, 3));
  const second = await read({ target, limit: "3", cursor: first.next ?? "" });
  expect(second.data.map(({ id }) => id)).toEqual(newestFirst.slice(3));
  expect(second.next).toBeNull();
  expect((await read({ target, limit: "5" })).next).toBeNull();
});

test("fifty are a page unless asked otherwise, two hundred the most", async () => {
  const target = crypto.randomUUID();
  await insert(...Array.from({ length: 201 }, () => auditWith({ target })));
  expect((await read({ target })).data).toHaveLength(50);
  expect((await read({ target, limit: "200" })).data).toHaveLength(200);
});

test("every filter is passed on", async () => {
  const actor = `Zoë 🚇 ${crypto.randomUUID()}`;
  const event = auditWith({ actor, action: "key.issue", outcome: "failed", ip: "2001:db8::7" });
  await insert(event, auditWith({ actor }));
  const fitting = {
    actor,
    action: "key.issue",
    target: "key_1",
    outcome: "failed",
    ip: "2001:db8::/64",
    from: "2026-09-21T16:13:20.123+02:00",
    to: "2026-09-21T14:13:20.124Z",
  };
  expect((await read(fitting)).data.map(({ id }) => id)).toEqual([event.id]);
  const others = {
    actor: "x",
    action: "x",
    target: "x",
    outcome: "denied",
    ip: "10.0.0.1",
    from: "2026-09-21T14:13:20.124Z",
    to: "2026-09-21T14:13:20.123Z",
  };
  for (const [name, value] of Object.entries(others)) {
    expect({ name, data: (await read({ ...fitting, [name]: value })).data }).toEqual({ name, data: [] });
  }
});

describe("a wrong query is refused, with the parameter's name", () => {
  const cursorOf = (value: unknown): string => btoa(JSON.stringify(value)).replaceAll("=", "");
  const ID = "019aa000-0000-7000-8000-000000000001";
  test.each<{ query: string; param: string }>([
    { query: "colour=red", param: "colour" },
    { query: "Actor=x", param: "Actor" },
    { query: "actor=", param: "actor" },
    { query: "actor=a&actor=b", param: "actor" },
    { query: "actor=%00", param: "actor" },
    { query: `target=${"x".repeat(513)}`, param: "target" },
    { query: "outcome=maybe", param: "outcome" },
    { query: "ip=banana", param: "ip" },
    { query: "ip=10.0.0.0/33", param: "ip" },
    { query: "ip=300.1.1.1", param: "ip" },
    { query: "from=yesterday", param: "from" },
    { query: "from=2026-11-21", param: "from" },
    { query: "from=2026-11-21T08:00:00", param: "from" },
    { query: "from=2026-02-30T08:00:00Z", param: "from" },
    { query: "from=0000-01-01T00:00:00Z", param: "from" },
    { query: "to=2026-11-21T08:00:00+01:00", param: "to" },
    { query: "limit=0", param: "limit" },
    { query: "limit=201", param: "limit" },
    { query: "limit=-1", param: "limit" },
    { query: "limit=1e2", param: "limit" },
    { query: "limit=1.5", param: "limit" },
    { query: "limit=", param: "limit" },
    { query: "cursor=", param: "cursor" },
    { query: "cursor=%25", param: "cursor" },
    { query: `cursor=${cursorOf("x")}`, param: "cursor" },
    { query: `cursor=${cursorOf(["2026-11-21T08:00:00Z", "1"])}`, param: "cursor" },
    { query: `cursor=${cursorOf(["now'; --", ID])}`, param: "cursor" },
    { query: `cursor=${cursorOf(["infinity", ID])}`, param: "cursor" },
    { query: `cursor=${cursorOf(["0000-01-01T00:00:00Z", ID])}`, param: "cursor" },
  ])("$query", async ({ query, param }) => {
    const response = await gateway.ask(`/admin/audit?${query}`, { as: ADMIN });
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    const problem: unknown = await response.json();
    expect(problem).toMatchObject({
      status: 400,
      code: "invalid_value",
      detail: expect.stringMatching(new RegExp(`^${param}: `)),
    });
  });

  test("a name of any length or kind is cut and stays JSON", async () => {
    const response = await gateway.ask(`/admin/audit?${"%3Cscript%3E".repeat(500)}=1`, { as: ADMIN });
    expect(response.headers.get("content-type")).toBe("application/problem+json");
    expect((await response.text()).length).toBeLessThan(600);
  });
});

test("quotes, patterns and wildcards are text", async () => {
  const actor = `${crypto.randomUUID()}' OR '1'='1`;
  await insert(auditWith({ actor }));
  expect((await read({ actor })).data).toHaveLength(1);
  expect((await read({ actor: "' OR '1'='1" })).data).toEqual([]);
  expect((await read({ actor: "%" })).data).toEqual([]);
});

test.each<{ name: string; as: Record<string, unknown> | null; status: number; code: string }>([
  { name: "no credential", as: null, status: 401, code: "invalid_api_key" },
  { name: "a caller", as: { groups: ["ai-users"] }, status: 403, code: "insufficient_permissions" },
  { name: "a monitor", as: { groups: ["ai-monitoring"] }, status: 403, code: "insufficient_permissions" },
])("nobody else: $name", async ({ as, status, code }) => {
  const response = await gateway.ask("/admin/audit?actor=x&nonsense=1", { as });
  expect(await response.json()).toMatchObject({ status, code });
});

test("with the database down it says so, and when to come back, and nothing of where the database is", async () => {
  const connectionString = "postgres://nobody:top-secret@127.0.0.1:1/none";
  const headers = { authorization: `Bearer ${await gateway.issuer.sign(ADMIN)}` };
  const context = createExecutionContext();
  const bindings = { ...env, HYPERDRIVE: { connectionString } } as unknown as typeof env;
  const response = await app.fetch(new Request("http://x/admin/audit", { headers }), bindings, context);
  await waitOnExecutionContext(context);
  expect(response.headers.has("retry-after")).toBe(true);
  const text = await response.text();
  expect(JSON.parse(text)).toMatchObject({ status: 503, code: "unavailable" });
  expect(text).not.toMatch(/top-secret|127\.0\.0\.1/);
  expect(JSON.stringify(log.mock.calls)).not.toContain("top-secret");
});

/** A catalog for one test. */
function kvWith(document: string): Pick<KVNamespace, "get" | "put"> {
  const get = ((key: string, options: KVNamespaceGetOptions<"text">) =>
    key === CATALOG_KEY ? Promise.resolve(document) : env.KV.get(key, options)) as KVNamespace["get"];
  return { get, put: env.KV.put.bind(env.KV), getWithMetadata: () => undefined } as unknown as KVNamespace;
}

/** A request as a caller without further roles, to a Worker with these bindings. */
async function ask(bindings: object, path: string, body?: unknown): Promise<Response> {
  const headers = { authorization: `Bearer ${await gateway.issuer.sign()}`, "content-type": "application/json" };
  const init = body === undefined ? { headers } : { method: "POST", headers, body: JSON.stringify(body) };
  const context = createExecutionContext();
  const response = await app.fetch(new Request(`http://x${path}`, init), bindings as typeof env, context);
  await waitOnExecutionContext(context);
  return response;
}

describe("what happens is in the trail", () => {
  async function eventually(query: Record<string, string>, requestId: string | null) {
    return vi.waitFor(
      async () => {
        const found = (await read(query)).data.filter(({ request_id }) => request_id === requestId);
        expect(found).toHaveLength(1);
        return found[0];
      },
      { timeout: 10_000, interval: 200 },
    );
  }

  test.each([
    {
      name: "a purge",
      method: "DELETE",
      path: "/admin/issuer-keys",
      as: ADMIN,
      row: { action: "issuer-keys.purge", outcome: "ok", actor: "admin-user" },
    },
    {
      name: "one who may not",
      method: "GET",
      path: "/admin/fleet",
      as: { sub: "someone" },
      row: { action: "access.denied", outcome: "denied", actor: "someone", target: "/admin/fleet" },
    },
    {
      name: "a stranger",
      method: "GET",
      path: "/v1/models/org/plain",
      as: null,
      row: { action: "access.denied", outcome: "denied", actor: "anonymous", target: "/v1/models/:parameter{.+}" },
    },
  ])("$name, once", async ({ method, path, as, row }) => {
    const headers = { "cf-connecting-ip": "198.51.100.23" };
    const response = await gateway.ask(path, { method, as, headers });
    await response.body?.cancel();
    const found = await eventually({ action: row.action }, response.headers.get("x-request-id"));
    expect(found).toMatchObject({ ...row, ip: "198.51.100.23" });
  });

  test.each([
    { name: "asked for", path: "/v1/models/closed", body: undefined },
    { name: "used", path: "/v1/chat/completions", body: { ...CHAT, model: "closed" } },
  ])(
    "a model that is not open to the caller, though the answer says that there is none: $name",
    async ({ path, body }) => {
      const [open] = CATALOG.models;
      const models = [...CATALOG.models, { ...open, id: "closed", allow: { roles: ["ai-admins"] } }];
      const bindings = { ...env, KV: kvWith(JSON.stringify({ ...CATALOG, models })) };
      const response = await ask(bindings, path, body);
      expect(await response.json()).toMatchObject({ error: { code: "model_not_found" } });
      const found = await eventually({ target: "/v1/models/closed" }, response.headers.get("x-request-id"));
      expect(found).toMatchObject({ action: "access.denied", outcome: "denied", detail: { code: "model_not_found" } });
      const missing = await ask(bindings, "/v1/models/none");
      expect(missing.status).toBe(404);
      expect(await read({ target: "/v1/models/none" })).toEqual({ data: [], next: null });
    },
  );
});
