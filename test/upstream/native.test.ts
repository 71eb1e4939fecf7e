import { describe, expect, test } from "vitest";
import { type NativeReply, nativeAnswer, nativeRequest } from "#src/upstream/native.ts";
import { counts } from "#src/upstream/tally.ts";
import { problemOf, question, servedBy } from "./asked.ts";

const { served } = servedBy({ engine: "llamacpp", native: true });
const LEAST_CHAT = "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n";
const reply = (route: NativeReply["route"]): NativeReply => ({ route, id: "x-1", created: 7, model: "m" });

describe("the request", () => {
  test("a chat becomes a prompt that ends where the assistant begins, with a bound and the template's own stop", () => {
    expect(nativeRequest(question("chat"), served, 99)).toEqual({
      prompt: LEAST_CHAT,
      stop: ["<|im_end|>"],
      n_predict: 99,
      cache_prompt: true,
      stream: false,
    });
  });

  test("a document without content is no answer", () => {
    expect(() => nativeAnswer(reply("chat"), { error: "loading" })).toThrow();
  });

  test("a stream asks for the counts in every event", () => {
    expect(nativeRequest(question("chat", { stream: true }), served, 99)).toMatchObject({
      stream: true,
      timings_per_token: true,
    });
  });

  test.each([
    { name: "text", prompt: "hi", becomes: "hi" },
    { name: "token ids", prompt: [1, 2], becomes: [1, 2] },
    { name: "a list of one text", prompt: ["hi"], becomes: "hi" },
    { name: "a list of one list of token ids", prompt: [[1, 2]], becomes: [1, 2] },
  ])("a raw prompt of $name has no template and no stop", ({ prompt, becomes }) => {
    expect(nativeRequest(question("completions", { prompt }), served, 99)).toEqual({
      prompt: becomes,
      n_predict: 99,
      cache_prompt: true,
      stream: false,
    });
  });

  test.each([
    { name: "max_tokens", body: { max_tokens: 5 }, becomes: { n_predict: 5 } },
    { name: "max_completion_tokens", body: { max_completion_tokens: 6 }, becomes: { n_predict: 6 } },
    { name: "both: the newer name", body: { max_tokens: 5, max_completion_tokens: 6 }, becomes: { n_predict: 6 } },
    { name: "a bound of null", body: { max_tokens: null }, becomes: { n_predict: 99 } },
    { name: "one stop", body: { stop: "a" }, becomes: { stop: ["a", "<|im_end|>"] } },
    { name: "stops", body: { stop: ["a", "b"] }, becomes: { stop: ["a", "b", "<|im_end|>"] } },
    {
      name: "sampling",
      body: { temperature: 0, top_p: 0.5, seed: 3 },
      becomes: { temperature: 0, top_p: 0.5, seed: 3 },
    },
    { name: "n=1", body: { n: 1 }, becomes: {} },
    {
      name: "what asks for nothing",
      body: {
        logprobs: false,
        top_logprobs: 0,
        tools: [],
        response_format: { type: "text" },
        suffix: "",
        echo: false,
      },
      becomes: {},
    },
    { name: "what the engine has by the same name", body: { top_k: 4, min_p: 0.1 }, becomes: { top_k: 4, min_p: 0.1 } },
  ])("options: $name", ({ body, becomes }) => {
    expect(nativeRequest(question("chat", body), served, 99)).toMatchObject(becomes);
  });

  test("nothing else of the caller's goes on, nor a temperature of null", () => {
    const body = { user: "u", metadata: {}, grammar: "root ::= x", temperature: null, model: "m" };
    const sent = Object.keys(nativeRequest(question("chat", body), served, 99));
    expect(sent.sort()).toEqual(["cache_prompt", "n_predict", "prompt", "stop", "stream"]);
  });

  test.each([-1, 0, 1.5, "5", Number.MAX_VALUE])("never without an honest bound: max_tokens of %s", (max) => {
    const asked = question("completions");
    expect(nativeRequest({ ...asked, body: { ...asked.body, max_tokens: max } }, served, 99).n_predict).toBe(99);
  });

  test.each([
    { param: "tools", body: { tools: [{ type: "function" }] } },
    { param: "functions", body: { functions: [{}] } },
    { param: "response_format", body: { response_format: { type: "json_object" } } },
    { param: "logprobs", body: { logprobs: true } },
    { param: "top_logprobs", body: { top_logprobs: 3 } },
    { param: "best_of", body: { best_of: 2 } },
    { param: "suffix", body: { suffix: "x" } },
    { param: "echo", body: { echo: true } },
    { param: "n", body: { n: 2 } },
    { param: "prompt", route: "completions", body: { prompt: ["a", "b"] } },
    { param: "prompt", route: "completions", body: { prompt: [[1], [2]] } },
    {
      param: "messages.1.content",
      body: {
        messages: [
          { role: "user", content: "hi" },
          { role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] },
        ],
      },
    },
  ] as const)("$param is refused by name", ({ param, body, ...row }) => {
    const route = "route" in row ? row.route : "chat";
    const problem = problemOf(() => nativeRequest(question(route, body), served, 99));
    expect(problem).toMatchObject({ code: "unsupported_value", status: 400, facts: { param } });
  });
});

describe("the whole answer", () => {
  test.each([
    {
      route: "chat",
      shape: {
        object: "chat.completion",
        choices: [{ index: 0, message: { role: "assistant", content: "hey" }, logprobs: null, finish_reason: "stop" }],
      },
    },
    {
      route: "completions",
      shape: { object: "text_completion", choices: [{ index: 0, text: "hey", logprobs: null, finish_reason: "stop" }] },
    },
  ] as const)("$route: every member that clients rely on", ({ route, shape }) => {
    const document = {
      content: "hey",
      stop: true,
      stop_type: "eos",
      tokens_evaluated: 5,
      tokens_predicted: 2,
      prompt: "secret",
    };
    expect(nativeAnswer(reply(route), document)).toEqual({
      id: "x-1",
      created: 7,
      model: "m",
      usage: { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 },
      ...shape,
    });
  });

  test.each([
    { document: { stop_type: "eos" }, reason: "stop" },
    { document: { stop_type: "word", stopping_word: "x" }, reason: "stop" },
    { document: { stop_type: "limit" }, reason: "length" },
    { document: { stop_type: "none" }, reason: "stop" },
    { document: {}, reason: "stop" },
    { document: { stopped_limit: true, stopped_eos: false }, reason: "length" },
    { document: { stopped_limit: false, stopped_eos: true }, reason: "stop" },
  ])("$document means $reason", ({ document, reason }) => {
    const answer = nativeAnswer(reply("chat"), { content: "", ...document });
    expect(answer.choices).toMatchObject([{ finish_reason: reason }]);
  });

  test.each([
    { timings: { cache_n: 4, prompt_n: 1, predicted_n: 2 }, details: { prompt_tokens_details: { cached_tokens: 4 } } },
    { timings: { cache_n: 0, prompt_n: 5, predicted_n: 2 }, details: { prompt_tokens_details: { cached_tokens: 0 } } },
    { timings: { prompt_n: 5, predicted_n: 2 }, details: {} },
    { timings: "none", details: {} },
  ])("timings of $timings tell the cache's part: $details", ({ timings, details }) => {
    const document = { content: "hey", tokens_evaluated: 5, tokens_predicted: 2, timings };
    const { usage } = nativeAnswer(reply("chat"), document);
    expect(usage).toEqual({ prompt_tokens: 5, completion_tokens: 2, total_tokens: 7, ...details });
    // The ledger reads it in the translated answer.
    expect(counts({ usage })?.cachedTokens ?? null).toBe(details.prompt_tokens_details?.cached_tokens ?? null);
  });

  test.each([null, -1, 1.5, "5", Number.NaN])("a count of %s is none", (count) => {
    const answer = nativeAnswer(reply("chat"), { content: "", tokens_evaluated: count, tokens_predicted: 2 });
    expect(answer.usage).toEqual({ prompt_tokens: 0, completion_tokens: 2, total_tokens: 2 });
  });
});
