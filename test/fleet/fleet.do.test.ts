import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import { Fleet, PROBE_EVERY_MS } from "#src/fleet/fleet.do.ts";

type Box = { readonly id: string } & { readonly [member: string]: unknown };

/** What each host answers to a probe, by its id; a host that is not here cannot be reached. */
const hosts = new Map<string, () => Response>();
const probes: Request[] = [];
const ok = () => new Response();
const loading = () =>
  Response.json({ error: { code: 503, message: "Loading model", type: "unavailable_error" } }, { status: 503 });

beforeEach(() => {
  hosts.clear();
  probes.length = 0;
  // Every host is asked at the beginning of its round, and not somewhere in the first 1.5 s.
  vi.spyOn(Math, "random").mockReturnValue(0);
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const request = new Request(input, init);
    probes.push(request);
    const answer = hosts.get(new URL(request.url).hostname.replace(".internal", ""));
    if (answer === undefined) throw new TypeError("Network connection lost.");
    return answer();
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

async function useCatalog(boxes: readonly Box[]): Promise<void> {
  const catalog = {
    hosts: boxes.map((box) => ({ engine: "vllm", reach: { via: "direct", url: `http://${box.id}.internal` }, ...box })),
    models: [{ id: "m", served: boxes.map(({ id }) => ({ host: id, as: "m" })) }],
  };
  await env.KV.put(CATALOG_KEY, JSON.stringify(catalog));
}

/** A pool of its own, whose alarm does not go off by itself. */
async function pool() {
  const fleet = env.FLEET.getByName(crypto.randomUUID());
  const alarmAtMs = () => runInDurableObject(fleet, (_, state) => state.storage.getAlarm());
  await runInDurableObject(fleet, (_, state) => state.storage.setAlarm(Date.now() + 3_600_000));
  const round = async (): Promise<Record<string, string>> => {
    expect(await runDurableObjectAlarm(fleet)).toBe(true);
    return (await heard(fleet)).states;
  };
  return { fleet, alarmAtMs, round };
}

let reports = 0;

/** What an isolate with nothing in its hands hears. */
async function heard(fleet: Pick<Fleet, "report">) {
  const nothing = { used: {}, kept: {}, tickets: {}, outcomes: {}, decisions: [] };
  const { view, nextProbeAtMs } = await fleet.report({ isolate: "of the test", seq: ++reports, ...nothing });
  const states = Object.fromEntries(Object.entries(view.hosts).map(([host, { state }]) => [host, state]));
  return { states, nextProbeAtMs };
}

/** Within one interval from now. */
function expectSoon(atMs: number | null): void {
  expect(atMs).toBeGreaterThan(Date.now());
  expect(atMs).toBeLessThanOrEqual(Date.now() + PROBE_EVERY_MS);
}

describe("the probes", () => {
  test("begin with a pool's first snapshot, and go on", async () => {
    await useCatalog([{ id: "gpu" }]);
    hosts.set("gpu", ok);
    const fleet = env.FLEET.getByName(crypto.randomUUID());
    const { states, nextProbeAtMs } = await heard(fleet);
    expect(states).toEqual({});
    expect(nextProbeAtMs).toBeLessThanOrEqual(Date.now());
    await vi.waitFor(async () => expect((await heard(fleet)).states).toEqual({ gpu: "up" }));
    expectSoon((await heard(fleet)).nextProbeAtMs);
  });

  test("are set again by ensureProbing alone, as after six failed alarms, and moved by nothing", async () => {
    await useCatalog([{ id: "gpu" }]);
    const { fleet, alarmAtMs } = await pool();
    const setAtMs = await alarmAtMs();
    expect(await fleet.ensureProbing()).toBe(setAtMs);
    await runInDurableObject(fleet, (_, state) => state.storage.deleteAlarm());
    expect(await fleet.ensureProbing()).toBeLessThanOrEqual(Date.now());
  });

  test("ask every host of the catalog in force, as requests reach it", async () => {
    await useCatalog([
      { id: "gpu", keyFrom: "OIDC_AUDIENCE" },
      { id: "jetson", engine: "llamacpp", reach: { via: "direct", url: "https://jetson.internal/base" } },
    ]);
    const { round } = await pool();
    await round();
    const asked = (url: string) => probes.filter((probe) => probe.url === url);
    const [gpu, jetson] = [asked("http://gpu.internal/health"), asked("https://jetson.internal/base/health")];
    expect([...gpu, ...jetson].map(({ headers }) => headers.get("authorization"))).toEqual([
      `Bearer ${env.OIDC_AUDIENCE}`,
      null,
    ]);
    expect(probes.filter(({ redirect }) => redirect !== "manual")).toEqual([]);
  });

  test("make states: three failures out, two successes in, loading as it says", async () => {
    await useCatalog([{ id: "gpu" }, { id: "jetson" }, { id: "cpu" }]);
    hosts.set("gpu", ok).set("jetson", loading);
    const { round } = await pool();
    expect(await round()).toEqual({ gpu: "up", jetson: "loading", cpu: "unknown" });
    hosts.delete("gpu");
    hosts.set("jetson", ok);
    await round();
    expect(await round()).toEqual({ gpu: "up", jetson: "up", cpu: "down" });
    hosts.set("cpu", ok);
    expect(await round()).toEqual({ gpu: "down", jetson: "up", cpu: "down" });
    expect(await round()).toEqual({ gpu: "down", jetson: "up", cpu: "up" });
  });

  test("forget hosts that left the catalog", async () => {
    await useCatalog([{ id: "gpu" }, { id: "cpu" }]);
    hosts.set("gpu", ok).set("cpu", ok);
    const { round } = await pool();
    await round();
    await useCatalog([{ id: "cpu" }]);
    expect(await round()).toEqual({ cpu: "up" });
  });
});

describe("whatever fails", () => {
  test("all hosts: the next round is set", async () => {
    await useCatalog([{ id: "gpu" }, { id: "cpu" }]);
    const { round, alarmAtMs } = await pool();
    for (let turn = 0; turn < 3; turn++) {
      await round();
      expectSoon(await alarmAtMs());
    }
    expect(await round()).toEqual({ gpu: "down", cpu: "down" });
  });

  test("a catalog with a host that this Worker cannot reach is refused, and the last good one stays", async () => {
    await useCatalog([{ id: "gpu" }]);
    hosts.set("gpu", ok);
    const { fleet, round, alarmAtMs } = await pool();
    await round();
    await useCatalog([
      { id: "gpu" },
      { id: "cpu", reach: { via: "vpc", binding: "GONE", url: "http://cpu.internal" } },
    ]);
    expect(await round()).toEqual({ gpu: "up" });
    expect((await fleet.page()).refused).toMatchObject([{ path: "hosts.1.reach.binding" }]);
    expectSoon(await alarmAtMs());
  });

  test.each([
    { name: "the catalog is no longer valid", spoil: () => env.KV.put(CATALOG_KEY, "{}") },
    { name: "KV cannot be reached", spoil: (fleet: Fleet) => breakKv(fleet) },
  ])("$name: the last good one's hosts are asked, and keep their states", async ({ spoil }) => {
    await useCatalog([{ id: "mine" }]);
    hosts.set("mine", ok);
    const { fleet, round, alarmAtMs } = await pool();
    await round();
    await runInDurableObject(fleet, (instance) => spoil(instance));
    probes.length = 0;
    expect(await round()).toEqual({ mine: "up" });
    expect(probes.map(({ url }) => url)).toContain("http://mine.internal/health");
    expectSoon(await alarmAtMs());
  });

  test("KV cannot be reached, and the object is new in memory: what is known stays", async () => {
    await useCatalog([{ id: "mine" }]);
    hosts.set("mine", ok);
    const { fleet, round, alarmAtMs } = await pool();
    await round();
    const states = await runInDurableObject(fleet, async (_, state) => {
      const fresh = new Fleet(state, env);
      breakKv(fresh);
      await fresh.alarm();
      return (await heard(fresh)).states;
    });
    expect(states).toEqual({ mine: "up" });
    expectSoon(await alarmAtMs());
  });

  test("the object is evicted: states and the rows behind them stay", async () => {
    await useCatalog([{ id: "gpu" }, { id: "jetson" }, { id: "cpu" }]);
    hosts.set("gpu", ok).set("jetson", loading);
    const { fleet, round } = await pool();
    await round();
    await round();
    await evictDurableObject(fleet);
    expect((await heard(fleet)).states).toEqual({ gpu: "up", jetson: "loading", cpu: "unknown" });
    expect(await round()).toEqual({ gpu: "up", jetson: "loading", cpu: "down" });
  });
});

function breakKv(fleet: Fleet): void {
  const { KV } = Reflect.get(fleet, "env") as typeof env;
  vi.spyOn(KV, "get").mockRejectedValue(new Error("KV GET failed: 503"));
}
