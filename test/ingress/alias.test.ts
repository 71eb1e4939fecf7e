import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Catalog } from "#src/catalog/schema.ts";
import { resolved, targetsOf, traitsOf } from "#src/ingress/alias.ts";
import type { JsonObject } from "#src/json.ts";
import { valid } from "#test/catalog/catalog-of.ts";

const HOST = { id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://gpu" } };
const model = (id: string) => ({ id, served: [{ host: "gpu", as: id }] });

/** The aliases of a catalog with one that has these rules, as the catalog reads them. */
function aliasesWith(rules: readonly object[]): Catalog["aliases"] {
  const models = ["small", "large", "coder", "german"].map(model);
  return valid({ hosts: [HOST], models, aliases: { auto: { rules, otherwise: "small" } } }).aliases;
}

const RULES = [
  { when: { tools: true }, use: "coder" },
  { when: { languages: ["de"], maxPromptTokens: 500 }, use: "german" },
  { when: { prefer: ["quality", "Best"] }, use: "large" },
  { when: { minPromptTokens: 1_000 }, use: "large" },
];

type Asked = { readonly body?: JsonObject; readonly bytes?: number; readonly prefer?: string };

function become(rules: readonly object[], { body = {}, bytes = 40, prefer }: Asked): string {
  return resolved(aliasesWith(rules), "auto", () => traitsOf({ body }, bytes, prefer ?? null));
}

const system = (content: string): JsonObject => ({ messages: [{ role: "system", content }] });
const TOOLS = { tools: [{ type: "function" }] };

describe("the rules", () => {
  test.each<{ name: string; asked: Asked; use: string }>([
    { name: "none fits", asked: {}, use: "small" },
    { name: "tools", asked: { body: TOOLS }, use: "coder" },
    { name: "an empty list offers none", asked: { body: { tools: [] } }, use: "small" },
    { name: "functions, as they used to be called", asked: { body: { functions: [{ name: "f" }] } }, use: "coder" },
    { name: "a language", asked: { body: system("[lang:de] Sei nett.") }, use: "german" },
    { name: "every condition of a rule counts", asked: { body: system("[lang:de]"), bytes: 2_004 }, use: "small" },
    { name: "just within", asked: { body: system("[lang:de]"), bytes: 2_000 }, use: "german" },
    { name: "a preference", asked: { prefer: "quality" }, use: "large" },
    { name: "one of several, in any case", asked: { prefer: "cheap, BEST" }, use: "large" },
    { name: "not a part of a word", asked: { prefer: "qualitya" }, use: "small" },
    { name: "too short", asked: { bytes: 3_996 }, use: "small" },
    { name: "just long enough", asked: { bytes: 4_000 }, use: "large" },
    { name: "the first that fits", asked: { body: TOOLS, prefer: "quality" }, use: "coder" },
  ])("$name: $use", ({ asked, use }) => {
    expect(become(RULES, asked)).toBe(use);
  });

  test("without tools can be asked for, too", () => {
    const rules = [{ when: { tools: false }, use: "large" }];
    expect([become(rules, {}), become(rules, { body: TOOLS })]).toEqual(["large", "small"]);
  });

  test("a rule without conditions always fits", () => {
    expect(become([{ when: {}, use: "large" }], {})).toBe("large");
  });
});

describe("the language of a system prompt", () => {
  test.each([
    { text: "[lang:de]", language: "de" },
    { text: "You are kind. [lang=de-AT] Go on.", language: "de-at" },
    { text: "[LANG: DE]", language: "de" },
    { text: "<lang>pt-BR</lang>\nBe kind.", language: "pt-br" },
    { text: "lang: fr\nBe kind.", language: "fr" },
    { text: "lang:fr\r\nBe kind.", language: "fr" },
    { text: "Be kind.\nlang: fr", language: null },
    { text: "lang: fr and more", language: null },
    { text: "The word lang: de is no tag.", language: null },
    { text: "[lang:]", language: null },
    { text: "[lang:deutschland]", language: null },
    { text: "<lang>de</b>", language: null },
    { text: `${" ".repeat(5_000)}[lang:de]`, language: null },
  ])("$text: $language", ({ text, language }) => {
    expect(traitsOf({ body: system(text) }, 10, null).language).toBe(language);
  });

  test("what a user writes is no tag", () => {
    const body = { messages: [{ role: "user", content: "[lang:de]" }] };
    expect(traitsOf({ body }, 10, null).language).toBeNull();
  });

  test.each([
    { range: "de", tag: "de-AT", fits: true },
    { range: "DE", tag: "de", fits: true },
    { range: "de-AT", tag: "de", fits: false },
    { range: "de", tag: "den", fits: false },
  ])("$range for $tag: $fits", ({ range, tag, fits }) => {
    const rules = [{ when: { languages: [range] }, use: "german" }];
    expect(become(rules, { body: system(`[lang:${tag}]`) })).toBe(fits ? "german" : "small");
  });
});

describe("names", () => {
  const aliases = aliasesWith(RULES);
  const never = () => {
    throw new Error("nobody had to look at the question");
  };

  test.each(["small", "", "constructor", "__proto__", "toString"])("%j is no alias and stands for itself", (name) => {
    expect(resolved(aliases, name, never)).toBe(name);
    expect(targetsOf(aliases, name)).toEqual([]);
  });

  test("without a question: the one for when no rule fits", () => {
    expect(resolved(aliases, "auto", null)).toBe("small");
  });

  test("all that one may stand for", () => {
    expect(targetsOf(aliases, "auto")).toEqual(["coder", "german", "large", "large", "small"]);
  });

  test("whatever is asked: a model that the alias names", () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), fc.string(), (text, bytes, prefer) => {
        expect(targetsOf(aliases, "auto")).toContain(become(RULES, { body: system(text), bytes, prefer }));
      }),
    );
  });
});
