import { describe, expect, test } from "vitest";
import { catalogOf, HOST, MODEL, valid, wrongAt } from "./catalog-of.ts";

const SECOND = { ...HOST, id: "second" };
const CLOUD = { ...HOST, id: "cloud", engine: "openai" };
const NATIVE = { ...HOST, id: "native", engine: "llamacpp", native: true };
const EMBEDDER = { id: "e", kind: "embedding", served: [{ host: "gpu", as: "e" }] };

/** A catalog of four hosts and a model that differs so. */
const withModel = (model: object) => catalogOf({ model, rest: { hosts: [HOST, SECOND, CLOUD, NATIVE] } });
const withAliases = (aliases: object) => catalogOf({ rest: { aliases } });

describe("variants", () => {
  const a = { host: "gpu", as: "a", split: 1 };
  test.each<{ name: string; served: object[]; wrong: string[] }>([
    { name: "on hosts of their own", served: [a, { host: "second", as: "b", split: 1 }], wrong: [] },
    { name: "on one host", served: [a, { host: "gpu", as: "b", split: 1 }], wrong: [] },
    { name: "one that is not begun yet", served: [a, { host: "second", as: "b", split: 0 }], wrong: [] },
    { name: "one on several hosts", served: [a, { ...a, host: "second" }], wrong: [] },
    { name: "one twice on one host", served: [a, a], wrong: ["models.0.served.1.host"] },
    { name: "a split here and none there", served: [a, { host: "second", as: "b" }], wrong: ["models.0.served"] },
    { name: "nobody for anyone", served: [{ ...a, split: 0 }], wrong: ["models.0.served"] },
    {
      name: "two names on one host without a split",
      served: [
        { host: "gpu", as: "a" },
        { host: "gpu", as: "b" },
      ],
      wrong: ["models.0.served.1.host"],
    },
  ])("$name", ({ served, wrong }) => {
    expect(wrongAt(withModel({ served }))).toEqual(wrong);
  });
});

describe("copies", () => {
  const shadow = (host: string) => [{ host, as: "new" }];
  test.each<{ name: string; model: object; wrong: string[] }>([
    { name: "to another host", model: { shadow: shadow("second") }, wrong: [] },
    { name: "to the cloud", model: { shadow: shadow("cloud") }, wrong: [] },
    { name: "to no host", model: { shadow: shadow("tpu") }, wrong: ["models.0.shadow.0.host"] },
    {
      name: "of what stays on the premises, to the cloud",
      model: { residency: "on-prem", shadow: shadow("cloud") },
      wrong: ["models.0.shadow.0.host"],
    },
    {
      name: "of embeddings to a native host",
      model: { kind: "embedding", shadow: shadow("native") },
      wrong: ["models.0.shadow.0.host"],
    },
  ])("$name", ({ model, wrong }) => {
    expect(wrongAt(withModel(model))).toEqual(wrong);
  });
});

describe("what only some hosts offer", () => {
  const all = ["rerank", "transcriptions", "tokenize"];
  test.each<{ name: string; host: object; model: object; wrong: string[] }>([
    { name: "everything on vLLM", host: { offers: all }, model: { kind: "rerank" }, wrong: [] },
    { name: "a transcribing model", host: { offers: all }, model: { kind: "transcription" }, wrong: [] },
    { name: "a service", host: { engine: "openai", offers: ["rerank", "transcriptions"] }, model: {}, wrong: [] },
    {
      name: "a native host",
      host: { engine: "llamacpp", native: true, offers: ["rerank", "tokenize"] },
      model: {},
      wrong: [],
    },
    { name: "nobody reranks", host: {}, model: { kind: "rerank" }, wrong: ["models.0.served.0.host"] },
    {
      name: "nobody transcribes",
      host: { offers: ["rerank"] },
      model: { kind: "transcription" },
      wrong: ["models.0.served.0.host"],
    },
    { name: "a service tokenizes", host: { engine: "openai", offers: all }, model: {}, wrong: ["hosts.0.offers"] },
    {
      name: "a native host transcribes",
      host: { engine: "llamacpp", native: true, offers: all },
      model: {},
      wrong: ["hosts.0.offers"],
    },
    { name: "a typo", host: { offers: ["tokenise"] }, model: {}, wrong: ["hosts.0.offers.0"] },
    { name: "a kind that is none", host: {}, model: { kind: "speech" }, wrong: ["models.0.kind"] },
  ])("$name", ({ host, model, wrong }) => {
    expect(wrongAt(catalogOf({ host, model }))).toEqual(wrong);
  });
});

describe("what stays on the premises", () => {
  test.each<{ name: string; hosts: string[]; wrong: string[] }>([
    { name: "served there", hosts: ["gpu"], wrong: [] },
    { name: "served there and in the cloud", hosts: ["gpu", "cloud"], wrong: [] },
    { name: "served in the cloud only", hosts: ["cloud"], wrong: ["models.0.residency"] },
  ])("$name", ({ hosts, wrong }) => {
    const served = hosts.map((host) => ({ host, as: "m" }));
    expect(wrongAt(withModel({ residency: "on-prem", served }))).toEqual(wrong);
  });

  test("by the id of a key, beside its caps", () => {
    const keys = { key_a: { residency: "on-prem" }, key_b: { rpm: 1 } };
    expect(valid(catalogOf({ rest: { keys } })).keys).toEqual(keys);
    expect(wrongAt(catalogOf({ rest: { keys: { key_a: { residency: "home" } } } }))).toEqual(["keys.key_a.residency"]);
  });
});

describe("aliases", () => {
  const when = { minPromptTokens: 4_000, tools: true, languages: ["de", "pt-BR"], prefer: ["quality"] };
  test("are taken as written; rules may be left out", () => {
    const { aliases } = valid(
      withAliases({ auto: { rules: [{ when, use: "m" }], otherwise: "m" }, chat: { otherwise: "m" } }),
    );
    expect(aliases).toEqual({
      auto: { rules: [{ when, use: "m" }], otherwise: "m" },
      chat: { rules: [], otherwise: "m" },
    });
  });

  test.each<{ name: string; aliases: object; path: string }>([
    { name: "a model's own name", aliases: { m: { otherwise: "m" } }, path: "aliases.m" },
    { name: "to no model", aliases: { auto: { otherwise: "x" } }, path: "aliases.auto.otherwise" },
    {
      name: "to another alias",
      aliases: { a: { otherwise: "m" }, b: { otherwise: "a" } },
      path: "aliases.b.otherwise",
    },
    {
      name: "a rule to no model",
      aliases: { auto: { rules: [{ when: {}, use: "x" }], otherwise: "m" } },
      path: "aliases.auto.rules.0.use",
    },
    { name: "no end", aliases: { auto: { rules: [{ when: {}, use: "m" }] } }, path: "aliases.auto.otherwise" },
    {
      name: "a typo in a condition",
      aliases: { auto: { rules: [{ when: { tool: true }, use: "m" }], otherwise: "m" } },
      path: "aliases.auto.rules.0.when",
    },
    {
      name: "no language",
      aliases: { auto: { rules: [{ when: { languages: ["German!"] }, use: "m" }], otherwise: "m" } },
      path: "aliases.auto.rules.0.when.languages.0",
    },
  ])("$name is refused", ({ aliases, path }) => {
    expect(wrongAt(withAliases(aliases))).toEqual([path]);
  });
});

test("every flaw is told, not only the first", () => {
  const models = [{ ...MODEL, served: [{ host: "x", as: "m" }] }, MODEL, EMBEDDER];
  const json = catalogOf({ rest: { hosts: [HOST, HOST], models, aliases: { m: { otherwise: "y" } } } });
  expect(new Set(wrongAt(json))).toEqual(
    new Set(["hosts.1.id", "models.1.id", "models.0.served.0.host", "aliases.m", "aliases.m.otherwise"]),
  );
});
