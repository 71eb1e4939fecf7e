import { createExecutionContext, runDurableObjectAlarm, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { z } from "zod";
import { fleetPage } from "#src/admin/fleet.ts";
import { app } from "#src/app.ts";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import type { Env } from "#src/env.ts";
import { POOL } from "#src/fleet/watch.ts";
import { valid } from "#test/catalog/catalog-of.ts";
import { CHAT, type Gateway } from "#test/support/gateway.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const ADMIN = { groups: ["ai-admins"] };

const HOSTS = [
  hostOf("gpu", { slots: 4, overcommit: 1.5, weight: 3 }),
  hostOf("jetson", { weight: 1, slots: 4 }),
  hostOf("spare", { backup: true }),
];
const MODELS = [modelOn("m", ["gpu", "jetson", "spare"]), modelOn("held", ["spare"])];

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  vi.spyOn(Math, "random").mockReturnValue(0);
  ({ gateway, hosts } = await withHosts(HOSTS, MODELS));
});
afterAll(() => {
  vi.restoreAllMocks();
});

const instant = z.iso.datetime();
const page = z.strictObject({
  hosts: z.array(
    z.strictObject({
      id: z.string(),
      engine: z.string(),
      slots: z.number(),
      capacity: z.number(),
      weight: z.number(),
      backup: z.boolean(),
      state: z.enum(["unknown", "up", "loading", "down"]),
      reason: z.string().nullable(),
      draining: z.boolean(),
      in_flight: z.number(),
      given_in_advance: z.number(),
      load: z.strictObject({
        running: z.number().nullable(),
        waiting: z.number().nullable(),
        kv_usage: z.number().nullable(),
      }),
      engine_slots: z.number().nullable(),
      missing: z.array(z.string()),
      busy_until: instant.nullable(),
    }),
  ),
  models: z.array(
    z.strictObject({
      id: z.string(),
      strategy: z.string(),
      hosts: z.array(
        z.strictObject({
          id: z.string(),
          as: z.string(),
          share: z.number(),
          standing: z.enum(["able", "full", "out"]),
          why: z.string().min(1),
          breaker: z.enum(["closed", "open", "half-open"]),
          open_until: instant.optional(),
          ttft_ms: z.number().nullable(),
          tokens_per_s: z.number().nullable(),
          split: z.number().optional(),
        }),
      ),
    }),
  ),
  line: z.strictObject({
    waiting: z.number(),
    by_model: z.record(z.string(), z.number()),
    by_account: z.record(z.string(), z.number()),
    longest_wait_ms: z.number(),
  }),
  decisions: z.array(
    z.strictObject({
      at: instant,
      id: z.string(),
      model: z.string(),
      host: z.string().nullable(),
      why: z.string().min(1),
    }),
  ),
  catalog: z.strictObject({ refused: z.array(z.unknown()) }),
  next_probe_at: instant,
});

async function read(): Promise<{ seen: z.infer<typeof page>; text: string }> {
  const response = await gateway.ask("/admin/fleet", { as: ADMIN });
  expect(response.status).toBe(200);
  const text = await response.text();
  return { seen: page.parse(JSON.parse(text)), text };
}

const chat = (model: string, as: object = {}) =>
  gateway.ask("/v1/chat/completions", { as: { sub: "someone", ...as }, body: { ...CHAT, model } });

async function probeAll(): Promise<void> {
  const fleet = env.FLEET.getByName(POOL);
  await fleet.ensureProbing();
  await runDurableObjectAlarm(fleet);
}

test("an administrator sees every host, and what it takes, without its address", async () => {
  await probeAll();
  const { seen, text } = await read();
  expect(seen.hosts).toEqual([
    expect.objectContaining({ id: "gpu", slots: 4, capacity: 6, weight: 3, backup: false, state: "up", reason: null }),
    expect.objectContaining({ id: "jetson", slots: 4, capacity: 4, weight: 1, backup: false, draining: false }),
    expect.objectContaining({ id: "spare", capacity: 1, backup: true, load: expect.anything(), busy_until: null }),
  ]);
  expect(text).not.toContain(".host");
  expect(Date.parse(seen.next_probe_at)).toBeGreaterThan(Date.now());
});

test("and who gets which share of a model's traffic, and why", async () => {
  await probeAll();
  const [model] = (await read()).seen.models;
  expect(model).toMatchObject({ id: "m", strategy: "weighted" });
  const shares = model?.hosts.map(({ id, share, standing }) => ({ id, share, standing }));
  expect(shares).toEqual([
    { id: "gpu", share: 0.75, standing: "able" },
    { id: "jetson", share: 0.25, standing: "able" },
    { id: "spare", share: 0, standing: "able" },
  ]);
  expect(model?.hosts[2]?.why).toContain("backup");
});

test("of variants each has its part of the callers, and its hosts share that", async () => {
  await probeAll();
  const document = JSON.parse((await env.KV.get(CATALOG_KEY)) ?? "");
  const [model] = document.models;
  const served = [
    { host: "gpu", as: "old", split: 60 },
    { host: "jetson", as: "old", split: 30 },
    { host: "gpu", as: "new", split: 10 },
  ];
  const split = { ...document, models: [{ ...model, served }, ...document.models.slice(1)] };
  const call = { env, catalog: valid(split), request: new Request("http://x/admin/fleet") };
  const { models } = page.parse(await (await fleetPage(call as never)).json());
  const rounded = models[0]?.hosts.map(({ id, as, share }) => [id, as, Math.round(share * 1_000) / 1_000]);
  expect(rounded).toEqual([
    ["gpu", "old", 0.675],
    ["jetson", "old", 0.225],
    ["gpu", "new", 0.1],
  ]);
});

test("a host that is down has no share, and the reason is said", async () => {
  const { jetson } = hosts;
  if (jetson === undefined) throw new Error("no stand-in");
  jetson.isWell = false;
  for (let round = 0; round < 3; round++) await probeAll();
  const { seen } = await read();
  expect(seen.hosts[1]).toMatchObject({ id: "jetson", state: "down", reason: "status 500" });
  expect(seen.models[0]?.hosts.map(({ share, standing }) => ({ share, standing }))).toEqual([
    { share: 1, standing: "able" },
    { share: 0, standing: "out" },
    { share: 0, standing: "able" },
  ]);
  jetson.isWell = true;
  for (let round = 0; round < 2; round++) await probeAll();
  expect((await read()).seen.hosts[1]).toMatchObject({ state: "up", reason: null });
});

test("the line by model and account, and every decision with its reason, the latest first", async () => {
  const { spare } = hosts;
  if (spare === undefined) throw new Error("no stand-in");
  spare.isHeld = true;
  const first = chat("held");
  await vi.waitFor(() => expect(spare.inFlight).toBe(1), { timeout: 3_000, interval: 5 });
  const second = chat("held", { sub: "patient" });
  await vi.waitFor(
    async () => {
      const { line, hosts: rows, models } = (await read()).seen;
      expect(line).toMatchObject({ waiting: 1, by_model: { held: 1 } });
      expect(Object.entries(line.by_account)).toEqual([[expect.stringContaining("patient"), 1]]);
      expect(rows[2]).toMatchObject({ in_flight: 1 });
      expect(models[1]?.hosts).toEqual([expect.objectContaining({ standing: "full", share: 0 })]);
    },
    { timeout: 3_000, interval: 20 },
  );
  spare.isHeld = false;
  const ids = (await Promise.all([first, second])).map(({ headers }) => headers.get("x-request-id"));
  const { decisions } = (await read()).seen;
  const ofThem = decisions.filter(({ model }) => model === "held");
  expect(ofThem).toEqual([
    expect.objectContaining({ id: `${ids[1]}:1`, host: "spare", why: expect.stringMatching(/^waited \d+ ms$/) }),
    expect.objectContaining({ id: `${ids[0]}:1`, host: "spare", why: "first choice" }),
  ]);
});

test.each<{ name: string; as: Record<string, unknown> | null; status: number; code: string }>([
  { name: "no credential", as: null, status: 401, code: "invalid_api_key" },
  { name: "a caller", as: { groups: ["ai-users"] }, status: 403, code: "insufficient_permissions" },
  { name: "a monitor", as: { groups: ["ai-monitoring"] }, status: 403, code: "insufficient_permissions" },
])("nobody else: $name, as RFC 9457", async ({ as, status, code }) => {
  const response = await gateway.ask("/admin/fleet", { as });
  expect(response.headers.get("content-type")).toBe("application/problem+json");
  const id = response.headers.get("x-request-id");
  expect(await response.json()).toMatchObject({ status, code, instance: `urn:uuid:${id}` });
});

test("a fleet that cannot be reached is said, with when to come back", async () => {
  const gone = () => Promise.reject(new Error("reset"));
  const down = { idFromName: () => undefined, getByName: () => ({ page: gone, report: gone }) };
  const headers = { authorization: `Bearer ${await gateway.issuer.sign(ADMIN)}` };
  const context = createExecutionContext();
  const response = await app.fetch(
    new Request("http://x/admin/fleet", { headers }),
    { ...env, FLEET: down } as unknown as Env,
    context,
  );
  await waitOnExecutionContext(context);
  expect(response.headers.get("retry-after")).toBe("2");
  expect(await response.json()).toMatchObject({ status: 503, code: "unavailable" });
});
