import { afterEach, describe, expect, test, vi } from "vitest";
import type { Host } from "#src/catalog/schema.ts";
import type { Probed } from "#src/fleet/probe.ts";
import { missingNames, probeAll } from "#src/fleet/probes.ts";
import type { Ask } from "#src/upstream/reach.ts";
import { valid } from "#test/catalog/catalog-of.ts";

const boxesOf = (...ids: string[]): Host[] =>
  valid({
    hosts: ids.map((id) => ({ id, engine: "vllm", reach: { via: "direct", url: `http://${id}` } })),
    models: [{ id: "m", served: ids.map((host) => ({ host, as: "m" })) }],
  }).hosts;
const manyIds = Array.from({ length: 20 }, (_, at) => `h${at}`);
const healthy: Ask = async () => new Response();
const noCanary = () => null;

/** A round, and what was found in it by host. */
async function roundOf(
  hosts: readonly Host[],
  askOf: (host: Host) => Ask,
  canaryOf: (host: Host) => string | null,
  chance: () => number,
): Promise<Map<string, Probed>> {
  const found = new Map<string, Probed>();
  await probeAll(hosts, askOf, canaryOf, chance, ({ id }, probed) => void found.set(id, probed));
  return found;
}

const atOnce = () => 0;

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a round", () => {
  test("finds every host once, and what is wrong with one is that one's", async () => {
    const ways: Record<string, () => Ask> = {
      gone: () => () => Promise.reject(new TypeError("Network connection lost.")),
      unbound: () => {
        throw new Error("hosts.unbound.reach.binding: no binding GONE");
      },
    };
    const found = await roundOf(
      boxesOf("gpu", "gone", "unbound", "cpu"),
      ({ id }) => (ways[id] ?? (() => healthy))(),
      noCanary,
      atOnce,
    );
    expect(Object.fromEntries([...found].map(([id, { result, reason }]) => [id, [result, reason]]))).toEqual({
      gpu: ["healthy", null],
      cpu: ["healthy", null],
      gone: ["failed", "no connection"],
      unbound: ["failed", "hosts.unbound.reach.binding: no binding GONE"],
    });
  });

  test("a host that hangs keeps nobody's news back", async () => {
    const told: string[] = [];
    const hung = Promise.withResolvers<Response>();
    const askOf = ({ id }: Host): Ask => (id === "hung" ? () => hung.promise : healthy);
    const round = probeAll(boxesOf("hung", "gpu"), askOf, noCanary, atOnce, ({ id }) => void told.push(id));
    await vi.waitFor(() => expect(told).toEqual(["gpu"]), { interval: 1 });
    hung.resolve(new Response());
    await round;
    expect(told).toEqual(["gpu", "hung"]);
  });

  test("of no hosts is over", async () => {
    expect((await roundOf([], () => healthy, noCanary, Math.random)).size).toBe(0);
  });

  test("a canary is asked for by host", async () => {
    const asked: string[] = [];
    const askOf =
      ({ id }: Host): Ask =>
      async (path) => {
        if (path === "/v1/completions") asked.push(id);
        return new Response();
      };
    await roundOf(boxesOf("gpu", "cpu"), askOf, ({ id }) => (id === "cpu" ? "m" : null), atOnce);
    expect(asked).toEqual(["cpu"]);
  });

  test("asks six hosts at once and no more, and all of them", async () => {
    const release: (() => void)[] = [];
    let underWay = 0;
    let most = 0;
    const askOf = (): Ask => async (path) => {
      if (path !== "/health") return new Response();
      underWay += 1;
      most = Math.max(most, underWay);
      await new Promise<void>((resolve) => release.push(resolve));
      underWay -= 1;
      return new Response();
    };
    const round = roundOf(boxesOf(...manyIds), askOf, noCanary, atOnce);
    let done = 0;
    while (done < manyIds.length) {
      await vi.waitFor(() => expect(release.length).toBeGreaterThan(0), { interval: 1 });
      for (const next of release.splice(0)) {
        next();
        done += 1;
      }
    }
    expect((await round).size).toBe(manyIds.length);
    expect(most).toBe(6);
  });

  test("spreads the hosts over a second and a half, as chance has it", async () => {
    // The clock stands until somebody waits, and then jumps.
    let nowMs = 1_790_000_000_000;
    const beganMs = nowMs;
    vi.spyOn(Date, "now").mockImplementation(() => nowMs);
    const wait = scheduler.wait.bind(scheduler);
    vi.spyOn(scheduler, "wait").mockImplementation(async (ms, options) => {
      if (options?.signal !== undefined) return wait(ms, options);
      const atMs = nowMs + ms;
      await wait(1);
      nowMs = Math.max(nowMs, atMs);
    });
    const chances = [0.9, 0, 0.5];
    const startedMs: Record<string, number> = {};
    const askOf =
      ({ id }: Host): Ask =>
      async () => {
        startedMs[id] ??= nowMs - beganMs;
        return new Response();
      };
    await roundOf(boxesOf("a", "b", "c"), askOf, noCanary, () => chances.shift() ?? 0);
    expect(Object.keys(startedMs)).toEqual(["b", "c", "a"]);
    expect(startedMs.a).toBeGreaterThanOrEqual(1_350);
    expect(startedMs.a).toBeLessThanOrEqual(1_500);
  });
});

describe("names that a host lacks", () => {
  const catalog = valid({
    hosts: [
      ...["vllm", "llamacpp", "openai"].map((engine) => {
        return { id: engine, engine, reach: { via: "direct", url: `http://${engine}` } };
      }),
      { id: "idle", engine: "vllm", reach: { via: "direct", url: "http://idle" } },
    ],
    models: [
      {
        id: "one",
        served: ["vllm", "llamacpp", "openai"].map((host) => ({ host, as: "org/one", split: 1 })),
      },
      {
        id: "two",
        served: [
          { host: "vllm", as: "org/two", enabled: false },
          { host: "llamacpp", as: "org/two" },
          { host: "openai", as: "org/two" },
        ],
        shadow: [{ host: "vllm", as: "org/three" }],
      },
      { id: "also-one", served: [{ host: "vllm", as: "org/one" }] },
    ],
  });
  test.each<{ name: string; host: string; serves: string[] | null; missing: string[] }>([
    { name: "all are there", host: "vllm", serves: ["org/one", "org/two", "org/three", "more"], missing: [] },
    {
      name: "each once, those switched off and copies too",
      host: "vllm",
      serves: ["org"],
      missing: ["org/one", "org/two", "org/three"],
    },
    {
      name: "other letters are another name",
      host: "vllm",
      serves: ["ORG/ONE", "org/two", "org/three"],
      missing: ["org/one"],
    },
    { name: "a host that does not tell lacks nothing", host: "vllm", serves: null, missing: [] },
    { name: "a host that no model is on", host: "idle", serves: [], missing: [] },
    { name: "llama.cpp answers to any name", host: "llamacpp", serves: ["/models/l.gguf"], missing: [] },
    { name: "a router does not", host: "llamacpp", serves: ["org/one", "b"], missing: ["org/two"] },
    { name: "a service", host: "openai", serves: ["org/one"], missing: ["org/two"] },
    { name: "a service that lists longer names", host: "openai", serves: ["models/org/one", "org/two"], missing: [] },
  ])("$name", ({ host, serves, missing }) => {
    const [box] = catalog.hosts.filter(({ id }) => id === host);
    if (box === undefined) throw new Error(host);
    expect(missingNames(catalog, box, serves)).toEqual(missing);
  });
});
