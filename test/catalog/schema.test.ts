import { describe, expect, test } from "vitest";
import bundled from "#src/catalog/default.json" with { type: "json" };
import { catalogOf, HOST, MODEL, TIER, valid, wrongAt } from "./catalog-of.ts";

describe("the bundled catalog", () => {
  test("is valid and serves the models of the design", () => {
    expect(valid(bundled).models.map(({ id }) => id)).toEqual([
      "llama-3.1-8b",
      "llama-3.1-70b",
      "mixtral-8x7b",
      "hermes-2",
      "openchat-3.5",
      "phi-3-mini",
      "bge-small-en-v1.5",
      "bge-reranker-v2-m3",
      "whisper-large-v3",
    ]);
  });

  test("shares no answer between callers", () => {
    expect(valid(bundled).models.map(({ cache }) => cache?.scope)).not.toContain("shared");
  });

  test("has the design's tiers", () => {
    const { tiers } = valid(bundled);
    expect(
      Object.fromEntries(Object.entries(tiers).map(([name, { rpm, rph, rpd }]) => [name, [rpm, rph, rpd]])),
    ).toEqual({
      basic: [50, 500, 5_000],
      default: [100, 1_000, 10_000],
      premium: [200, 2_000, 20_000],
      enterprise: [1_000, 10_000, 100_000],
    });
  });
});

test.each([
  { engine: "vllm", slots: 256 },
  { engine: "llamacpp", slots: 1 },
  { engine: "openai", slots: 256 },
])("$engine has as many slots as it comes with: $slots", ({ engine, slots }) => {
  expect(valid(catalogOf({ host: { engine } })).hosts[0]?.slots).toBe(slots);
  expect(valid(catalogOf({ host: { engine, slots: 3 } })).hosts[0]?.slots).toBe(3);
});

test("what is left out has a default", () => {
  const { hosts, models } = valid(catalogOf());
  expect(hosts[0]).toMatchObject({ native: false, slots: 256, weight: 1, backup: false });
  expect(models[0]).toMatchObject({
    kind: "generation",
    deadlines: { firstToken: 10_000, betweenTokens: 30_000, total: 600_000 },
    served: [{ template: "chatml" }],
  });
  expect(models[0]?.cache).toBeUndefined();
  expect(models[0]?.price).toBeUndefined();
});

test("a URL loses the slash at its end", () => {
  const { hosts } = valid(catalogOf({ host: { reach: { via: "direct", url: "http://h:1/base//" } } }));
  expect(hosts[0]?.reach.url).toBe("http://h:1/base");
});

describe("who may what", () => {
  test.each<{ name: string; json: unknown; path: string }>([
    { name: "a role nobody knows", json: catalogOf({ rest: { roles: { root: ["ops"] } } }), path: "roles" },
    {
      name: "groups that are no list",
      json: catalogOf({ rest: { roles: { "ai-admins": "ops" } } }),
      path: "roles.ai-admins",
    },
    {
      name: "a model for a role nobody knows",
      json: catalogOf({ model: { allow: { roles: ["root"] } } }),
      path: "models.0.allow.roles.0",
    },
    {
      name: "a model for a tier that is not there",
      json: catalogOf({ model: { allow: { tiers: ["basic", "gold"] } } }),
      path: "models.0.allow.tiers.1",
    },
    { name: "a model for nobody", json: catalogOf({ model: { allow: { tiers: [] } } }), path: "models.0.allow.tiers" },
    { name: "a typo in allow", json: catalogOf({ model: { allow: { role: ["ai-users"] } } }), path: "models.0.allow" },
    {
      name: "a model for a tier that every object has",
      json: catalogOf({ model: { allow: { tiers: ["constructor"] } } }),
      path: "models.0.allow.tiers.0",
    },
  ])("$name is refused", ({ json, path }) => {
    expect(wrongAt(json)).toContain(path);
  });
});

describe("refused, with the path", () => {
  const reach = (url: string) => ({ host: { reach: { via: "direct", url } } });
  test.each<{ name: string; json: unknown; path: string }>([
    { name: "no object", json: "hosts", path: "(the document)" },
    { name: "null", json: null, path: "(the document)" },
    { name: "no hosts", json: catalogOf({ rest: { hosts: [] } }), path: "hosts" },
    { name: "no models", json: catalogOf({ rest: { models: [] } }), path: "models" },
    { name: "a field nobody knows", json: catalogOf({ rest: { modles: [] } }), path: "(the document)" },
    { name: "a typo in a host", json: catalogOf({ host: { wieght: 2 } }), path: "hosts.0" },
    { name: "another engine", json: catalogOf({ host: { engine: "tgi" } }), path: "hosts.0.engine" },
    { name: "a URL without a scheme", json: catalogOf(reach("127.0.0.1:9101")), path: "hosts.0.reach.url" },
    { name: "a file URL", json: catalogOf(reach("file:///etc/passwd")), path: "hosts.0.reach.url" },
    { name: "a URL with a fragment", json: catalogOf(reach("http://h/#a")), path: "hosts.0.reach.url" },
    { name: "a URL with a query", json: catalogOf(reach("http://h/?a=1")), path: "hosts.0.reach.url" },
    {
      name: "a way that does not exist",
      json: catalogOf({ host: { reach: { via: "ssh", url: "http://h" } } }),
      path: "hosts.0.reach.via",
    },
    {
      name: "a VPC host without its binding",
      json: catalogOf({ host: { reach: { via: "vpc", url: "http://h" } } }),
      path: "hosts.0.reach.binding",
    },
    { name: "no slots", json: catalogOf({ host: { slots: 0 } }), path: "hosts.0.slots" },
    { name: "a negative weight", json: catalogOf({ host: { weight: -1 } }), path: "hosts.0.weight" },
    {
      name: "the gateway's own secret as a host's key",
      json: catalogOf({ host: { keyFrom: "CAUSEWAY_SECRET" } }),
      path: "hosts.0.keyFrom",
    },
    {
      name: "a key instead of a secret's name",
      json: catalogOf({ host: { keyFrom: "sk-1234" } }),
      path: "hosts.0.keyFrom",
    },
    { name: "a vLLM host as native", json: catalogOf({ host: { native: true } }), path: "hosts.0.native" },
    { name: "a host twice", json: catalogOf({ rest: { hosts: [HOST, HOST] } }), path: "hosts.1.id" },
    { name: "a model twice", json: catalogOf({ rest: { models: [MODEL, MODEL] } }), path: "models.1.id" },
    { name: "a model name with a space", json: catalogOf({ model: { id: "a b" } }), path: "models.0.id" },
    { name: "a model nobody serves", json: catalogOf({ model: { served: [] } }), path: "models.0.served" },
    {
      name: "an unknown host",
      json: catalogOf({ model: { served: [{ host: "tpu", as: "m" }] } }),
      path: "models.0.served.0.host",
    },
    {
      name: "a host twice for a model",
      json: catalogOf({ model: { served: [...MODEL.served, { host: "gpu", as: "n" }] } }),
      path: "models.0.served.1.host",
    },
    {
      name: "embeddings on a native host",
      json: catalogOf({ host: { engine: "llamacpp", native: true }, model: { kind: "embedding" } }),
      path: "models.0.served.0.host",
    },
    {
      name: "a cache shorter than KV keeps",
      json: catalogOf({ model: { cache: { ttl: 59, scope: "user" } } }),
      path: "models.0.cache.ttl",
    },
    {
      name: "a cache without a scope",
      json: catalogOf({ model: { cache: { ttl: 60 } } }),
      path: "models.0.cache.scope",
    },
    {
      name: "a deadline of no time",
      json: catalogOf({ model: { deadlines: { total: 0 } } }),
      path: "models.0.deadlines.total",
    },
    { name: "tiers without a default", json: catalogOf({ rest: { tiers: { basic: TIER } } }), path: "tiers" },
  ])("$name", ({ json, path }) => {
    expect(wrongAt(json)).toContain(path);
  });
});
