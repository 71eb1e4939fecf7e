import { describe, expect, test } from "vitest";
import { type Catalog, parseCatalog } from "#src/catalog/schema.ts";
import type { Tier } from "#src/catalog/tier.ts";
import { allowanceOf, halfOf, tenantCapsOf } from "#src/limits/allowance.ts";

const MINUTE_MS = 60_000;
const DAY_MS = 1_440 * MINUTE_MS;
const TIER = { rpm: 50, rph: 500, rpd: 5_000, tpm: 20_000, concurrency: 4, share: 1 };

function catalogWith(changed: { tier?: object; keys?: object; tenants?: object } = {}): {
  catalog: Catalog;
  tier: Tier;
} {
  const parsed = parseCatalog({
    hosts: [{ id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://gpu.test" } }],
    models: [{ id: "org/big", served: [{ host: "gpu", as: "b" }] }],
    tiers: { default: { ...TIER, ...changed.tier } },
    keys: changed.keys ?? {},
    tenants: changed.tenants ?? {},
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  const { default: tier } = parsed.catalog.tiers;
  if (tier === undefined) throw new Error("no default tier");
  return { catalog: parsed.catalog, tier };
}

function limitsOf(changed: Parameters<typeof catalogWith>[0], keyId: string | null, modelId: string | null) {
  const { catalog, tier } = catalogWith(changed);
  const { limits, slots } = allowanceOf(catalog, { tier, keyId }, modelId);
  return { limits: Object.fromEntries(limits.map(({ name, max }) => [name, max])), slots };
}

const PLAIN = { rpm: 50, rph: 500, rpd: 5_000, tpm: 20_000 };

test("a tier's limits: every window with its unit, its length and its number, the shortest of a unit first", () => {
  const { catalog, tier } = catalogWith({ tier: { tpd: 100_000, budget: { perDay: 1.5, perMonth: 20 } } });
  expect(allowanceOf(catalog, { tier, keyId: null }, null)).toEqual({
    limits: [
      { name: "rpm", unit: "requests", max: 50, windowMs: MINUTE_MS },
      { name: "rph", unit: "requests", max: 500, windowMs: 60 * MINUTE_MS },
      { name: "rpd", unit: "requests", max: 5_000, windowMs: DAY_MS },
      { name: "tpm", unit: "tokens", max: 20_000, windowMs: MINUTE_MS },
      { name: "tpd", unit: "tokens", max: 100_000, windowMs: DAY_MS },
      { name: "budget-day", unit: "micros", max: 1_500_000, windowMs: DAY_MS },
      { name: "budget-month", unit: "micros", max: 20_000_000, windowMs: 30 * DAY_MS },
    ],
    slots: [{ name: "concurrency", max: 4 }],
  });
});

describe("a model that the tier names", () => {
  const tier = { models: { "org/big": { rpm: 5, concurrency: 1, budget: { perDay: 1 } } } };

  test("has its own windows in the place of the tier's, and the tier's others", () => {
    expect(limitsOf({ tier }, null, "org/big")).toEqual({
      limits: { "rpm/model/org/big": 5, rph: 500, rpd: 5_000, tpm: 20_000, "budget-day/model/org/big": 1_000_000 },
      slots: [{ name: "concurrency/model/org/big", max: 1 }],
    });
  });

  test.each([
    { name: "another model", modelId: "org/other" },
    { name: "no model", modelId: null },
  ])("$name has the tier's", ({ modelId }) => {
    expect(limitsOf({ tier }, null, modelId)).toEqual({ limits: PLAIN, slots: [{ name: "concurrency", max: 4 }] });
  });

  test("keeps the tier's slots when it names none of its own", () => {
    const { slots } = limitsOf({ tier: { models: { "org/big": { rpm: 5 } } } }, null, "org/big");
    expect(slots).toEqual([{ name: "concurrency", max: 4 }]);
  });
});

describe("an API key that the catalog names", () => {
  const keys = { key_abc: { rpm: 3, tpd: 1_000, concurrency: 2 } };

  test("has its caps on top of all others", () => {
    expect(limitsOf({ keys }, "key_abc", null)).toEqual({
      limits: { ...PLAIN, "rpm/key/key_abc": 3, "tpd/key/key_abc": 1_000 },
      slots: [
        { name: "concurrency", max: 4 },
        { name: "concurrency/key/key_abc", max: 2 },
      ],
    });
  });

  test.each([
    { name: "another key", keyId: "key_def" },
    { name: "no key", keyId: null },
  ])("$name has none", ({ keyId }) => {
    expect(limitsOf({ keys }, keyId, null)).toEqual({ limits: PLAIN, slots: [{ name: "concurrency", max: 4 }] });
  });
});

describe("a tenant", () => {
  const { catalog } = catalogWith({ tenants: { acme: { rpm: 30, tpm: 900, budget: { perMonth: 2 } }, empty: {} } });
  const tenantOf = (name: string) => ({ id: `issuer|${name}`, name });

  test("that the catalog names has caps of its own, for the object that its issuer's tenant names", () => {
    expect(tenantCapsOf(catalog, tenantOf("acme"))).toEqual({
      id: "issuer|acme",
      limits: [
        { name: "rpm/tenant", unit: "requests", max: 30, windowMs: MINUTE_MS },
        { name: "tpm/tenant", unit: "tokens", max: 900, windowMs: MINUTE_MS },
        { name: "budget-month/tenant", unit: "micros", max: 2_000_000, windowMs: 30 * DAY_MS },
      ],
    });
  });

  test.each([
    { name: "nobody", tenant: null },
    { name: "one that the catalog does not name", tenant: tenantOf("other") },
    { name: "a name that every object has", tenant: tenantOf("constructor") },
  ])("$name has none", ({ tenant }) => {
    expect(tenantCapsOf(catalog, tenant)).toBeNull();
  });

  test("without any cap has nothing to ask for", () => {
    expect(tenantCapsOf(catalog, tenantOf("empty"))?.limits).toEqual([]);
  });
});

describe("work that nobody waits for", () => {
  const { catalog, tier } = catalogWith({ tier: { budget: { perDay: 1 }, rpm: 5, concurrency: 1 } });
  const allowance = allowanceOf(catalog, { tier, keyId: null }, null);
  const half = (tokens: number) => {
    const { limits, slots } = halfOf(allowance, { requests: 1, tokens, micros: 700_000 });
    return { limits: Object.fromEntries(limits.map(({ name, max }) => [name, max])), slots };
  };
  const HALF = { rpm: 3, rph: 250, rpd: 2_500, "budget-day": 1_000_000 };

  test.each<{ name: string; tokens: number; tpm: number }>([
    { name: "has half of the requests, tokens and slots, and all of the money", tokens: 10, tpm: 10_000 },
    { name: "that alone is more than half has as much as it needs", tokens: 15_000, tpm: 15_000 },
    { name: "has no more than there is", tokens: 90_000, tpm: 20_000 },
  ])("$name", ({ tokens, tpm }) => {
    expect(half(tokens)).toEqual({ limits: { ...HALF, tpm }, slots: [{ name: "concurrency", max: 1 }] });
  });
});
