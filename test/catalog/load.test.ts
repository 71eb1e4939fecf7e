import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CATALOG_KEY, currentCatalog, newCatalogMemory, readCatalog } from "#src/catalog/load.ts";

type Kv = Parameters<typeof readCatalog>[0];

/** An operator's own document: one model that the bundled one does not have. */
function documentOf(model: string): string {
  const hosts = [{ id: "h", engine: "vllm", reach: { via: "direct", url: "http://h" } }];
  return JSON.stringify({ hosts, models: [{ id: model, served: [{ host: "h", as: model }] }] });
}

const DOWN = { get: () => Promise.reject(new Error("KV is down")) } as unknown as Kv;

beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await env.KV.delete(CATALOG_KEY);
});

/** KV that holds this text, without the real one's cache of 30 s. */
function holding(text: string | null): Kv {
  return { get: () => Promise.resolve(text) } as unknown as Kv;
}

const firstModel = (reading: { catalog: { models: readonly { id: string }[] } }) => reading.catalog.models[0]?.id;

describe("reading KV once", () => {
  test("the operator's document, from the real KV", async () => {
    await env.KV.put(CATALOG_KEY, documentOf("own"));
    const reading = await readCatalog(env.KV);
    expect({ model: firstModel(reading), refused: reading.refused, reached: reading.reached }).toEqual({
      model: "own",
      refused: [],
      reached: true,
    });
  });

  test.each<{ name: string; kv: Kv; refusedAt: string[]; reached: boolean }>([
    { name: "nothing there", kv: holding(null), refusedAt: [], reached: true },
    { name: "KV down", kv: DOWN, refusedAt: [], reached: false },
    { name: "no JSON", kv: holding("{"), refusedAt: ["(the document)"], reached: true },
    {
      name: "a wrong document",
      kv: holding('{"hosts":[],"models":[]}'),
      refusedAt: ["hosts", "models"],
      reached: true,
    },
  ])("$name: the bundled one", async ({ kv, refusedAt, reached }) => {
    const reading = await readCatalog(kv);
    expect(firstModel(reading)).toBe("llama-3.1-8b");
    expect(reading.refused.map(({ path }) => path)).toEqual(refusedAt);
    expect(reading.reached).toBe(reached);
  });
});

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

  test.each<{ name: string; asked: { atMs: number; kv: Kv }[]; given: string[] }>([
    {
      name: "serves for ten seconds",
      asked: [
        { atMs: 0, kv: holding(documentOf("a")) },
        { atMs: 9_999, kv: holding(documentOf("b")) },
        { atMs: 9_999, kv: holding(documentOf("b")) },
      ],
      given: ["a", "a", "a"],
    },
    {
      name: "is then replaced behind a request, which still has the old one",
      asked: [
        { atMs: 0, kv: holding(documentOf("a")) },
        { atMs: 10_000, kv: holding(documentOf("b")) },
        { atMs: 10_001, kv: holding(documentOf("b")) },
      ],
      given: ["a", "a", "b"],
    },
    {
      name: "stays while KV holds a wrong document",
      asked: [
        { atMs: 0, kv: holding(documentOf("a")) },
        { atMs: 10_000, kv: holding("{}") },
        { atMs: 10_001, kv: holding("{}") },
      ],
      given: ["a", "a", "a"],
    },
    {
      name: "stays while KV is down",
      asked: [
        { atMs: 0, kv: holding(documentOf("a")) },
        { atMs: 10_000, kv: DOWN },
        { atMs: 10_001, kv: DOWN },
      ],
      given: ["a", "a", "a"],
    },
    {
      name: "goes when the operator removes the document",
      asked: [
        { atMs: 0, kv: holding(documentOf("a")) },
        { atMs: 10_000, kv: holding(null) },
        { atMs: 10_001, kv: holding(null) },
      ],
      given: ["a", "a", "llama-3.1-8b"],
    },
  ])("$name", async ({ asked, given }) => {
    expect(await ask(...asked)).toEqual(given);
  });

  test("a wrong document is said until it is mended", async () => {
    const memory = newCatalogMemory();
    const deferred: Promise<void>[] = [];
    const refusedAt = async (atMs: number, text: string) => {
      const { refused } = await currentCatalog(memory, holding(text), atMs, (work) => deferred.push(work));
      await Promise.all(deferred);
      return refused.length;
    };
    expect(await refusedAt(0, "{}")).toBeGreaterThan(0);
    expect(await refusedAt(10_000, documentOf("a"))).toBeGreaterThan(0);
    expect(await refusedAt(10_001, documentOf("a"))).toBe(0);
  });
});
