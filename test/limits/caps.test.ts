import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Model, parseCatalog } from "#src/catalog/schema.ts";
import { COSTLY_FIELDS, type Tier } from "#src/catalog/tier.ts";
import { type PlainRoute, questionOf } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { reservationOf, withinCaps } from "#src/limits/caps.ts";
import { Problem } from "#src/problem.ts";
import { tierWith } from "#test/support/tier.ts";

const LEAST: Record<PlainRoute, JsonObject> = {
  chat: { messages: [{ role: "user", content: "hi" }] },
  completions: { prompt: "hi" },
  embeddings: { input: "hi" },
};
const ROUTES = Object.keys(LEAST) as PlainRoute[];

/** A model of this context. */
function modelOf(context?: number): Model {
  const parsed = parseCatalog({
    hosts: [{ id: "h", engine: "vllm", reach: { via: "direct", url: "http://h.internal" } }],
    models: [{ id: "m", served: [{ host: "h", as: "m" }], context }],
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  const [model] = parsed.catalog.models;
  if (model === undefined) throw new Error("no model");
  return model;
}

const bytesOf = (body: JsonObject): number => new TextEncoder().encode(JSON.stringify(body)).byteLength;

/** What goes on to the host. */
function capped(route: PlainRoute, more: JsonObject, tier: Partial<Tier> = {}, context?: number): JsonObject {
  const body = { model: "m", ...LEAST[route], ...more };
  return withinCaps(questionOf(route, body), bytesOf(body), tierWith(tier), modelOf(context)).body;
}

/** `code param` of the refusal, or null when there is none. */
function refusal(...asked: Parameters<typeof capped>): string | null {
  try {
    capped(...asked);
    return null;
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    return `${thrown.code} ${thrown.facts.param}`;
  }
}

test("without caps, and within them, a question goes on as it came", () => {
  for (const route of ROUTES) {
    const more = { max_tokens: 10, n: 2, engine_option: { deep: [1] } };
    const body = { model: "m", ...LEAST[route], ...more };
    for (const tier of [{}, { maxTokens: 10, maxN: 2 }, { maxTokens: 11, maxN: 3, over: "clamp" as const }])
      expect(capped(route, more, tier)).toEqual(body);
  }
});

describe("tokens and answers above the tier's", () => {
  const tier = { maxTokens: 100, maxN: 2 };
  test.each<{ name: string; route?: PlainRoute; asks: JsonObject; param: string; clamped: JsonObject }>([
    { name: "max_tokens", asks: { max_tokens: 101 }, param: "max_tokens", clamped: { max_tokens: 100 } },
    {
      name: "max_tokens of raw completions",
      route: "completions",
      asks: { max_tokens: 2 ** 53 - 1 },
      param: "max_tokens",
      clamped: { max_tokens: 100 },
    },
    {
      name: "max_completion_tokens",
      asks: { max_completion_tokens: 101 },
      param: "max_completion_tokens",
      clamped: { max_completion_tokens: 100 },
    },
    {
      name: "one of both",
      asks: { max_completion_tokens: 7, max_tokens: 101 },
      param: "max_tokens",
      clamped: { max_completion_tokens: 7, max_tokens: 100 },
    },
    { name: "n", asks: { n: 3, max_tokens: 5 }, param: "n", clamped: { n: 2, max_tokens: 5 } },
    {
      name: "all",
      asks: { n: 4, max_tokens: 500, max_completion_tokens: 500 },
      param: "n",
      clamped: { n: 2, max_tokens: 100, max_completion_tokens: 100 },
    },
  ])("$name: refused by name, or cut down", ({ route = "chat", asks, param, clamped }) => {
    expect(refusal(route, asks, { ...tier, over: "refuse" })).toBe(`invalid_value ${param}`);
    expect(capped(route, asks, { ...tier, over: "clamp" })).toEqual({ model: "m", ...LEAST[route], ...clamped });
  });

  test("embeddings have no answer to bound", () => {
    expect(capped("embeddings", { max_tokens: 500, n: 9 }, tier)).toMatchObject({ max_tokens: 500, n: 9 });
    expect(capped("embeddings", {}, tier)).not.toHaveProperty("max_tokens");
  });
});

describe("a request that names no bound is held to the tier's", () => {
  test.each<{ name: string; route?: PlainRoute; asks: JsonObject; bound: unknown }>([
    { name: "nothing", asks: {}, bound: 100 },
    { name: "null", asks: { max_tokens: null, max_completion_tokens: null }, bound: 100 },
    { name: "raw completions", route: "completions", asks: {}, bound: 100 },
    { name: "chat's newer name is a bound", asks: { max_completion_tokens: 7 }, bound: undefined },
  ])("$name", ({ route = "chat", asks, bound }) => {
    for (const over of ["refuse", "clamp"] as const)
      expect(capped(route, asks, { maxTokens: 100, over }).max_tokens).toBe(bound);
  });

  test("but not beyond what the context has room for: it has asked for no more", () => {
    const bound = capped("chat", {}, { maxTokens: 8_192 }, 4_096).max_tokens;
    expect(bound).toBeGreaterThan(4_000);
    expect(bound).toBeLessThan(4_096);
  });

  test("nor to next to nothing where the prompt may fill the context", () => {
    const bound = (characters: number) =>
      capped("completions", { prompt: "a".repeat(characters) }, { maxTokens: 2_048 }, 4_096).max_tokens;
    // About 1,000, 3,000 and 10,000 tokens.
    expect(bound(4_000)).toBe(2_048);
    expect(bound(12_000)).toBeGreaterThan(1_000);
    expect(bound(12_000)).toBeLessThan(1_096);
    expect(bound(40_000)).toBe(256);
  });
});

test("whatever is asked of a tier that has caps, no answer is longer than the tier's, and what is reserved is enough", () => {
  const bound = fc.option(fc.integer({ min: 1, max: 300 }), { nil: null });
  const body = fc.record(
    { max_tokens: bound, max_completion_tokens: bound, n: fc.option(fc.integer({ min: 1, max: 4 }), { nil: null }) },
    { requiredKeys: [] },
  );
  const caps = fc.record({
    maxTokens: fc.integer({ min: 1, max: 200 }),
    maxN: fc.integer({ min: 1, max: 4 }),
    over: fc.constantFrom("refuse" as const, "clamp" as const),
  });
  fc.assert(
    fc.property(body, caps, (asks, tier) => {
      const reason = refusal("chat", asks, tier);
      if (tier.over === "clamp") expect(reason).toBeNull();
      if (reason !== null) return;
      const sent = capped("chat", asks, tier);
      // What vLLM and llama.cpp make of both fields.
      const tokens = Number(sent.max_completion_tokens ?? sent.max_tokens);
      const answers = Number(sent.n ?? 1);
      expect(tokens).toBeLessThanOrEqual(tier.maxTokens);
      expect(answers).toBeLessThanOrEqual(tier.maxN);
      const question = { route: "chat" as const, body: sent };
      expect(reservationOf(question, 0).completionTokens).toBe(tokens * answers);
    }),
  );
});

describe("costly fields", () => {
  const costly: JsonObject = { ...Object.fromEntries(COSTLY_FIELDS.map((field) => [field, { a: 1 }])), echo: true };
  test.each(ROUTES.flatMap((route) => COSTLY_FIELDS.map((field) => ({ route, field }))))(
    "$field on $route: only for the tiers that may",
    ({ route, field }) => {
      const asks = { [field]: costly[field] };
      expect(refusal(route, asks)).toBe(`unsupported_value ${field}`);
      expect(refusal(route, asks, { allowFields: COSTLY_FIELDS.filter((other) => other !== field) })).toBe(
        `unsupported_value ${field}`,
      );
      expect(capped(route, asks, { allowFields: [field] })).toMatchObject(asks);
      for (const off of [null, false]) expect(refusal(route, { [field]: off })).toBeNull();
    },
  );
});

describe("what cannot fit the context", () => {
  const words = (count: number) => Array(count).fill("w").join(" ");
  test.each<{ name: string; route: PlainRoute; asks: (fill: number) => JsonObject; param: string; answer: number }>([
    {
      name: "messages",
      route: "chat",
      asks: (n) => ({ messages: [{ role: "user", content: words(n) }] }),
      param: "messages",
      answer: 1,
    },
    {
      name: "several messages and parts",
      route: "chat",
      asks: (n) => ({
        messages: [
          { role: "system", content: "be brief" },
          { role: "user", content: [{ type: "text", text: words(n - 3) }] },
          {
            role: "user",
            content: [
              { type: "text", text: "word" },
              { type: "image_url", image_url: "data:,x" },
            ],
          },
        ],
      }),
      param: "messages",
      answer: 1,
    },
    {
      name: "messages and max_tokens",
      route: "chat",
      asks: (n) => ({ messages: [{ role: "user", content: words(n) }], max_tokens: 40 }),
      param: "messages",
      answer: 40,
    },
    {
      name: "messages and max_completion_tokens, which counts before max_tokens",
      route: "chat",
      asks: (n) => ({
        messages: [{ role: "user", content: words(n) }],
        max_completion_tokens: 40,
        max_tokens: 4_000,
      }),
      param: "messages",
      answer: 40,
    },
    { name: "a prompt", route: "completions", asks: (n) => ({ prompt: words(n) }), param: "prompt", answer: 1 },
    {
      name: "token ids, to the token",
      route: "completions",
      asks: (n) => ({ prompt: Array(n).fill(7), max_tokens: 3 }),
      param: "prompt",
      answer: 3,
    },
    {
      name: "the longest of several prompts",
      route: "completions",
      asks: (n) => ({ prompt: ["hi", words(n), "ho"] }),
      param: "prompt",
      answer: 1,
    },
    {
      name: "the longest of several prompts of token ids",
      route: "completions",
      asks: (n) => ({ prompt: [[1], Array(n).fill(7), [2, 3]] }),
      param: "prompt",
      answer: 1,
    },
    { name: "an input", route: "embeddings", asks: (n) => ({ input: words(n) }), param: "input", answer: 0 },
    {
      name: "token ids of an input",
      route: "embeddings",
      asks: (n) => ({ input: Array(n).fill(7) }),
      param: "input",
      answer: 0,
    },
    {
      name: "the longest of several inputs",
      route: "embeddings",
      asks: (n) => ({ input: [words(n), "hi"] }),
      param: "input",
      answer: 0,
    },
  ])("$name: the last token that fits, and one more", ({ route, asks, param, answer }) => {
    for (const context of [64, 4_096]) {
      expect(refusal(route, asks(context - answer), {}, context)).toBeNull();
      expect(refusal(route, asks(context - answer + 1), {}, context)).toBe(`context_length_exceeded ${param}`);
      // A model whose context the catalog does not name.
      expect(refusal(route, asks(context - answer + 1))).toBeNull();
    }
  });

  test.each<{ route: PlainRoute; asks: JsonObject; says: RegExp }>([
    {
      route: "chat",
      asks: { messages: [{ role: "user", content: words(100) }], max_tokens: 30 },
      says: /maximum context length is 64 tokens.*you requested at least 130 tokens \(100 in the messages, 30 in the completion\)\. Please reduce the length of the messages/,
    },
    { route: "completions", asks: { prompt: words(100) }, says: /\(100 in the prompt, 1 in the completion\)/ },
    { route: "embeddings", asks: { input: words(100) }, says: /\(100 in the input, 0 in the completion\)/ },
  ])("$route: 400 in OpenAI's words", ({ route, asks, says }) => {
    expect(() => capped(route, asks, {}, 64)).toThrow(says);
    expect(() => capped(route, asks, {}, 64)).toThrow(expect.objectContaining({ status: 400 }));
  });

  test("an answer that is cut down fits, though what was asked for would not", () => {
    expect(refusal("chat", { max_tokens: 10_000 }, { maxTokens: 100, over: "clamp" }, 4_096)).toBeNull();
    expect(refusal("chat", { max_tokens: 10_000 }, {}, 4_096)).toBe("context_length_exceeded messages");
  });

  test("nobody is refused for a bound that he did not name", () => {
    for (const maxTokens of [1, 64, 1_000_000]) {
      expect(refusal("chat", {}, { maxTokens }, 64)).toBeNull();
      expect(refusal("completions", { prompt: words(63) }, { maxTokens }, 64)).toBeNull();
    }
  });
});

describe("what is reserved", () => {
  test.each<{ name: string; route?: PlainRoute; asks: JsonObject; completionTokens: number }>([
    { name: "max_tokens", asks: { max_tokens: 50 }, completionTokens: 50 },
    { name: "max_completion_tokens", asks: { max_completion_tokens: 60, max_tokens: 50 }, completionTokens: 60 },
    { name: "for each answer", asks: { max_tokens: 50, n: 3 }, completionTokens: 150 },
    { name: "nothing named", asks: {}, completionTokens: 1_024 },
    {
      name: "for each of several prompts",
      route: "completions",
      asks: { prompt: ["a", "b", "c"], max_tokens: 10, n: 2 },
      completionTokens: 60,
    },
    {
      name: "for each of several prompts of token ids",
      route: "completions",
      asks: { prompt: [[1, 2], [3]], max_tokens: 10 },
      completionTokens: 20,
    },
    {
      name: "token ids are one prompt",
      route: "completions",
      asks: { prompt: [1, 2, 3], max_tokens: 10 },
      completionTokens: 10,
    },
    { name: "an embedding has no answer", route: "embeddings", asks: { max_tokens: 50 }, completionTokens: 0 },
  ])("$name", ({ route = "chat", asks, completionTokens }) => {
    const question = questionOf(route, { model: "m", ...LEAST[route], ...asks });
    expect(reservationOf(question, 400)).toEqual({ promptTokens: 100, completionTokens });
  });
});
