import { describe, expect, test } from "vitest";
import { dialect, problemOf, question } from "./asked.ts";

const CLOUD = { engine: "openai" };
const messages = [{ role: "user", content: "hi" }];

describe("what goes out", () => {
  test.each([
    { name: "the least", more: {}, body: { model: "org/m", messages } },
    {
      name: "what OpenAI documents",
      more: {
        temperature: 0.5,
        top_p: 0.9,
        seed: 7,
        max_completion_tokens: 9,
        stop: ["x"],
        user: "u",
        tools: [{ type: "function", function: { name: "f" } }],
        tool_choice: "auto",
        response_format: { type: "json_object" },
        reasoning_effort: "low",
      },
      body: {
        model: "org/m",
        messages,
        temperature: 0.5,
        top_p: 0.9,
        seed: 7,
        max_completion_tokens: 9,
        stop: ["x"],
        user: "u",
        tools: [{ type: "function", function: { name: "f" } }],
        tool_choice: "auto",
        response_format: { type: "json_object" },
        reasoning_effort: "low",
      },
    },
    {
      name: "nothing that only engines know",
      more: {
        top_k: 3,
        min_p: 0.1,
        repetition_penalty: 1.1,
        repeat_penalty: 1.1,
        timings_per_token: true,
        cache_prompt: true,
        add_generation_prompt: true,
        use_beam_search: false,
        skip_special_tokens: false,
        something_new: 1,
        guided_json: null,
      },
      body: { model: "org/m", messages },
    },
    {
      name: "nothing that keeps the question there or costs its operator more",
      more: { store: true, metadata: { a: "b" }, service_tier: "priority", web_search_options: {} },
      body: { model: "org/m", messages },
    },
    {
      name: "nothing that is not set",
      more: { stop: null, temperature: null, user: null },
      body: { model: "org/m", messages },
    },
    {
      name: "one bound of two",
      more: { max_tokens: 9, max_completion_tokens: 8 },
      body: { model: "org/m", messages, max_completion_tokens: 8 },
    },
    { name: "the older bound alone", more: { max_tokens: 9 }, body: { model: "org/m", messages, max_tokens: 9 } },
    {
      name: "a stream, with its usage and no options of engines",
      more: { stream: true, stream_options: { include_usage: false, continuous_usage_stats: true } },
      body: { model: "org/m", messages, stream: true, stream_options: { include_usage: true } },
    },
  ])("$name", ({ more, body }) => {
    expect(dialect(CLOUD, question("chat", more))).toMatchObject({ path: "/v1/chat/completions", answer: null });
    expect(dialect(CLOUD, question("chat", more)).body).toEqual(body);
  });

  test("of a message, what OpenAI knows", () => {
    const call = { id: "c", type: "function", function: { name: "f", arguments: "{}" } };
    const sent = [
      { role: "assistant", content: null, tool_calls: [call], reasoning_content: "hm", reasoning: "hm" },
      { role: "tool", tool_call_id: "c", content: "1" },
    ];
    expect(dialect(CLOUD, question("chat", { messages: sent })).body.messages).toEqual([
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "c", content: "1" },
    ]);
  });

  test("a raw completion", () => {
    const said = dialect(
      CLOUD,
      question("completions", { echo: true, logprobs: 2, top_k: 3, reasoning_effort: "low" }),
    );
    expect(said.path).toBe("/v1/completions");
    expect(said.body).toEqual({ model: "org/m", prompt: "hi", echo: true, logprobs: 2 });
  });

  test("embeddings", () => {
    const more = { dimensions: 4, encoding_format: "float", user: "u", normalize: true, task: "search" };
    const said = dialect(CLOUD, question("embeddings", more), {}, { kind: "embedding" });
    expect(said.path).toBe("/v1/embeddings");
    expect(said.body).toEqual({ model: "org/m", input: "hi", dimensions: 4, encoding_format: "float", user: "u" });
  });
});

test.each([
  "guided_json",
  "guided_regex",
  "guided_choice",
  "guided_grammar",
  "structured_outputs",
  "grammar",
  "json_schema",
])("an answer of another form than was asked for is none: %s", (param) => {
  const problem = problemOf(() => dialect(CLOUD, question("chat", { [param]: { any: 1 } })));
  expect(problem).toMatchObject({ code: "unsupported_value", facts: { param } });
});

describe("its stream", () => {
  const chunk = (more: object) =>
    new TextEncoder().encode(`data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", ...more })}\n\n`);
  const USAGE = {
    prompt_tokens: 5,
    completion_tokens: 1,
    total_tokens: 6,
    prompt_tokens_details: { cached_tokens: 2 },
  };
  const word = { choices: [{ index: 0, delta: { content: "hey" }, finish_reason: null }], usage: null };
  const end = { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] };
  const DONE = new TextEncoder().encode("data: [DONE]\n\n");

  test.each([
    { name: "OpenAI's own", chunks: [word, { ...end, usage: null }, { choices: [], usage: USAGE }] },
    { name: "usage beside the last choice", chunks: [word, { ...end, usage: USAGE }] },
  ])("$name: counted, and told to whom asks", ({ chunks }) => {
    for (const wants of [true, false]) {
      const more = { stream: true, ...(wants ? { stream_options: { include_usage: true } } : {}) };
      const stream = dialect(CLOUD, question("chat", more)).stream();
      const passed = [...chunks.map(chunk), DONE].map((bytes) =>
        new TextDecoder().decode(stream.push(bytes) ?? undefined),
      );
      expect(stream.endedWell).toBe(true);
      expect(stream.tally).toMatchObject({
        promptTokens: 5,
        completionTokens: 1,
        cachedTokens: 2,
        finishReason: "stop",
      });
      expect(passed.join("").includes("prompt_tokens")).toBe(wants);
      expect(passed.join("")).toContain("hey");
    }
  });
});
