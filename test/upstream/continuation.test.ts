import { describe, expect, test } from "vitest";
import type { Host } from "#src/catalog/schema.ts";
import type { JsonObject } from "#src/json.ts";
import { type Cut, continued, heldCharacters, isGreedy, mayContinue } from "#src/upstream/continuation.ts";
import type { Seam } from "#src/upstream/seam.ts";
import { NOTHING_YET } from "#src/upstream/tally.ts";
import { problemOf, question, servedBy } from "./asked.ts";

const VLLM = servedBy({ engine: "vllm" }).host;
const LLAMA = servedBy({ engine: "llamacpp" }).host;
const SERVICE = servedBy({ engine: "openai" }).host;
const ON = { continuation: true };
const HI = { role: "user", content: "hi" };

/** @param heldCharacters what its host holds back */
const seamAt = (text: string, tokens: number, solidTokens = tokens, heldCharacters = 0): Seam => ({
  head: { id: "a", object: "chat.completion.chunk", created: 1, model: "m" },
  text,
  marks: [
    { reach: 1 + heldCharacters, tokens: 1 },
    { reach: text.trimEnd().length + heldCharacters, tokens: solidTokens },
    { reach: text.length + heldCharacters, tokens },
  ],
  tally: { ...NOTHING_YET, completionTokens: tokens, contentPieces: tokens },
});

describe("what may be carried on", () => {
  const JSON_FORM = { type: "json_object" };
  test.each<{
    name: string;
    may: boolean;
    more?: object;
    route?: "chat" | "completions";
    on?: boolean;
    stream?: boolean;
  }>([
    { name: "a plain chat", may: true },
    { name: "a raw prompt", route: "completions", may: true },
    {
      name: "what asks for nothing",
      more: { n: 1, tools: [], logprobs: false, response_format: { type: "text" } },
      may: true,
    },
    {
      name: "a seed, stop strings, a bound, penalties",
      more: { seed: 1, stop: ["x"], max_tokens: 5, presence_penalty: 1 },
      may: true,
    },
    { name: "switched off", on: false, may: false },
    { name: "not a stream", stream: false, may: false },
    { name: "two answers", more: { n: 2 }, may: false },
    { name: "tools", more: { tools: [{ type: "function", function: { name: "f" } }] }, may: false },
    { name: "older functions", more: { functions: [{ name: "f" }] }, may: false },
    { name: "JSON", more: { response_format: JSON_FORM }, may: false },
    { name: "a schema of the engine's own", more: { guided_json: {} }, may: false },
    { name: "a grammar", more: { grammar: "root ::= [a-z]" }, may: false },
    { name: "log probabilities", more: { logprobs: true }, may: false },
    { name: "alternatives in raw completions", route: "completions", more: { logprobs: 0 }, may: false },
    { name: "an echo", route: "completions", more: { echo: true }, may: false },
    { name: "a suffix", route: "completions", more: { suffix: "x" }, may: false },
    { name: "several prompts", route: "completions", more: { prompt: ["a", "b"] }, may: false },
    { name: "token ids", route: "completions", more: { prompt: [1, 2] }, may: false },
    {
      name: "an assistant's last word, answered",
      more: { messages: [HI, { role: "assistant", content: "a" }] },
      may: false,
    },
    {
      name: "an assistant's last word, written on",
      more: { messages: [HI, { role: "assistant", content: "a" }], continue_final_message: true },
      may: true,
    },
  ])("$name: $may", ({ route = "chat", more = {}, may, on = true, stream = true }) => {
    expect(mayContinue(question(route, { stream, ...more }), { continuation: on })).toBe(may);
  });

  test("embeddings are none", () => expect(mayContinue(question("embeddings"), ON)).toBe(false));
});

test.each([
  { name: "nothing without a stop string", host: VLLM, more: {}, held: 0 },
  { name: "the longest stop string less one", host: VLLM, more: { stop: ["a", "four"] }, held: 3 },
  { name: "by its characters, not their halves", host: VLLM, more: { stop: "🙂🙂🙂" }, held: 2 },
  { name: "a single one", host: VLLM, more: { stop: "two" }, held: 2 },
  {
    name: "nothing where it is part of the answer",
    host: VLLM,
    more: { stop: "two", include_stop_str_in_output: true },
    held: 0,
  },
  { name: "llama.cpp nothing that it has counted", host: LLAMA, more: { stop: "two" }, held: 0 },
])("held back: $name", ({ host, more, held }) => {
  expect(heldCharacters(question("chat", more), host)).toBe(held);
});

describe("what the next host is asked", () => {
  const ask = (
    more: object,
    seam: Seam,
    from = VLLM,
    to = VLLM,
    route: "chat" | "completions" = "chat",
    cut: Cut = "anywhere",
  ) => continued(question(route, { stream: true, ...more }), seam, from, to, cut);

  test("chat: the text so far as the assistant's message, which is not closed", () => {
    const { question: rest, owed } = ask({ seed: 3, stop: ["x"], temperature: 0 }, seamAt("one two", 2));
    expect(rest.body).toEqual({
      model: "m",
      stream: true,
      seed: 3,
      stop: ["x"],
      temperature: 0,
      messages: [HI, { role: "assistant", content: "one two" }],
      continue_final_message: true,
      add_generation_prompt: false,
    });
    expect([owed, rest.wantsUsage]).toEqual(["", true]);
  });

  test("chat that was itself to be written on: one message, not two", () => {
    const messages = [HI, { role: "assistant", content: "zero " }];
    const { question: rest } = ask({ messages, continue_final_message: true }, seamAt("one", 1));
    expect(rest.body.messages).toEqual([HI, { role: "assistant", content: "zero one" }]);
  });

  test("a raw prompt: prompt and text", () => {
    const { question: rest } = ask({ prompt: "Once", max_tokens: 9 }, seamAt(" upon ", 1), LLAMA, LLAMA, "completions");
    expect(rest.body).toMatchObject({ prompt: "Once upon ", max_tokens: 8 });
  });

  test.each([
    { name: "vLLM's template may trim: white space is said again", to: VLLM, text: "a \n", said: "a", owed: " \n" },
    { name: "llama.cpp writes on what it is given", to: LLAMA, text: "a \n", said: "a \n", owed: "" },
    { name: "half a character is sent to nobody", to: LLAMA, text: "a\ud83d", said: "a", owed: "\ud83d" },
  ])("$name", ({ to, text, said, owed }) => {
    const { question: rest, owed: found } = ask({}, seamAt(text, 3, 1), VLLM, to);
    expect(rest.body.messages).toEqual([HI, { role: "assistant", content: said }]);
    expect(found).toBe(owed);
  });

  test("nothing but white space so far: the answer is made anew", () => {
    const { question: rest, owed } = ask({}, seamAt("\n\n", 1, 0));
    expect(rest.body).toEqual({ model: "m", stream: true, messages: [HI] });
    expect(owed).toBe("\n\n");
  });

  test.each([
    { name: "what is left of the bound", more: { max_tokens: 10 }, seam: seamAt("a b", 2), left: 8 },
    { name: "of the newer bound", more: { max_completion_tokens: 10 }, seam: seamAt("a b", 2), left: 8 },
    {
      name: "white space that is said again counts again",
      more: { max_tokens: 10 },
      seam: seamAt("a \n", 3, 1),
      left: 9,
    },
    {
      name: "what its host had made and held back is made again",
      more: { max_tokens: 10, stop: "xyz" },
      seam: seamAt("a b", 2, 2, 2),
      left: 9,
    },
    { name: "no bound", more: {}, seam: seamAt("a b", 2), left: undefined },
  ])("$name", ({ more, seam, left }) => {
    const { body } = ask(more, seam).question;
    expect([body.max_tokens, body.max_completion_tokens]).toEqual([left, undefined]);
  });

  describe("cut at a token: what lies behind it is said again, and counts again", () => {
    const at = (text: string, ...marks: [reach: number, tokens: number][]): Seam => ({
      ...seamAt(text, 9),
      marks: marks.map(([reach, tokens]) => ({ reach, tokens })),
    });
    test.each<{ name: string; seam: Seam; to?: Host; route?: "completions"; said: string; owed: string; left: number }>(
      [
        { name: "the text ends there", seam: at("one two", [7, 2]), said: "one two", owed: "", left: 8 },
        {
          name: "in the middle of the next one",
          seam: at("one two thr", [7, 2], [14, 4]),
          said: "one two",
          owed: " thr",
          left: 8,
        },
        {
          name: "nobody knows where the first one ends",
          seam: at("one", [0, 0], [9, 3]),
          said: "",
          owed: "one",
          left: 10,
        },
        {
          name: "a template trims",
          seam: at("one.\n\ntw", [3, 1], [6, 2], [9, 3]),
          said: "one",
          owed: ".\n\ntw",
          left: 9,
        },
        {
          name: "none does",
          seam: at("one.\n\ntw", [3, 1], [6, 2], [9, 3]),
          to: LLAMA,
          said: "one.\n\n",
          owed: "tw",
          left: 8,
        },
        {
          name: "half a character",
          seam: at("a\ud83d", [1, 1], [2, 2]),
          to: LLAMA,
          said: "a",
          owed: "\ud83d",
          left: 9,
        },
        {
          name: "only white space could be cut at",
          seam: at("a \nb", [3, 2], [9, 4]),
          said: "a \nb",
          owed: "",
          left: 8,
        },
        {
          name: "a raw prompt",
          seam: at(" a b", [2, 1], [6, 2]),
          route: "completions",
          said: " a",
          owed: " b",
          left: 9,
        },
      ],
    )("$name", ({ seam, to = VLLM, route, said, owed, left }) => {
      const more = { max_tokens: 10, ...(route === undefined ? {} : { prompt: "" }) };
      const { question: rest, ...found } = ask(more, seam, VLLM, to, route, "at a token");
      const {
        messages = [],
        prompt,
        max_tokens,
      } = rest.body as { messages?: { content: string }[]; prompt?: string; max_tokens: number };
      const last = messages.length > 1 ? messages.at(-1)?.content : "";
      expect([prompt ?? last, found.owed, max_tokens, found.delivered]).toEqual([said, owed, left, 10 - left]);
    });
  });

  test.each([
    { more: {}, is: false },
    { more: { temperature: 0.7, top_k: 5 }, is: false },
    { more: { temperature: 0 }, is: true },
    { more: { temperature: 1, top_k: 1 }, is: true },
  ])("$more has one answer only: $is", ({ more, is }) => expect(isGreedy(question("chat", more))).toBe(is));

  test("raw completions have a bound of vLLM's own where none is named", () => {
    expect(ask({}, seamAt("a b", 2), VLLM, VLLM, "completions").question.body.max_tokens).toBe(14);
  });
});

test("what had no bound is not put to a host that would stop after its own 16 tokens", () => {
  const seam = seamAt("a b", 2);
  const ask = (more: JsonObject, from: Host, to: Host) => () =>
    continued(question("completions", more), seam, from, to, "anywhere");
  for (const to of [VLLM, SERVICE]) expect(problemOf(ask({}, LLAMA, to)).code).toBe("unsupported_value");
  expect(ask({}, LLAMA, LLAMA)().question.body.max_tokens).toBeUndefined();
  expect(ask({ max_tokens: 9 }, LLAMA, VLLM)().question.body.max_tokens).toBe(7);
});

test("what the caller wrote in a protocol of its own is not asked again", () => {
  const asked = { ...question("chat", { messages: [HI] }), original: { messages: [HI] } };
  expect(continued(asked, seamAt("a", 1), VLLM, VLLM, "anywhere").question.original).toBeNull();
});
