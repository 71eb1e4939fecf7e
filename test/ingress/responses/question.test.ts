import { describe, expect, test } from "vitest";
import type { Question } from "#src/ingress/question.ts";
import { inOwnWords } from "#src/ingress/responses/field-names.ts";
import { responsesQuestion } from "#src/ingress/responses/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

const ID = "0199e000-0000-7000-8000-000000000001";
const USER = { role: "user", content: "hi" };
const DATA = "data:image/png;base64,AA==";
const TOOL = { type: "function", name: "f", parameters: { type: "object" } };

const ask = (changed: JsonObject): Question => responsesQuestion({ model: "m", input: "hi", ...changed }, ID, 7);

/** What chat is asked beside the model. */
const chat = (changed: JsonObject): JsonObject => {
  const { model: _model, ...body } = ask(changed).body;
  return body;
};

describe("what is asked, in chat's words", () => {
  const messages = [USER];
  test.each<{ name: string; asked: JsonObject; body: JsonObject }>([
    { name: "a text", asked: {}, body: { messages } },
    { name: "a message without a type", asked: { input: [USER] }, body: { messages } },
    { name: "a message with one", asked: { input: [{ type: "message", ...USER }] }, body: { messages } },
    {
      name: "instructions, and a developer's words",
      asked: { instructions: "be brief", input: [{ role: "developer", content: "be kind" }, USER] },
      body: {
        messages: [{ role: "system", content: "be brief" }, { role: "system", content: "be kind" }, USER],
      },
    },
    {
      name: "one text part",
      asked: { input: [{ role: "user", content: [{ type: "input_text", text: "hi" }] }] },
      body: { messages },
    },
    {
      name: "a picture",
      asked: {
        input: [
          {
            role: "user",
            content: [
              { type: "input_text", text: "what is it?" },
              { type: "input_image", image_url: DATA, detail: "low" },
            ],
          },
        ],
      },
      body: {
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "what is it?" },
              { type: "image_url", image_url: { url: DATA, detail: "low" } },
            ],
          },
        ],
      },
    },
    {
      name: "a model's own output, sent back as it came",
      asked: {
        input: [
          USER,
          { type: "reasoning", id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "hm" }] },
          {
            type: "message",
            id: "msg_1",
            role: "assistant",
            status: "completed",
            content: [{ type: "output_text", text: "let me ", annotations: [], logprobs: [] }],
          },
          { type: "function_call", id: "fc_1", call_id: "a", name: "f", arguments: "{}", status: "completed" },
          { type: "function_call", id: "fc_2", call_id: "b", name: "g", arguments: '{"x":1}' },
          { type: "function_call_output", call_id: "b", output: "2" },
          { type: "function_call_output", call_id: "a", output: [{ type: "input_text", text: "1" }] },
          { type: "message", role: "assistant", content: [{ type: "refusal", refusal: "no" }] },
        ],
      },
      body: {
        messages: [
          USER,
          {
            role: "assistant",
            content: "let me ",
            tool_calls: [
              { id: "a", type: "function", function: { name: "f", arguments: "{}" } },
              { id: "b", type: "function", function: { name: "g", arguments: '{"x":1}' } },
            ],
          },
          { role: "tool", tool_call_id: "b", content: "2" },
          { role: "tool", tool_call_id: "a", content: "1" },
          { role: "assistant", content: "no" },
        ],
      },
    },
    {
      name: "calls in turns, each followed by its output",
      asked: {
        input: [
          { type: "function_call", call_id: "a", name: "f", arguments: "{}" },
          { type: "function_call_output", call_id: "a", output: "1" },
          { type: "function_call", call_id: "b", name: "f", arguments: "{}" },
          { type: "function_call_output", call_id: "b", output: "2" },
        ],
      },
      body: {
        messages: ["a", "b"].flatMap((id, at) => [
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id, type: "function", function: { name: "f", arguments: "{}" } }],
          },
          { role: "tool", tool_call_id: id, content: String(at + 1) },
        ]),
      },
    },
    {
      name: "sampling, engines' ways to sample, and who asks",
      asked: { temperature: 0.5, top_p: 0.9, seed: 3, stop: ["x"], top_k: 4, user: "u", max_output_tokens: 9 },
      body: {
        messages,
        temperature: 0.5,
        top_p: 0.9,
        seed: 3,
        stop: ["x"],
        top_k: 4,
        user: "u",
        max_completion_tokens: 9,
      },
    },
    { name: "a stream", asked: { stream: true, stream_options: {} }, body: { messages, stream: true } },
    {
      name: "tools",
      asked: { tools: [{ ...TOOL, strict: null, description: "does f" }], parallel_tool_calls: false },
      body: {
        messages,
        tools: [{ type: "function", function: { name: "f", parameters: { type: "object" }, description: "does f" } }],
        parallel_tool_calls: false,
      },
    },
    {
      name: "the one tool to call",
      asked: { tools: [TOOL], tool_choice: { type: "function", name: "f" } },
      body: {
        messages,
        tools: [{ type: "function", function: { name: "f", parameters: { type: "object" } } }],
        tool_choice: { type: "function", function: { name: "f" } },
      },
    },
    {
      name: "some of the tools",
      asked: {
        tools: [TOOL, { ...TOOL, name: "g" }],
        tool_choice: { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "g" }] },
      },
      body: {
        messages,
        tools: [{ type: "function", function: { name: "g", parameters: { type: "object" } } }],
        tool_choice: "required",
      },
    },
    {
      name: "no tools, and a choice that asks for none: such an answer may be kept",
      asked: { tools: [], tool_choice: "auto", parallel_tool_calls: true },
      body: { messages },
    },
    { name: "a form of text", asked: { text: { format: { type: "text" } } }, body: { messages } },
    {
      name: "a form of JSON, and how long",
      asked: { text: { format: { type: "json_object" }, verbosity: "low" } },
      body: { messages, response_format: { type: "json_object" }, verbosity: "low" },
    },
    {
      name: "a form by schema",
      asked: { text: { format: { type: "json_schema", name: "s", schema: { type: "object" }, strict: null } } },
      body: {
        messages,
        response_format: { type: "json_schema", json_schema: { name: "s", schema: { type: "object" } } },
      },
    },
    {
      name: "how hard to think",
      asked: { reasoning: { effort: "low", summary: "auto" } },
      body: { messages, reasoning_effort: "low" },
    },
    {
      name: "probabilities",
      asked: { include: ["message.output_text.logprobs", "reasoning.encrypted_content"], top_logprobs: 2 },
      body: { messages, logprobs: true, top_logprobs: 2 },
    },
    {
      name: "what is harmless and not known, and what asks for nothing",
      asked: {
        store: true,
        truncation: "auto",
        background: false,
        previous_response_id: null,
        conversation: null,
        prompt: null,
        metadata: { a: "b" },
        service_tier: "auto",
        safety_identifier: "s",
        prompt_cache_key: "k",
        max_tool_calls: 3,
        made_up: { deep: [1] },
        temperature: null,
        tools: null,
        text: null,
      },
      body: { messages },
    },
  ])("$name", ({ asked, body }) => {
    expect(chat(asked)).toEqual(body);
  });
});

test("a question: chat's, whose usage is always wanted, with the caller's own words beside it", () => {
  const asked = { stream: true, store: true, truncation: "auto", made_up: 1, input: [USER], max_output_tokens: 5 };
  const { wording, ...question } = ask(asked);
  expect(question).toMatchObject({ route: "chat", model: "m", stream: true, wantsUsage: true, needs: null });
  expect(question.original).toEqual({
    model: "m",
    stream: true,
    input: [{ type: "message", ...USER }],
    max_output_tokens: 5,
  });
  expect(wording.protocol).toBe("responses");
});

test("for a host that speaks it itself, what was said before is plain, and what was thought is left out", () => {
  const call = { type: "function_call", call_id: "a", name: "f", arguments: "{}" };
  const said = { type: "output_text", text: "so be it", annotations: [], logprobs: [] };
  const picture = { type: "input_image", image_url: DATA };
  const input = [
    { role: "user", content: [picture] },
    { type: "reasoning", id: "rs_1", summary: [] },
    { type: "message", id: "msg_1", role: "assistant", status: "completed", content: [said] },
    { ...call, id: "fc_1", status: "completed" },
    { type: "function_call_output", call_id: "a", output: [{ type: "input_text", text: "1" }, picture] },
    { role: "assistant", content: "yes" },
  ];
  expect(ask({ input }).original?.input).toEqual([
    { type: "message", role: "user", content: [{ ...picture, detail: "auto" }] },
    { type: "message", role: "assistant", content: "so be it" },
    call,
    {
      type: "function_call_output",
      call_id: "a",
      output: [
        { type: "input_text", text: "1" },
        { ...picture, detail: "auto" },
      ],
    },
    { type: "message", role: "assistant", content: "yes" },
  ]);
});

/** `code param` of the problem, or null when the question is good. */
function problemOf(changed: JsonObject): string | null {
  try {
    ask(changed);
    return null;
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    expect(thrown.message).not.toBe("");
    return `${thrown.code} ${thrown.facts.param}`;
  }
}

describe("refused", () => {
  const said = (...content: JsonObject[]) => ({ input: [USER, { role: "user", content }] });
  test.each<{ changed: JsonObject; problem: string }>([
    { changed: { model: undefined }, problem: "invalid_value model" },
    { changed: { model: "" }, problem: "invalid_value model" },
    { changed: { input: undefined }, problem: "invalid_value input" },
    { changed: { input: null }, problem: "invalid_value input" },
    { changed: { input: 3 }, problem: "invalid_value input" },
    { changed: { input: [] }, problem: "invalid_value input" },
    { changed: { input: ["hi"] }, problem: "invalid_value input.0" },
    { changed: { input: [null] }, problem: "invalid_value input.0" },
    { changed: { input: [{ type: "reasoning" }] }, problem: "invalid_value input" },
    { changed: { input: [{ role: "tool", content: "x" }] }, problem: "invalid_value input.0.role" },
    { changed: { input: [{ role: "user" }] }, problem: "invalid_value input.0.content" },
    { changed: { input: [USER, { type: "item_reference", id: "x" }] }, problem: "unsupported_value input.1.type" },
    { changed: { input: [{ type: "web_search_call", id: "x" }] }, problem: "unsupported_value input.0.type" },
    { changed: said({ type: "input_text" }), problem: "invalid_value input.1.content.0.text" },
    {
      changed: said({ type: "input_text", text: "a" }, { type: "input_file", file_id: "f" }),
      problem: "unsupported_value input.1.content.1.type",
    },
    {
      changed: said({ type: "input_image", image_url: "https://x.test/a.png" }),
      problem: "invalid_value input.1.content.0.image_url",
    },
    {
      changed: said({ type: "input_image", image_url: "file:///etc/passwd" }),
      problem: "invalid_value input.1.content.0.image_url",
    },
    {
      changed: said({ type: "input_image", file_id: "f" }),
      problem: "invalid_value input.1.content.0.image_url",
    },
    {
      changed: { input: [{ type: "function_call", call_id: "a", name: "f", arguments: {} }] },
      problem: "invalid_value input.0.arguments",
    },
    {
      changed: { input: [USER, { type: "function_call_output", call_id: "a", output: "1" }] },
      problem: "invalid_value input.1.call_id",
    },
    {
      changed: {
        input: [
          { type: "function_call", call_id: "a", name: "f", arguments: "{}" },
          { type: "function_call_output", call_id: "a", output: [{ type: "input_image", image_url: "http://x" }] },
        ],
      },
      problem: "invalid_value input.1.output.0.image_url",
    },
    { changed: { tools: [{ type: "web_search" }] }, problem: "unsupported_value tools.0.type" },
    { changed: { tools: [TOOL, { type: "mcp" }] }, problem: "unsupported_value tools.1.type" },
    { changed: { tools: [{ type: "custom", name: "c" }] }, problem: "unsupported_value tools.0.type" },
    { changed: { tools: [{ type: "function" }] }, problem: "invalid_value tools.0.name" },
    // Chat's shape.
    { changed: { tools: [{ type: "function", function: { name: "f" } }] }, problem: "invalid_value tools.0.name" },
    { changed: { tools: [TOOL], tool_choice: "some" }, problem: "invalid_value tool_choice" },
    { changed: { tools: [TOOL], tool_choice: { type: "mcp" } }, problem: "unsupported_value tool_choice.type" },
    { changed: { tool_choice: "required" }, problem: "invalid_value tool_choice" },
    {
      changed: {
        tools: [TOOL],
        tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "g" }] },
      },
      problem: "invalid_value tool_choice",
    },
    { changed: { text: { format: { type: "grammar" } } }, problem: "unsupported_value text.format.type" },
    { changed: { text: { format: { type: "json_schema", schema: {} } } }, problem: "invalid_value text.format.name" },
    { changed: { reasoning: { effort: "some" } }, problem: "invalid_value reasoning.effort" },
    { changed: { temperature: 3 }, problem: "invalid_value temperature" },
    { changed: { top_p: -1 }, problem: "invalid_value top_p" },
    { changed: { max_output_tokens: 0 }, problem: "invalid_value max_output_tokens" },
    { changed: { top_logprobs: 21 }, problem: "invalid_value top_logprobs" },
    { changed: { stream: "yes" }, problem: "invalid_value stream" },
    { changed: { truncation: "some" }, problem: "invalid_value truncation" },
    { changed: { metadata: { a: 1 } }, problem: "invalid_value metadata.a" },
    {
      changed: { metadata: Object.fromEntries(Array.from({ length: 17 }, (_, at) => [`k${at}`, ""])) },
      problem: "invalid_value metadata",
    },
    { changed: { metadata: { ["k".repeat(999)]: "" } }, problem: `invalid_value metadata.${"k".repeat(55)}` },
    { changed: { previous_response_id: "resp_1" }, problem: "unsupported_value previous_response_id" },
    { changed: { previous_response: {} }, problem: "unsupported_value previous_response" },
    { changed: { conversation: "conv_1" }, problem: "unsupported_value conversation" },
    { changed: { background: true }, problem: "unsupported_value background" },
    { changed: { prompt: { id: "pmpt_1" } }, problem: "unsupported_value prompt" },
    { changed: { context_management: [] }, problem: "unsupported_value context_management" },
    { changed: { moderation: {} }, problem: "unsupported_value moderation" },
    { changed: { messages: [USER] }, problem: "unsupported_value messages" },
    { changed: { max_tokens: 5 }, problem: "unsupported_value max_tokens" },
    { changed: { response_format: {} }, problem: "unsupported_value response_format" },
    { changed: { structured_outputs: {} }, problem: "unsupported_value structured_outputs" },
    { changed: { priority: 1 }, problem: "unsupported_value priority" },
    { changed: { cache_salt: "x" }, problem: "unsupported_value cache_salt" },
    { changed: { request_id: "x" }, problem: "unsupported_value request_id" },
    { changed: { ignore_eos: true }, problem: "unsupported_value ignore_eos" },
  ])("$changed", ({ changed, problem }) => {
    expect(problemOf(changed)).toBe(problem);
  });
});

test.each([
  { param: "messages", own: "input" },
  { param: "messages.3.content", own: "input.3.content" },
  { param: "max_completion_tokens", own: "max_output_tokens" },
  { param: "max_tokens", own: "max_output_tokens" },
  { param: "response_format.json_schema", own: "text.format.json_schema" },
  { param: "temperature", own: "temperature" },
  { param: null, own: null },
])("a problem with $param is one with $own", ({ param, own }) => {
  const problem = new Problem("invalid_value", { param, message: `${param} is wrong`, retryAfterS: 3 });
  const renamed = inOwnWords(problem);
  expect(renamed.facts).toMatchObject({ param: own, retryAfterS: 3 });
  expect(renamed.code).toBe("invalid_value");
  expect(renamed.message).not.toMatch(/max_(completion_)?tokens/);
});
