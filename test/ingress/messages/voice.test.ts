import { describe, expect, test } from "vitest";
import { messageOf, type Saying } from "#src/ingress/messages/to-message.ts";
import { MessagesVoice } from "#src/ingress/messages/voice.ts";
import { Problem } from "#src/problem.ts";
import { EventSplitter, eventOf, fieldsOf } from "#src/sse.ts";
import { BrokenStream } from "#src/upstream/answer-stream.ts";
import { textOf, utf8 } from "#test/sse/chunking.ts";

const SAYING: Saying = { requestId: "r", model: "m", stopSequences: ["END"], showsThinking: true };
const usage = { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 8 } };
const spent = { input_tokens: 4, cache_creation_input_tokens: 0, cache_read_input_tokens: 8, output_tokens: 3 };

const chunk = (delta: object, more: object = {}) => ({ choices: [{ index: 0, delta, finish_reason: null, ...more }] });
const call = (index: number, called: object, id?: string) => chunk({ tool_calls: [{ index, id, function: called }] });
const finish = (reason: string, more: object = {}) => chunk({}, { finish_reason: reason, ...more });

/** What is said of these chunks and the end of the stream, as documents; each event is named by its type. */
function said(chunks: readonly object[], saying: Partial<Saying> = {}): Record<string, unknown>[] {
  const voice = new MessagesVoice({ ...SAYING, ...saying });
  const events = [...chunks.map((one) => JSON.stringify(one)), "[DONE]"].map((data) => voice.say(eventOf(data)));
  return [...new EventSplitter().push(utf8(textOf(...events.map((event) => event ?? new Uint8Array(0)))))].map(
    (event) => {
      const { name, data } = fieldsOf(event);
      const document = JSON.parse(data ?? "");
      expect(name).toBe(document.type);
      return document;
    },
  );
}

const types = (documents: readonly Record<string, unknown>[]) => documents.map(({ type }) => type);
const start = (index: number, content_block: object) => ({ type: "content_block_start", index, content_block });
const delta = (index: number, piece: object) => ({ type: "content_block_delta", index, delta: piece });
const stop = (index: number) => ({ type: "content_block_stop", index });
const TEXT = { type: "text", text: "" };

describe("a stream", () => {
  test("of text is a message from its start to its stop, with what it cost", () => {
    const chunks = [
      { ...chunk({ role: "assistant", content: "" }), usage: { prompt_tokens: 12, completion_tokens: 0 } },
      { ...chunk({ content: "he" }), usage: { prompt_tokens: 12, completion_tokens: 1 } },
      chunk({ content: "y" }),
      finish("stop", { stop_reason: null }),
      { choices: [], usage },
    ];
    expect(said(chunks)).toEqual([
      {
        type: "message_start",
        message: {
          id: "msg_r",
          type: "message",
          role: "assistant",
          model: "m",
          content: [],
          stop_reason: null,
          stop_sequence: null,
          usage: { input_tokens: 12, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 },
        },
      },
      start(0, TEXT),
      delta(0, { type: "text_delta", text: "he" }),
      delta(0, { type: "text_delta", text: "y" }),
      stop(0),
      { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: spent },
      { type: "message_stop" },
    ]);
  });

  test("llama.cpp tells the prompt's tokens with the first content: its start waits for them", () => {
    const timings = { prompt_n: 4, cache_n: 8, predicted_n: 1 };
    const [began] = said([
      chunk({ role: "assistant", content: null }),
      { ...chunk({ content: "he" }), timings },
      finish("stop"),
    ]);
    expect(began).toMatchObject({ message: { usage: { input_tokens: 4, cache_read_input_tokens: 8 } } });
  });

  test("of reasoning, text and two calls has a block for each, one after the other", () => {
    const documents = said([
      chunk({ reasoning_content: "h" }),
      chunk({ reasoning: "m" }),
      chunk({ content: "so" }),
      call(0, { name: "a", arguments: "" }, "t1"),
      call(0, { arguments: '{"x":' }),
      call(0, { arguments: "1}" }),
      call(1, { name: "b", arguments: "{}" }),
      finish("tool_calls"),
    ]);
    expect(documents.slice(1, -1)).toEqual([
      start(0, { type: "thinking", thinking: "", signature: "" }),
      delta(0, { type: "thinking_delta", thinking: "h" }),
      delta(0, { type: "thinking_delta", thinking: "m" }),
      stop(0),
      start(1, TEXT),
      delta(1, { type: "text_delta", text: "so" }),
      stop(1),
      start(2, { type: "tool_use", id: "t1", name: "a", input: {} }),
      delta(2, { type: "input_json_delta", partial_json: '{"x":' }),
      delta(2, { type: "input_json_delta", partial_json: "1}" }),
      stop(2),
      start(3, { type: "tool_use", id: "toolu_r_1", name: "b", input: {} }),
      delta(3, { type: "input_json_delta", partial_json: "{}" }),
      stop(3),
      expect.objectContaining({ delta: { stop_reason: "tool_use", stop_sequence: null } }),
    ]);
  });

  test("of nothing is an empty message", () => {
    expect(types(said([finish("stop")]))).toEqual(["message_start", "message_delta", "message_stop"]);
  });

  test("says no thinking to who does not want it", () => {
    const documents = said([chunk({ reasoning_content: "hm" }), chunk({ content: "so" }), finish("stop")], {
      showsThinking: false,
    });
    expect(documents[1]).toEqual(start(0, TEXT));
    expect(JSON.stringify(documents)).not.toContain("thinking");
  });

  test("passes comments as they are, and has nothing to say of roles and counts", () => {
    const voice = new MessagesVoice(SAYING);
    expect(textOf(voice.say(utf8(": ping\n\n")) ?? new Uint8Array(0))).toBe(": ping\n\n");
    expect(voice.say(eventOf(JSON.stringify(chunk({ role: "assistant", content: "" }))))).toBeNull();
    expect(voice.say(eventOf(JSON.stringify({ choices: [], usage })))).toBeNull();
  });

  test.each([
    { name: "a call without a name", chunks: [call(0, { arguments: "{}" })] },
    {
      name: "a call that goes on after another began",
      chunks: [call(0, { name: "a" }), call(1, { name: "b" }), call(0, { arguments: "{}" })],
    },
    { name: "an event that is an error", chunks: [{ error: { message: "x" } }] },
  ])("cannot be said of $name", ({ chunks }) => {
    expect(() => said(chunks)).toThrow(BrokenStream);
  });

  test.each<{ code: "upstream_error" | "host_busy" | "next_token_timeout"; type: string }>([
    { code: "upstream_error", type: "api_error" },
    { code: "host_busy", type: "overloaded_error" },
    { code: "next_token_timeout", type: "timeout_error" },
  ])("that fails by $code ends in one error event: $type", ({ code, type }) => {
    const { name, data } = fieldsOf(new MessagesVoice(SAYING).fail(new Problem(code, { message: "it broke" })));
    expect(name).toBe("error");
    expect(JSON.parse(data ?? "")).toEqual({ type: "error", error: { type, message: "it broke" }, request_id: "r" });
  });
});

describe("why it stopped", () => {
  test.each<{
    name: string;
    reason: string;
    matched?: unknown;
    calls?: boolean;
    stop_reason: string;
    stop_sequence?: string;
  }>([
    { name: "by itself", reason: "stop", stop_reason: "end_turn" },
    { name: "a token that ends it", reason: "stop", matched: 128_009, stop_reason: "end_turn" },
    {
      name: "a string of the caller's",
      reason: "stop",
      matched: "END",
      stop_reason: "stop_sequence",
      stop_sequence: "END",
    },
    { name: "a string of somebody else's", reason: "stop", matched: "</s>", stop_reason: "end_turn" },
    { name: "the bound", reason: "length", stop_reason: "max_tokens" },
    { name: "the bound, within a call", reason: "length", calls: true, stop_reason: "max_tokens" },
    { name: "a call", reason: "tool_calls", calls: true, stop_reason: "tool_use" },
    { name: "a call that was forced by name", reason: "stop", calls: true, stop_reason: "tool_use" },
    { name: "a filter", reason: "content_filter", stop_reason: "refusal" },
    { name: "a reason that is new", reason: "abort", stop_reason: "end_turn" },
  ])("$name: $stop_reason, streamed and whole", ({ reason, matched, calls, stop_reason, stop_sequence = null }) => {
    const tool_calls = [{ index: 0, id: "t", function: { name: "a", arguments: "{}" } }];
    const streamed = said([...(calls ? [chunk({ tool_calls })] : []), finish(reason, { stop_reason: matched })]);
    expect(streamed.at(-2)).toMatchObject({ delta: { stop_reason, stop_sequence } });
    const message = calls ? { content: "", tool_calls } : { content: "x" };
    const whole = messageOf({ choices: [{ message, finish_reason: reason, stop_reason: matched }] }, SAYING);
    expect(whole).toMatchObject({ stop_reason, stop_sequence });
  });
});

describe("a whole answer", () => {
  const whole = (message: object, more: object = {}, saying: Partial<Saying> = {}) =>
    messageOf({ choices: [{ message, finish_reason: "stop", ...more }], usage }, { ...SAYING, ...saying });
  const calling = (args: unknown) => ({ tool_calls: [{ id: "t1", function: { name: "a", arguments: args } }] });

  test("is a message with a block for each part", () => {
    expect(whole({ reasoning: "hm", content: "so", ...calling('{"x":1}') }, { finish_reason: "tool_calls" })).toEqual({
      id: "msg_r",
      type: "message",
      role: "assistant",
      model: "m",
      content: [
        { type: "thinking", thinking: "hm", signature: "" },
        { type: "text", text: "so" },
        { type: "tool_use", id: "t1", name: "a", input: { x: 1 } },
      ],
      stop_reason: "tool_use",
      stop_sequence: null,
      usage: spent,
    });
  });

  test.each<{ name: string; message: object; content: object[]; more?: object; saying?: Partial<Saying> }>([
    { name: "nothing", message: { content: null }, content: [] },
    {
      name: "thinking that nobody wants",
      message: { reasoning: "hm", content: "so" },
      content: [{ type: "text", text: "so" }],
      saying: { showsThinking: false },
    },
    {
      name: "a call of nothing",
      message: calling(""),
      content: [{ type: "tool_use", id: "t1", name: "a", input: {} }],
    },
    {
      name: "a call that was cut short",
      message: calling('{"x":'),
      content: [{ type: "tool_use", id: "t1", name: "a", input: {} }],
      more: { finish_reason: "length" },
    },
  ])("of $name", ({ message, content, more, saying }) => {
    expect(whole(message, more, saying).content).toEqual(content);
  });

  test.each(["{", "[]", "7", "null"])("whose call holds %s is a failure of the host", (args) => {
    expect(() => whole(calling(args), { finish_reason: "tool_calls" })).toThrow(
      expect.objectContaining({ code: "upstream_error" }),
    );
  });

  test("without counts costs nothing that is known", () => {
    expect(messageOf({ choices: [] }, SAYING).usage).toEqual({
      ...spent,
      input_tokens: 0,
      cache_read_input_tokens: 0,
      output_tokens: 0,
    });
  });
});
