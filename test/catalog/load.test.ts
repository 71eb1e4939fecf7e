import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CATALOG_KEY, GOOD_CATALOG_KEY, keepLastGood, readCatalog, readLastGood } from "#src/catalog/load.ts";

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

test("a document that is known already stands again, as the same catalog", async () => {
  const known = await readCatalog(holding(documentOf("own")));
  expect(await readCatalog(holding(documentOf("own")), known)).toBe(known);
  expect(firstModel(await readCatalog(holding(documentOf("other")), known))).toBe("other");
});

test("the platform's own cache is asked to keep as little as it may", async () => {
  const get = vi.fn().mockResolvedValue(null);
  await readCatalog({ get } as unknown as Kv);
  expect(get).toHaveBeenCalledWith(CATALOG_KEY, { type: "text", cacheTtl: 30 });
});

describe("the last good one", () => {
  test("is kept when it is new, and read again", async () => {
    const put = vi.fn((key: string, text: string) => env.KV.put(key, text));
    const kv = { put } as unknown as KVNamespace;
    const good = await readCatalog(holding(documentOf("good")));
    expect(await keepLastGood(kv, good, null)).toBe(documentOf("good"));
    expect(await keepLastGood(kv, good, documentOf("good"))).toBe(documentOf("good"));
    expect(put).toHaveBeenCalledTimes(1);
    const read = await readLastGood(env.KV);
    expect([read === null ? null : firstModel(read), read?.refused, read?.reached]).toEqual(["good", [], true]);
    await env.KV.delete(GOOD_CATALOG_KEY);
  });

  test.each<{ name: string; kv: Kv }>([
    { name: "a wrong document", kv: holding("{}") },
    { name: "what was not read", kv: DOWN },
  ])("is not $name", async ({ kv }) => {
    const put = vi.fn();
    const reading = await readCatalog(kv);
    expect(await keepLastGood({ put } as unknown as KVNamespace, reading, "before")).toBe("before");
    expect(put).not.toHaveBeenCalled();
  });

  test("is kept the next time where KV was down", async () => {
    const kv = { put: () => Promise.reject(new Error("KV is down")) } as unknown as KVNamespace;
    expect(await keepLastGood(kv, await readCatalog(holding(documentOf("good"))), null)).toBeNull();
  });

  test.each<{ name: string; kv: Kv }>([
    { name: "there is none", kv: holding(null) },
    { name: "KV is down", kv: DOWN },
    { name: "this version refuses it", kv: holding("{}") },
    { name: "it is no JSON", kv: holding("{") },
  ])("is none where $name", async ({ kv }) => {
    expect(await readLastGood(kv)).toBeNull();
  });
});
