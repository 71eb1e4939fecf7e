import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type CatalogMemory, currentCatalog, newCatalogMemory } from "#src/catalog/copy.ts";
import { CATALOG_KEY, GOOD_CATALOG_KEY, type readCatalog } from "#src/catalog/load.ts";

type Kv = Parameters<typeof readCatalog>[0];

/** An operator's own document: one model that the bundled one does not have. */
function documentOf(model: string): string {
  const hosts = [{ id: "h", engine: "vllm", reach: { via: "direct", url: "http://h" } }];
  return JSON.stringify({ hosts, models: [{ id: model, served: [{ host: "h", as: model }] }] });
}

const DOWN = { get: () => Promise.reject(new Error("KV is down")) } as unknown as Kv;

let logged: { mock: { calls: unknown[][] } };
beforeEach(() => {
  logged = vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** KV that holds this text, without the real one's cache of 30 s. */
function holding(text: string | null): Kv {
  return { get: () => Promise.resolve(text) } as unknown as Kv;
}

const firstModel = (reading: { catalog: { models: readonly { id: string }[] } }) => reading.catalog.models[0]?.id;

describe("an isolate's copy", () => {
  /** Asks at these times, each with its own KV; the model it was given each time, after what was deferred is done. */
  async function ask(...asked: { atMs: number; kv: Kv }[]): Promise<(string | undefined)[]> {
    const memory = newCatalogMemory();
    const given: (string | undefined)[] = [];
    for (const { atMs, kv } of asked) {
      const deferred: Promise<void>[] = [];
      given.push(firstModel(await currentCatalog(memory, kv, atMs, (work) => deferred.push(work))));
      await Promise.all(deferred);
    }
    return given;
  }
  const holds = (model: string) => holding(documentOf(model));

  test.each<{ name: string; asked: { atMs: number; kv: Kv }[]; given: string[] }>([
    {
      name: "serves for five seconds",
      asked: [
        { atMs: 0, kv: holds("a") },
        { atMs: 4_999, kv: holds("b") },
        { atMs: 4_999, kv: holds("b") },
      ],
      given: ["a", "a", "a"],
    },
    {
      name: "is then replaced behind a request, which still has the old one",
      asked: [
        { atMs: 0, kv: holds("a") },
        { atMs: 5_000, kv: holds("b") },
        { atMs: 5_001, kv: holds("b") },
      ],
      given: ["a", "a", "b"],
    },
    {
      name: "is younger than ten seconds while requests come",
      asked: [
        { atMs: 0, kv: holds("a") },
        { atMs: 9_999, kv: holds("b") },
        { atMs: 10_000, kv: holds("b") },
      ],
      given: ["a", "a", "b"],
    },
    {
      name: "is waited for by the first request after a pause",
      asked: [
        { atMs: 0, kv: holds("a") },
        { atMs: 10_000, kv: holds("b") },
      ],
      given: ["a", "b"],
    },
    {
      name: "stays while KV holds a wrong document, also after a pause",
      asked: [
        { atMs: 0, kv: holds("a") },
        { atMs: 5_000, kv: holding("{}") },
        { atMs: 5_001, kv: holding("{}") },
        { atMs: 20_000, kv: holding("{") },
      ],
      given: ["a", "a", "a", "a"],
    },
    {
      name: "stays while KV is down, also after a pause",
      asked: [
        { atMs: 0, kv: holds("a") },
        { atMs: 5_000, kv: DOWN },
        { atMs: 5_001, kv: DOWN },
        { atMs: 20_000, kv: DOWN },
      ],
      given: ["a", "a", "a", "a"],
    },
    {
      name: "is the operator's as soon as KV is back",
      asked: [
        { atMs: 0, kv: DOWN },
        { atMs: 5_000, kv: holds("a") },
        { atMs: 5_001, kv: holds("a") },
      ],
      given: ["llama-3.1-8b", "llama-3.1-8b", "a"],
    },
    {
      name: "goes when the operator removes the document",
      asked: [
        { atMs: 0, kv: holds("a") },
        { atMs: 5_000, kv: holding(null) },
        { atMs: 5_001, kv: holding(null) },
      ],
      given: ["a", "a", "llama-3.1-8b"],
    },
  ])("$name", async ({ asked, given }) => {
    expect(await ask(...asked)).toEqual(given);
  });

  test("is waited for by all who come after a pause, and read once", async () => {
    const memory = newCatalogMemory();
    await currentCatalog(memory, holds("a"), 0, () => undefined);
    const held = Promise.withResolvers<string>();
    let reads = 0;
    const slow = {
      get: () => {
        reads += 1;
        return held.promise;
      },
    } as unknown as Kv;
    const deferred: Promise<void>[] = [];
    const asking = [20_000, 20_001, 20_002].map((atMs) =>
      currentCatalog(memory, slow, atMs, (work) => deferred.push(work)),
    );
    held.resolve(documentOf("b"));
    expect((await Promise.all(asking)).map(firstModel)).toEqual(["b", "b", "b"]);
    expect(reads).toBe(1);
    await Promise.all(deferred);
  });

  test("is not waited for beyond a bound: a KV that dawdles leaves the old one", async () => {
    const memory = newCatalogMemory();
    await currentCatalog(memory, holds("a"), 0, () => undefined);
    const silent = { get: () => new Promise(() => undefined) } as unknown as Kv;
    const deferred: Promise<void>[] = [];
    const given = await currentCatalog(memory, silent, 20_000, (work) => deferred.push(work));
    expect([firstModel(given), memory.awaited]).toEqual(["a", false]);
    await Promise.all(deferred);
    expect(memory.reading?.document).toBe(documentOf("a"));
  });

  test("is not put back by a reading that was long on its way", async () => {
    const memory = newCatalogMemory();
    await currentCatalog(memory, holds("a"), 0, () => undefined);
    const held = Promise.withResolvers<string>();
    const slow = { get: () => held.promise } as unknown as Kv;
    const deferred: Promise<void>[] = [];
    const defer = (work: Promise<void>) => deferred.push(work);
    await currentCatalog(memory, slow, 5_000, defer);
    await currentCatalog(memory, holds("new"), 10_000, defer);
    await vi.waitFor(() => expect(memory.reading?.document).toBe(documentOf("new")));
    held.resolve(documentOf("old"));
    await Promise.all(deferred);
    expect(memory.reading?.document).toBe(documentOf("new"));
  });
});

describe("a wrong document", () => {
  /** After what was deferred is done: how many faults the request was told, and which the operator is. */
  async function read(memory: CatalogMemory, atMs: number, text: string) {
    const deferred: Promise<void>[] = [];
    const { refused } = await currentCatalog(memory, holding(text), atMs, (work) => deferred.push(work));
    await Promise.all(deferred);
    const { lastRefused } = memory;
    return {
      told: refused.length,
      at: lastRefused?.problems.map(({ path }) => path) ?? null,
      since: lastRefused?.atMs,
    };
  }

  test("without a good one before it is told to every request until it is mended", async () => {
    const memory = newCatalogMemory();
    expect(await read(memory, 0, "{}")).toEqual({ told: 2, at: ["hosts", "models"], since: 0 });
    expect((await read(memory, 5_000, documentOf("a"))).told).toBe(2);
    expect(await read(memory, 5_001, documentOf("a"))).toEqual({ told: 0, at: null, since: undefined });
  });

  test("without a good one in this isolate leaves the last one that was good anywhere", async () => {
    const memory = newCatalogMemory();
    const texts: Record<string, string> = { [CATALOG_KEY]: "{}", [GOOD_CATALOG_KEY]: documentOf("good") };
    const kv = { get: async (key: string) => texts[key] ?? null } as unknown as Kv;
    const reading = await currentCatalog(memory, kv, 0, () => undefined);
    expect([firstModel(reading), reading.refused]).toEqual(["good", []]);
    expect(memory.lastRefused?.problems.map(({ path }) => path)).toEqual(["hosts", "models"]);
    // And it is as good as any: the wrong one does not replace it later on.
    expect(await read(memory, 5_000, "{}")).toMatchObject({ told: 0, since: 0 });
    expect(memory.reading?.document).toBe(documentOf("good"));
  });

  test("beside a good one is kept for the operator, with the time since when, and logged once", async () => {
    const memory = newCatalogMemory();
    expect((await read(memory, 0, documentOf("a"))).at).toBeNull();
    expect(await read(memory, 5_000, "{}")).toEqual({ told: 0, at: ["hosts", "models"], since: 5_000 });
    expect((await read(memory, 10_000, "{}")).since).toBe(5_000);
    expect(logged.mock.calls.map(([line]) => JSON.parse(String(line)).at)).toEqual(["catalog.refused"]);
    expect(await read(memory, 15_000, "{")).toEqual({ told: 0, at: ["(the document)"], since: 15_000 });
    // What is in force already is good again.
    expect((await read(memory, 20_000, documentOf("a"))).at).toBeNull();
  });
});
