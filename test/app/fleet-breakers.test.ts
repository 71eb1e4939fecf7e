/** Hosts that fail, and hosts that only have too much to do, as callers meet them. */
import { runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { POOL } from "#src/fleet/watch.ts";
import type { JsonObject } from "#src/json.ts";
import { type Asked, CHAT, type Gateway, type Host } from "#test/support/gateway.ts";
import { failing, hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const ALONE = ["lonely", "picky", "left", "crowded", "mute"];
const HOSTS = [...ALONE, "broken", "sound", "busy", "idle"].map((id) => hostOf(id, { slots: 8 }));
const MODELS = [
  ...ALONE.map((id) => modelOn(id, [id])),
  modelOn("either", ["broken", "sound"]),
  modelOn("quiet", ["busy", "idle"]),
];
const NOT_WAITING = { prefer: "wait=0" };

let gateway: Gateway;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  ({ gateway, hosts } = await withHosts(HOSTS, MODELS));
  await ask("sound-check");
  // Each host has been well for two rounds, and so none of them is "back".
  const chance = vi.spyOn(Math, "random").mockReturnValue(0);
  for (let round = 0; round < 2; round++) {
    await env.FLEET.getByName(POOL).ensureProbing();
    await runDurableObjectAlarm(env.FLEET.getByName(POOL));
  }
  chance.mockRestore();
});
afterAll(() => {
  vi.restoreAllMocks();
});
vi.setConfig({ testTimeout: 15_000 });

function host(id: string): StandIn {
  const standIn = hosts[id];
  if (standIn === undefined) throw new Error(`no stand-in for ${id}`);
  return standIn;
}

const ask = (model: string, more: object = {}, rest: Asked = { headers: NOT_WAITING }) =>
  gateway.ask("/v1/chat/completions", { as: { sub: crypto.randomUUID() }, body: { ...CHAT, model, ...more }, ...rest });

type Page = {
  hosts: { id: string; busy_until: string | null; in_flight: number }[];
  models: { id: string; hosts: { id: string; breaker: string; open_until?: string; share: number; why: string }[] }[];
};

async function page(): Promise<Page> {
  return (await gateway.ask("/admin/fleet", { as: { groups: ["ai-admins"] } })).json() as Promise<Page>;
}

async function breakerOf(model: string, id: string): Promise<string | undefined> {
  const { models } = await page();
  return models.find((one) => one.id === model)?.hosts.find((one) => one.id === id)?.breaker;
}

/** The host is asked on and on until its breaker opens. @returns how often it was asked */
async function untilOpen(id: string): Promise<number> {
  await vi.waitFor(
    async () => {
      await ask(id);
      expect(await breakerOf(id, id)).toBe("open");
    },
    { timeout: 8_000, interval: 1 },
  );
  return host(id).asked.length;
}

describe("a host that fails", () => {
  test("is asked ten times, and then not any more: 503, and when to come back", async () => {
    host("lonely").answer = failing;
    expect((await ask("lonely")).status).toBe(502);
    const asked = await untilOpen("lonely");
    expect(asked).toBe(10);
    const refused = await ask("lonely");
    expect(refused.status).toBe(503);
    const retryAfterS = Number(refused.headers.get("retry-after"));
    expect(retryAfterS).toBeGreaterThan(0);
    expect(retryAfterS).toBeLessThanOrEqual(60);
    expect(await refused.json()).toMatchObject({
      error: { code: "no_healthy_host", type: "server_error", param: null },
    });
    expect(host("lonely").asked).toHaveLength(asked);
  });

  test("in the middle of its answers fails as well", async () => {
    const begins: Host = () =>
      new Response('data: {"choices":[{"index":0,"delta":{"content":"I"},"finish_reason":null}]}\n\n', {
        headers: { "content-type": "text/event-stream" },
      });
    host("mute").answer = begins;
    for (let call = 0; call < 10; call++) {
      const response = await ask("mute", { stream: true });
      expect(response.status).toBe(200);
      expect(await response.text()).toContain('"code":"upstream_error"');
    }
    await vi.waitFor(async () => expect(await breakerOf("mute", "mute")).toBe("open"), { timeout: 3_000 });
    expect((await ask("mute", { stream: true })).status).toBe(503);
    expect(host("mute").asked).toHaveLength(10);
  });

  test("costs callers nothing while another can answer, and is hardly asked any more", async () => {
    host("broken").answer = failing;
    const responses: Response[] = [];
    for (let call = 0; call < 40; call++) responses.push(await ask("either"));
    expect(responses.map(({ status }) => status)).toEqual(responses.map(() => 200));
    expect(new Set(responses.map(({ headers }) => headers.get("x-causeway-host")))).toEqual(new Set(["sound"]));
    expect(host("sound").asked).toHaveLength(40);
    expect(host("broken").asked.length).toBeGreaterThan(0);
    expect(host("broken").asked.length).toBeLessThanOrEqual(8);
  });
});

describe("no breaker opens, and no host is avoided", () => {
  /** The model's only host answers well again. */
  async function expectTrusted(id: string): Promise<void> {
    expect(await breakerOf(id, id)).toBe("closed");
    const { status } = await ask(id);
    expect(status).toBe(200);
    expect((await page()).hosts.find((one) => one.id === id)).toMatchObject({ busy_until: null });
  }

  test("by what callers get wrong", async () => {
    const answer = host("picky").answer;
    host("picky").answer = () =>
      Response.json({ error: { message: "temperature must be at most 2", type: "BadRequestError" } }, { status: 400 });
    for (let call = 0; call < 12; call++) expect((await ask("picky", { temperature: 2 })).status).toBe(400);
    host("picky").answer = answer;
    await expectTrusted("picky");
  });

  test("by callers who leave", async () => {
    for (let round = 0; round < 3; round++) {
      host("left").isHeld = true;
      const leavers = Array.from({ length: 4 }, () => new AbortController());
      const left = leavers.map(({ signal }, at) => ask("left", { stream: at % 2 === 0 }, { signal }));
      await vi.waitFor(() => expect(host("left").asked).toHaveLength(4 * (round + 1)), { timeout: 3_000, interval: 5 });
      for (const leaver of leavers) leaver.abort();
      for (const one of left) await expect(one).rejects.toThrow();
      await vi.waitFor(async () => expect((await page()).hosts.find(({ id }) => id === "left")?.in_flight).toBe(0), {
        timeout: 3_000,
      });
      host("left").isHeld = false;
    }
    await expectTrusted("left");
  });
});

describe("a host that has too much to do", () => {
  const tooMuch =
    (status: number): Host =>
    () =>
      new Response("{}", { status, headers: { "retry-after": "30", "content-type": "application/json" } });

  test.each([429, 503])("is not broken, however often it says so: %s", async (status) => {
    const answer = host("crowded").answer;
    host("crowded").answer = tooMuch(status);
    for (let call = 0; call < 12; call++) {
      const refused = await ask("crowded");
      expect(refused.status).toBe(503);
      expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
      expect(await refused.json()).toMatchObject({ error: { code: "host_busy" } });
    }
    expect(await breakerOf("crowded", "crowded")).toBe("closed");
    host("crowded").answer = answer;
    expect((await ask("crowded")).status).toBe(200);
  });

  test("is left alone for as long as it wants, where another can answer", async () => {
    host("busy").answer = tooMuch(503);
    await vi.waitFor(
      async () => {
        expect((await ask("quiet")).headers.get("x-causeway-host")).toBe("idle");
        expect(host("busy").asked.length).toBeGreaterThan(0);
      },
      { timeout: 5_000, interval: 1 },
    );
    await vi.waitFor(
      async () => {
        const { hosts: seen, models } = await page();
        const busyUntil = seen.find(({ id }) => id === "busy")?.busy_until;
        expect(Date.parse(busyUntil ?? "") - Date.now()).toBeGreaterThan(25_000);
        const row = models.find(({ id }) => id === "quiet")?.hosts.find(({ id }) => id === "busy");
        expect(row).toMatchObject({ breaker: "closed" });
        expect(row?.share).toBeLessThan(0.02);
      },
      { timeout: 3_000 },
    );
    const asked: JsonObject[] = host("busy").asked.splice(0);
    expect(asked.length).toBeLessThanOrEqual(2);
    for (let call = 0; call < 40; call++) expect((await ask("quiet")).status).toBe(200);
    // A part of a hundredth is left, to find out that it is well again.
    expect(host("busy").asked.length).toBeLessThanOrEqual(4);
  });
});
