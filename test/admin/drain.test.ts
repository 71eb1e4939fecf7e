/** `POST /admin/fleet/{host}`: a host is emptied for maintenance under its callers, and taken back. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { app } from "#src/app.ts";
import type { Env } from "#src/env.ts";
import { inSession } from "#src/postgres/session.ts";
import { CHAT, type Gateway } from "#test/support/gateway.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const ADMIN = { groups: ["ai-admins"], sub: "admin-user" };
/** Of two slots none is given in advance: nobody's report need be waited for. */
const HOSTS = [hostOf("one", { slots: 8 }), hostOf("other", { slots: 8 }), hostOf("alone", { slots: 2 })];
const MODELS = [modelOn("m", ["one", "other"]), modelOn("lonely", ["alone"])];

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  ({ gateway, hosts } = await withHosts(HOSTS, MODELS));
});
afterAll(() => {
  vi.restoreAllMocks();
});
vi.setConfig({ testTimeout: 15_000 });

const act = (host: string, body: unknown, as: Record<string, unknown> | null = ADMIN) =>
  gateway.ask(`/admin/fleet/${host}`, { as, body });

const chat = (model: string) =>
  gateway.ask("/v1/chat/completions", { as: { sub: crypto.randomUUID() }, body: { ...CHAT, model } });

/** The audit trail of these requests, once all is there. */
async function trail(...responses: readonly Response[]): Promise<Record<string, unknown>[]> {
  const ids = responses.map(({ headers }) => headers.get("x-request-id"));
  const text = "SELECT * FROM audit_log WHERE request_id = ANY ($1::uuid[]) ORDER BY id";
  return vi.waitFor(
    async () => {
      const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [ids]));
      expect(rows).toHaveLength(ids.length);
      return rows;
    },
    { timeout: 5_000, interval: 100 },
  );
}

test("what is in flight finishes, nothing new starts, and others take over; until it is taken back", async () => {
  const { one } = hosts;
  if (one === undefined) throw new Error("no stand-in");
  one.isHeld = true;
  const held: Promise<Response>[] = [];
  while (one.inFlight === 0) {
    held.push(chat("m"));
    await scheduler.wait(10);
  }
  const drained = await act("one", { action: "drain" });
  expect(drained.status).toBe(200);
  expect(await drained.json()).toEqual({ host: "one", draining: true, in_flight: one.inFlight });
  const asked = one.asked.length;
  for (let call = 0; call < 20; call++) expect((await chat("m")).headers.get("x-causeway-host")).toBe("other");
  expect(one.asked).toHaveLength(asked);
  one.isHeld = false;
  for (const response of await Promise.all(held)) expect(response.status).toBe(200);

  const undrained = await act("one", { action: "undrain" });
  expect(await undrained.json()).toEqual({ host: "one", draining: false, in_flight: expect.any(Number) });
  await vi.waitFor(async () => expect((await chat("m")).headers.get("x-causeway-host")).toBe("one"), {
    timeout: 4_000,
    interval: 1,
  });
  expect(await trail(drained, undrained)).toEqual([
    expect.objectContaining({
      actor: "admin-user",
      action: "host.drain",
      target: "one",
      outcome: "ok",
      detail: expect.objectContaining({ in_flight: expect.any(Number) }),
    }),
    expect.objectContaining({ action: "host.undrain", target: "one", outcome: "ok" }),
  ]);
});

test("of a model's only host: 503, and when to come back; drained twice is drained once", async () => {
  for (const action of ["drain", "drain"]) expect((await act("alone", { action })).status).toBe(200);
  const refused = await chat("lonely");
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
  expect(await refused.json()).toMatchObject({ error: { code: "no_healthy_host" } });
  await act("alone", { action: "undrain" });
  expect((await chat("lonely")).status).toBe(200);
});

test.each<{ name: string; host?: string; body?: unknown; as?: Record<string, unknown>; status: number; code: string }>([
  { name: "an unknown host", host: "nobody", status: 404, code: "host_not_found" },
  { name: "another action", body: { action: "stop" }, status: 400, code: "invalid_value" },
  { name: "no action", body: {}, status: 400, code: "invalid_value" },
  { name: "more than an action", body: { action: "drain", force: true }, status: 400, code: "invalid_value" },
  { name: "a list", body: [], status: 400, code: "invalid_json" },
  { name: "no JSON", body: "drain", status: 400, code: "invalid_json" },
  { name: "too much", body: { action: "x".repeat(2_000) }, status: 413, code: "request_too_large" },
  { name: "a caller", as: { groups: ["ai-users"] }, status: 403, code: "insufficient_permissions" },
])("$name: $status $code, and nothing is drained", async ({ host = "other", body, as = ADMIN, status, code }) => {
  const response = await act(host, body ?? { action: "drain" }, as);
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  expect(await response.json()).toMatchObject({ status, code });
  const page = await gateway.ask("/admin/fleet", { as: ADMIN });
  const { hosts: rows } = (await page.json()) as { hosts: { id: string; draining: boolean }[] };
  expect(rows.filter(({ draining }) => draining)).toEqual([]);
});

test("a fleet that cannot be reached drains nothing, and that is in the trail too", async () => {
  const gone = () => Promise.reject(new Error("reset"));
  const down = { idFromName: () => undefined, getByName: () => ({ drain: gone, report: gone }) };
  const headers = { authorization: `Bearer ${await gateway.issuer.sign(ADMIN)}`, "content-type": "application/json" };
  const context = createExecutionContext();
  const request = new Request("http://x/admin/fleet/one", { method: "POST", headers, body: '{"action":"drain"}' });
  const response = await app.fetch(request, { ...env, FLEET: down } as unknown as Env, context);
  await waitOnExecutionContext(context);
  expect(response.headers.get("retry-after")).toBe("2");
  expect(await response.json()).toMatchObject({ status: 503, code: "unavailable" });
  expect(await trail(response)).toEqual([
    expect.objectContaining({
      action: "host.drain",
      outcome: "failed",
      detail: expect.objectContaining({ code: "unavailable" }),
    }),
  ]);
});
