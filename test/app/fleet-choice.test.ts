/** Which host a request goes to: by the model's strategy, by what is warm where, and what the admin's page says of it. */
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { app } from "#src/app.ts";
import { CHAT, type Gateway } from "#test/support/gateway.ts";
import { after, hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const cost = (perHour: number) => ({ cost: { perHour, watts: 0, perKwh: 0 } });
const HOSTS = [
  hostOf("berlin", { slots: 8, region: ["BER", "DE", "EU"] }),
  hostOf("dallas", { slots: 8, region: ["DFW", "US", "NA"] }),
  hostOf("dear", { slots: 8, ...cost(9) }),
  hostOf("cheap", { slots: 8, ...cost(1) }),
  hostOf("laden", { slots: 8 }),
  hostOf("free", { slots: 8 }),
  hostOf("heavy", { slots: 20, weight: 3 }),
  hostOf("light", { slots: 20, weight: 1 }),
  ...["warm-1", "warm-2", "warm-3"].map((id) => hostOf(id, { slots: 8 })),
];
const MODELS = [
  modelOn("near", ["berlin", "dallas"], { strategy: "nearest" }),
  modelOn("frugal", ["dear", "cheap"], { strategy: "cheapest" }),
  modelOn("even", ["laden", "free"], { strategy: "least-busy" }),
  modelOn("only-laden", ["laden"]),
  modelOn("weighted", ["heavy", "light"]),
  modelOn("warm", ["warm-1", "warm-2", "warm-3"]),
];

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  ({ gateway, hosts } = await withHosts(HOSTS, MODELS));
});
afterAll(() => {
  vi.restoreAllMocks();
});

type Asking = {
  readonly as?: Record<string, unknown>;
  readonly more?: object;
  readonly headers?: Record<string, string>;
};

/** The host that answers. */
async function hostFor(model: string, { as = {}, more = {}, headers = {} }: Asking = {}): Promise<string | null> {
  const body = { ...CHAT, model, ...more };
  const response = await gateway.ask("/v1/chat/completions", { as: { sub: "someone", ...as }, headers, body });
  expect(response.status).toBe(200);
  return response.headers.get("x-causeway-host");
}

/** How often each answers. */
async function spread(model: string, count: number, asking: (at: number) => Asking = () => ({})) {
  const counts: Record<string, number> = {};
  for (let at = 0; at < count; at++) {
    const host = (await hostFor(model, asking(at))) ?? "none";
    counts[host] = (counts[host] ?? 0) + 1;
  }
  return counts;
}

describe("a strategy is followed", () => {
  test.each([
    { cf: { colo: "FRA", country: "DE", continent: "EU" }, host: "berlin" },
    { cf: { colo: "LAX", country: "US", continent: "NA" }, host: "dallas" },
    { cf: { continent: "EU" }, host: "berlin" },
  ])("nearest: $cf -> $host", async ({ cf, host }) => {
    const authorization = `Bearer ${await gateway.issuer.sign({ tier: "default" })}`;
    const headers = { authorization, "content-type": "application/json" };
    for (let call = 0; call < 5; call++) {
      const body = JSON.stringify({ ...CHAT, model: "near" });
      const request = new Request("http://x/v1/chat/completions", { method: "POST", headers, body });
      Object.defineProperty(request, "cf", { value: cf });
      const context = createExecutionContext();
      const response = await app.fetch(request, env as never, context);
      expect(response.headers.get("x-causeway-host")).toBe(host);
      await response.text();
      await waitOnExecutionContext(context);
    }
  });

  test("cheapest", async () => {
    expect(await spread("frugal", 10)).toEqual({ cheap: 10 });
  });

  test("least-busy: nearly all goes to the host that has nothing to do", async () => {
    const laden = hosts.laden;
    if (laden === undefined) throw new Error("no stand-in");
    laden.isHeld = true;
    const held = Array.from({ length: 8 }, () => hostFor("only-laden"));
    await vi.waitFor(() => expect(laden.inFlight).toBe(8), { timeout: 3_000, interval: 5 });
    expect(await spread("even", 20)).toEqual({ free: 20 });
    laden.isHeld = false;
    await Promise.all(held);
  });

  test("weighted: three quarters to the host of three quarters of the weight", async () => {
    const { heavy = 0, light = 0 } = await spread("weighted", 120);
    expect(heavy + light).toBe(120);
    // Six standard deviations.
    expect(Math.abs(heavy - 90)).toBeLessThan(30);
  });
});

describe("what is warm", () => {
  test.each<{ name: string; asking: Asking }>([
    { name: "a session", asking: { headers: { "x-session-id": "s1" } } },
    { name: "a user", asking: { more: { user: "u1" } } },
    {
      name: "a long beginning",
      asking: { more: { messages: [{ role: "system", content: "You are. ".repeat(200) }] } },
    },
  ])("$name stays on one host", async ({ asking }) => {
    expect(Object.values(await spread("warm", 8, () => asking))).toEqual([8]);
  });

  test("many sessions are spread over all hosts, each on its own", async () => {
    const session = (at: number): Asking => ({ headers: { "x-session-id": `many-${at % 12}` } });
    const first: (string | null)[] = [];
    for (let at = 0; at < 12; at++) first.push(await hostFor("warm", session(at)));
    expect(new Set(first)).toEqual(new Set(["warm-1", "warm-2", "warm-3"]));
  });

  test("a session's host that is full is not waited for while others are free", async () => {
    const asking = { headers: { "x-session-id": "crowd" } };
    for (const id of ["warm-1", "warm-2", "warm-3"]) {
      const host = hosts[id];
      if (host !== undefined) host.answer = after(30);
    }
    const all = await Promise.all(Array.from({ length: 24 }, () => hostFor("warm", asking)));
    expect(new Set(all).size).toBeGreaterThan(1);
    for (const id of ["warm-1", "warm-2", "warm-3"]) expect(hosts[id]?.most).toBeLessThanOrEqual(8);
  });
});
