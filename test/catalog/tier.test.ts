import { describe, expect, test } from "vitest";
import { COSTLY_FIELDS, DEFAULT_TIERS } from "#src/catalog/tier.ts";
import { catalogOf, TIER, valid, wrongAt } from "./catalog-of.ts";

/** A catalog whose only tier has these members as well. */
const withTier = (changed: object): object => catalogOf({ rest: { tiers: { default: { ...TIER, ...changed } } } });

/** Every window there is. */
const WINDOWS = { rpm: 5, rph: 6, rpd: 7, tpm: 8, tpd: 9, budget: { perDay: 0.5, perMonth: 1.5 } };

test("a tier that names the least refuses what is too much, and neither bounds answers nor allows what is costly", () => {
  expect(valid(withTier({})).tiers.default).toEqual({
    ...TIER,
    priority: 0,
    models: {},
    over: "refuse",
    allowFields: [],
  });
});

test("the tiers of a catalog that names none are tiers that a catalog could name", () => {
  expect(valid(catalogOf({ rest: { tiers: DEFAULT_TIERS } })).tiers).toEqual(DEFAULT_TIERS);
  expect(valid(catalogOf()).tiers).toEqual(DEFAULT_TIERS);
});

describe("taken as written", () => {
  const model = { ...WINDOWS, concurrency: 2 };
  test.each<{ name: string; tier: object }>([
    { name: "every window", tier: { ...WINDOWS, concurrency: 3 } },
    { name: "a budget of a day alone", tier: { budget: { perDay: 0.01 } } },
    { name: "limits of a model", tier: { models: { m: model } } },
    { name: "caps of a request", tier: { maxTokens: 4_096, maxN: 2, over: "clamp" } },
    { name: "the highest priority", tier: { priority: 9 } },
    { name: "costly fields", tier: { allowFields: [...COSTLY_FIELDS] } },
    { name: "an allowance for when accounts are away", tier: { localAllowance: { rpm: 5 } } },
  ])("$name", ({ tier }) => {
    expect(valid(withTier(tier)).tiers.default).toMatchObject(tier);
  });

  test("caps of a key and of a tenant", () => {
    const keys = { "key_5dTVQqqpzXl-": model, key_1: {} };
    const tenants = { acme: WINDOWS, "Acme GmbH & Co. KG": {} };
    expect(valid(catalogOf({ rest: { keys, tenants } }))).toMatchObject({ keys, tenants });
    expect(valid(catalogOf())).toMatchObject({ keys: {}, tenants: {} });
  });
});

describe("refused, with the path", () => {
  const zeroes = Object.keys(WINDOWS).filter((name) => name !== "budget");
  const rest = (changed: object): object => catalogOf({ rest: changed });
  test.each<{ name: string; json: object; path: string }>([
    { name: "a typo", json: withTier({ rpn: 1 }), path: "tiers.default" },
    ...zeroes.flatMap((name) =>
      [0, 0.5, -1, "5", null].map((value) => ({
        name: `${name} of ${JSON.stringify(value)}`,
        json: withTier({ [name]: value }),
        path: `tiers.default.${name}`,
      })),
    ),
    ...[-1, 10, 1.5].map((priority) => ({
      name: `a priority of ${priority}`,
      json: withTier({ priority }),
      path: "tiers.default.priority",
    })),
    { name: "a tier without a limit", json: rest({ tiers: { default: { rpm: 1 } } }), path: "tiers.default.tpm" },
    { name: "a budget of nothing", json: withTier({ budget: { perDay: 0 } }), path: "tiers.default.budget.perDay" },
    { name: "a budget as text", json: withTier({ budget: { perMonth: "5" } }), path: "tiers.default.budget.perMonth" },
    { name: "a typo in a budget", json: withTier({ budget: { perHour: 5 } }), path: "tiers.default.budget" },
    {
      name: "limits of a model that there is not",
      json: withTier({ models: { m: { rpm: 1 }, absent: { rpm: 1 } } }),
      path: "tiers.default.models.absent",
    },
    {
      name: "limits of what every object has",
      json: withTier({ models: { constructor: { rpm: 1 } } }),
      path: "tiers.default.models.constructor",
    },
    {
      name: "limits of a model by its name on the host",
      json: withTier({ models: { "org/M": { rpm: 1 } } }),
      path: "tiers.default.models.org/M",
    },
    {
      name: "a typo in limits of a model",
      json: withTier({ models: { m: { rmp: 1 } } }),
      path: "tiers.default.models.m",
    },
    {
      name: "what only a tier has in limits of a model",
      json: withTier({ models: { m: { maxTokens: 1 } } }),
      path: "tiers.default.models.m",
    },
    { name: "answers of no token", json: withTier({ maxTokens: 0 }), path: "tiers.default.maxTokens" },
    { name: "no answers", json: withTier({ maxN: 0 }), path: "tiers.default.maxN" },
    { name: "another way with what is too much", json: withTier({ over: "ignore" }), path: "tiers.default.over" },
    {
      name: "a field that is not among the costly ones",
      json: withTier({ allowFields: ["echo", "chat_template"] }),
      path: "tiers.default.allowFields.1",
    },
    {
      name: "an allowance of none",
      json: withTier({ localAllowance: { rpm: 0 } }),
      path: "tiers.default.localAllowance.rpm",
    },
    {
      name: "an allowance of other windows",
      json: withTier({ localAllowance: { rpm: 1, tpm: 1 } }),
      path: "tiers.default.localAllowance",
    },
    { name: "a key by its text", json: rest({ keys: { cw_abc: { rpm: 1 } } }), path: "keys.cw_abc" },
    { name: "a key by its owner", json: rest({ keys: { n8n: { rpm: 1 } } }), path: "keys.n8n" },
    { name: "a typo in a key's caps", json: rest({ keys: { key_1: { rmp: 1 } } }), path: "keys.key_1" },
    {
      name: "a key's cap of none",
      json: rest({ keys: { key_1: { concurrency: 0 } } }),
      path: "keys.key_1.concurrency",
    },
    { name: "a tenant without a name", json: rest({ tenants: { "": { rpm: 1 } } }), path: "tenants." },
    { name: "a typo in a tenant's caps", json: rest({ tenants: { acme: { rmp: 1 } } }), path: "tenants.acme" },
    {
      name: "requests in flight of a tenant, which nobody counts",
      json: rest({ tenants: { acme: { concurrency: 1 } } }),
      path: "tenants.acme",
    },
  ])("$name", ({ json, path }) => {
    expect(wrongAt(json)).toEqual(expect.arrayContaining([path]));
  });
});
