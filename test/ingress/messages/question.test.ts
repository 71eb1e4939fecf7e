import { describe, expect, test } from "vitest";
import { countQuestion, messagesQuestion } from "#src/ingress/messages/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

const ID = "0190a1b2-0000-7000-8000-000000000000";
const HI = [{ role: "user", content: "hi" }];
const PIXEL = { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" };
const SHOWN = { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } };
const WEATHER = { name: "weather", description: "of a city", input_schema: { type: "object", properties: {} } };
const FUNCTION = {
  type: "function",
  function: { name: "weather", description: "of a city", parameters: { type: "object", properties: {} } },
};
const USE = { type: "tool_use", id: "t1", name: "weather", input: { city: "Ulm" } };
const CALL = { id: "t1", type: "function", function: { name: "weather", arguments: '{"city":"Ulm"}' } };

const ask = (more: JsonObject) => messagesQuestion({ model: "m", max_tokens: 9, messages: HI, ...more }, ID);
const turns = (messages: unknown) => ask({ messages }).body.messages;
const result = (more: object) => [{ role: "user", content: [{ type: "tool_result", tool_use_id: "t1", ...more }] }];

describe("messages as chat has them", () => {
  test.each<{ name: string; messages: unknown; chat: unknown }>([
    { name: "a text", messages: HI, chat: HI },
    {
      name: "one block of text is that text",
      messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
      chat: HI,
    },
    {
      name: "several blocks stay parts, a picture becomes a data URL, cache marks are left out",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "what is", cache_control: { type: "ephemeral" } },
            { type: "image", source: PIXEL },
          ],
        },
      ],
      chat: [{ role: "user", content: [{ type: "text", text: "what is" }, SHOWN] }],
    },
    {
      name: "an empty content is an empty text",
      messages: [{ role: "user", content: [] }],
      chat: [{ role: "user", content: "" }],
    },
    {
      name: "a system message in between",
      messages: [...HI, { role: "system", content: "be brief" }, ...HI],
      chat: [...HI, { role: "system", content: "be brief" }, ...HI],
    },
    {
      name: "a tool's use; thinking of before is left out",
      messages: [
        ...HI,
        {
          role: "assistant",
          content: [
            { type: "thinking", thinking: "hm", signature: "s" },
            { type: "redacted_thinking", data: "x" },
            { type: "text", text: "let me " },
            { type: "text", text: "see" },
            USE,
          ],
        },
        ...HI,
      ],
      chat: [...HI, { role: "assistant", content: "let me see", tool_calls: [CALL] }, ...HI],
    },
    {
      name: "a tool's use alone has no text",
      messages: [{ role: "assistant", content: [USE] }, ...HI],
      chat: [{ role: "assistant", content: null, tool_calls: [CALL] }, ...HI],
    },
    {
      name: "a tool's result",
      messages: result({ content: "sun" }),
      chat: [{ role: "tool", tool_call_id: "t1", content: "sun" }],
    },
    { name: "a result of nothing", messages: result({}), chat: [{ role: "tool", tool_call_id: "t1", content: "" }] },
    {
      name: "a result that is an error says so",
      messages: result({ content: [{ type: "text", text: "gone" }], is_error: true }),
      chat: [{ role: "tool", tool_call_id: "t1", content: "Error: gone" }],
    },
    {
      name: "results come first, and a picture among them is shown by the user",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "here" },
            {
              type: "tool_result",
              tool_use_id: "t1",
              content: [
                { type: "text", text: "a map" },
                { type: "image", source: PIXEL },
              ],
            },
            { type: "tool_result", tool_use_id: "t2", content: "rain" },
          ],
        },
      ],
      chat: [
        { role: "tool", tool_call_id: "t1", content: "a map" },
        { role: "tool", tool_call_id: "t2", content: "rain" },
        { role: "user", content: [{ type: "text", text: "here" }, SHOWN] },
      ],
    },
  ])("$name", ({ messages, chat }) => {
    expect(turns(messages)).toEqual(chat);
  });

  test("the system prompt is the first message, its parts joined", () => {
    expect(ask({ system: "be kind" }).body.messages).toEqual([{ role: "system", content: "be kind" }, ...HI]);
    const system = [
      { type: "text", text: "be " },
      { type: "text", text: "kind", cache_control: { type: "ephemeral" } },
    ];
    expect(ask({ system }).body.messages).toEqual([{ role: "system", content: "be kind" }, ...HI]);
  });
});

describe("options as chat has them", () => {
  const NAMED = { type: "function", function: { name: "weather" } };
  test.each<{ name: string; more: JsonObject; chat: JsonObject }>([
    { name: "none", more: {}, chat: {} },
    {
      name: "nulls are none",
      more: { stop_sequences: null, temperature: null, tools: null, tool_choice: null },
      chat: {},
    },
    {
      name: "sampling and stops",
      more: { stop_sequences: ["END", "\n\n"], temperature: 0, top_p: 0.5, top_k: 40 },
      chat: { stop: ["END", "\n\n"], temperature: 0, top_p: 0.5, top_k: 40 },
    },
    { name: "the user", more: { metadata: { user_id: "u-1" } }, chat: { user: "u-1" } },
    { name: "a stream", more: { stream: true }, chat: { stream: true } },
    { name: "tools", more: { tools: [WEATHER] }, chat: { tools: [FUNCTION] } },
    {
      name: "a tool of type custom, strict",
      more: { tools: [{ ...WEATHER, type: "custom", strict: true, cache_control: { type: "ephemeral" } }] },
      chat: { tools: [{ ...FUNCTION, function: { ...FUNCTION.function, strict: true } }] },
    },
    { name: "no tools at all", more: { tools: [] }, chat: {} },
    ...[
      { choice: { type: "auto" }, tool_choice: "auto" },
      { choice: { type: "any" }, tool_choice: "required" },
      { choice: { type: "none" }, tool_choice: "none" },
      { choice: { type: "tool", name: "weather" }, tool_choice: NAMED },
    ].map(({ choice, tool_choice }) => ({
      name: `the choice ${choice.type}`,
      more: { tools: [WEATHER], tool_choice: choice },
      chat: { tools: [FUNCTION], tool_choice },
    })),
    {
      name: "one tool at a time",
      more: { tools: [WEATHER], tool_choice: { type: "auto", disable_parallel_tool_use: true } },
      chat: { tools: [FUNCTION], tool_choice: "auto", parallel_tool_calls: false },
    },
    {
      name: "a form of the answer",
      more: { output_config: { format: { type: "json_schema", schema: { type: "object" } }, effort: "low" } },
      chat: { response_format: { type: "json_schema", json_schema: { name: "output", schema: { type: "object" } } } },
    },
    { name: "thinking, of any kind", more: { thinking: { type: "enabled", budget_tokens: 1_024 } }, chat: {} },
    { name: "what it does not know", more: { speed: "fast", inference_geo: "eu", betas: ["x"], n: 9 }, chat: {} },
  ])("$name", ({ more, chat }) => {
    expect(ask(more).body).toEqual({ model: "m", max_tokens: 9, messages: HI, ...chat });
  });

  test("a last message of the assistant's is gone on from", () => {
    const messages = [...HI, { role: "assistant", content: "I am" }];
    expect(ask({ messages }).body).toMatchObject({
      messages,
      continue_final_message: true,
      add_generation_prompt: false,
    });
  });
});

test("the question is one of chat, in the words of messages", () => {
  expect(ask({ stream: true })).toMatchObject({
    route: "chat",
    model: "m",
    stream: true,
    wantsUsage: true,
    needs: null,
  });
  expect(ask({})).toMatchObject({ stream: false, wantsUsage: false, wording: { protocol: "messages" } });
});

describe("for hosts that speak the protocol", () => {
  test("the question is as it was written, without what is not in the protocol or is not theirs to know", () => {
    const more = { system: "be kind", tools: [WEATHER], tool_choice: { type: "any" }, temperature: 0, top_k: null };
    const secret = { metadata: { user_id: "u" }, betas: ["x"], kind: 1 };
    expect(ask({ ...more, ...secret }).original).toEqual({
      model: "m",
      max_tokens: 9,
      messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
      system: [{ type: "text", text: "be kind" }],
      tools: [WEATHER],
      tool_choice: { type: "any" },
      temperature: 0,
    });
  });

  test.each<{ name: string; more: JsonObject }>([
    { name: "goes on from its beginning", more: { messages: [...HI, { role: "assistant", content: "I am" }] } },
    { name: "has a form", more: { output_config: { format: { type: "json_schema", schema: {} } } } },
    { name: "ends at strings", more: { stop_sequences: ["x"] } },
    {
      name: "calls one tool at a time",
      more: { tools: [WEATHER], tool_choice: { type: "any", disable_parallel_tool_use: true } },
    },
  ])("an answer that $name is asked for in chat everywhere", ({ more }) => {
    expect(ask(more).original).toBeNull();
  });
});

describe("what is wrong is named", () => {
  const user = (block: object) => ({ messages: [{ role: "user", content: [block] }] });
  const block = "messages.0.content.0";
  test.each<{ name: string; more: JsonObject; param: string; code?: string }>([
    { name: "no bound on tokens", more: { max_tokens: undefined }, param: "max_tokens" },
    { name: "a bound of nothing", more: { max_tokens: 0 }, param: "max_tokens" },
    { name: "a bound of another type", more: { max_tokens: "9" }, param: "max_tokens" },
    { name: "no model", more: { model: undefined }, param: "model" },
    { name: "no messages", more: { messages: [] }, param: "messages" },
    { name: "messages of another type", more: { messages: "hi" }, param: "messages" },
    {
      name: "a role that there is not",
      more: { messages: [{ role: "tool", content: "x" }] },
      param: "messages.0.role",
    },
    {
      name: "a content of another type",
      more: { messages: [{ role: "user", content: 7 }] },
      param: "messages.0.content",
    },
    { name: "a text of another type", more: user({ type: "text", text: 7 }), param: `${block}.text` },
    { name: "a block that there is not", more: user({ type: "hologram" }), param: `${block}.type` },
    {
      name: "a document",
      more: user({ type: "document", source: { type: "url", url: "http://10.0.0.1" } }),
      param: `${block}.type`,
    },
    {
      name: "a picture by URL",
      more: user({ type: "image", source: { type: "url", url: "http://10.0.0.1/" } }),
      param: `${block}.source.type`,
    },
    {
      name: "a picture by file",
      more: user({ type: "image", source: { type: "file", file_id: "f" } }),
      param: `${block}.source.type`,
    },
    {
      name: "a picture that is no base64",
      more: user({ type: "image", source: { ...PIXEL, data: "http://x/" } }),
      param: `${block}.source.data`,
    },
    {
      name: "a picture of another kind",
      more: user({ type: "image", source: { ...PIXEL, media_type: "text/html" } }),
      param: `${block}.source.media_type`,
    },
    { name: "a tool's use by the user", more: user(USE), param: `${block}.type` },
    {
      name: "a result without its use",
      more: user({ type: "tool_result", content: "x" }),
      param: `${block}.tool_use_id`,
    },
    {
      name: "a picture by URL within a result",
      more: { messages: result({ content: [{ type: "image", source: { type: "url", url: "http://x" } }] }) },
      param: `${block}.content.0.source.type`,
    },
    {
      name: "a use by a server",
      more: { messages: [{ role: "assistant", content: [{ type: "server_tool_use" }] }] },
      param: `${block}.type`,
    },
    { name: "a system prompt of another type", more: { system: [{ type: "image" }] }, param: "system.0.type" },
    {
      name: "a tool of a server",
      more: { tools: [{ type: "web_search_20260209", name: "web_search" }] },
      param: "tools.0.type",
    },
    { name: "a tool without a schema", more: { tools: [{ name: "x" }] }, param: "tools.0.input_schema" },
    { name: "a tool with a name of blanks", more: { tools: [{ ...WEATHER, name: "a b" }] }, param: "tools.0.name" },
    { name: "two tools of one name", more: { tools: [WEATHER, WEATHER] }, param: "tools.1.name" },
    {
      name: "a choice that there is not",
      more: { tools: [WEATHER], tool_choice: { type: "all" } },
      param: "tool_choice.type",
    },
    { name: "a choice without tools", more: { tool_choice: { type: "any" } }, param: "tool_choice" },
    {
      name: "a choice of a tool that there is not",
      more: { tools: [WEATHER], tool_choice: { type: "tool", name: "x" } },
      param: "tool_choice.name",
    },
    { name: "too warm", more: { temperature: 3 }, param: "temperature" },
    { name: "too many stops", more: { stop_sequences: Array(17).fill("x") }, param: "stop_sequences" },
    { name: "an empty stop", more: { stop_sequences: [""] }, param: "stop_sequences.0" },
    { name: "a stream of another type", more: { stream: "yes" }, param: "stream" },
    ...[
      "mcp_servers",
      "container",
      "context_management",
      "chat_template_kwargs",
      "kv_transfer_params",
      "cache_salt",
      "priority",
    ].map((param) => ({ name: param, more: { [param]: {} }, param, code: "unsupported_value" })),
  ])("$name", ({ more, param, code = "invalid_value" }) => {
    const thrown = thrownBy(() => ask(more));
    expect(thrown).toBeInstanceOf(Problem);
    expect(thrown).toMatchObject({ code, status: 400, facts: { param, message: expect.stringContaining(param) } });
  });
});

test("a question to be counted needs no bound, and is its prompt", () => {
  const { body, original } = countQuestion({ model: "m", messages: HI, tools: [WEATHER], temperature: 9 }, ID);
  expect(body).toEqual({ model: "m", messages: HI, tools: [FUNCTION] });
  expect(original).toMatchObject({ model: "m", tools: [WEATHER] });
  expect(thrownBy(() => countQuestion({ model: "m" }, ID))).toMatchObject({ facts: { param: "messages" } });
});

function thrownBy(work: () => unknown): unknown {
  try {
    return work();
  } catch (thrown) {
    return thrown;
  }
}
