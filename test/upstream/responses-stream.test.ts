import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { responsesShape } from "#scripts/lab/vllm/responses-shape.ts";
import { concat } from "#src/bytes.ts";
import { responsesQuestion } from "#src/ingress/responses/question.ts";
import type { JsonObject } from "#src/json.ts";
import { MAX_EVENT_BYTES } from "#src/sse.ts";
import { chatAnswer } from "#src/upstream/responses.ts";
import { ResponsesStream } from "#src/upstream/responses-stream.ts";
import { cuts, textOf, utf8 } from "#test/sse/chunking.ts";
import { dialect, NOW_MS, question, REQUEST_ID } from "./asked.ts";
import { PROMPT_TOKENS, steps, TRICKY, wire } from "./transcripts.ts";

const OWN = { engine: "vllm", offers: ["responses"] };
const ask = (more: JsonObject = {}) =>
  responsesQuestion({ model: "m", input: "hi", ...more }, REQUEST_ID, NOW_MS / 1e3);

describe("a host is asked in the caller's own protocol where it has it and can do all that is asked there", () => {
  test.each([
    { name: "a host that offers it", host: OWN, asked: ask(), path: "/v1/responses" },
    { name: "a service that offers it", host: { ...OWN, engine: "openai" }, asked: ask(), path: "/v1/responses" },
    { name: "one that does not", host: { engine: "vllm" }, asked: ask(), path: "/v1/chat/completions" },
    {
      name: "one that has no such routes",
      host: { engine: "llamacpp", native: true, offers: ["responses"] },
      asked: ask(),
      path: "/completion",
    },
    {
      name: "a part of an answer that others have begun",
      host: OWN,
      asked: { ...ask(), original: null },
      path: "/v1/chat/completions",
    },
    {
      name: "instructions that its events may repeat",
      host: OWN,
      asked: ask({ instructions: "x".repeat(60_000) }),
      path: "/v1/responses",
    },
    {
      name: "longer ones than its events may repeat",
      host: OWN,
      asked: ask({ instructions: "x".repeat(70_000) }),
      path: "/v1/chat/completions",
    },
    { name: "a question in chat", host: OWN, asked: question("chat"), path: "/v1/chat/completions" },
    ...["seed", "top_k", "frequency_penalty"].map((option) => ({
      name: `a ${option}, which this route lacks at some engines`,
      host: OWN,
      asked: ask({ [option]: 1 }),
      path: "/v1/chat/completions",
    })),
  ])("$name: $path", ({ host, asked, path }) => {
    expect(dialect(host, asked).path).toBe(path);
  });

  test("the caller's document, the model's name there, within the caps, kept nowhere", () => {
    const asked = ask({ instructions: "be brief", store: true, max_output_tokens: 90, metadata: { a: "b" } });
    const capped = { ...asked, body: { ...asked.body, max_completion_tokens: 50 } };
    expect(dialect(OWN, capped).body).toEqual({
      model: "org/m",
      input: "hi",
      instructions: "be brief",
      metadata: { a: "b" },
      max_output_tokens: 50,
      store: false,
      stream: false,
    });
    const unbounded = ask();
    expect(dialect(OWN, unbounded).body).toEqual({ model: "org/m", input: "hi", store: false, stream: false });
    const bounded = { ...unbounded, body: { ...unbounded.body, max_tokens: 7 } };
    expect(dialect(OWN, bounded).body).toMatchObject({ max_output_tokens: 7 });
  });
});

const shape = (call: { name: string; arguments: string; named: boolean } | null = null) =>
  responsesShape({ id: "1", model: "org/m", createdS: 1, body: {}, maxTokens: 40, call });
const CALL = { name: "look", arguments: TRICKY, named: false };

/** What passes, and the stream. */
function pass(...chunks: readonly Uint8Array[]): { text: string; stream: ResponsesStream } {
  const stream = new ResponsesStream();
  stream.keepText(1_000);
  const passed = chunks.map((chunk) => (stream.broken === null ? stream.push(chunk) : null));
  return { text: textOf(...passed.filter((part) => part !== null)), stream };
}

test.each([
  { name: "a text", call: null, said: TRICKY, finishReason: "stop" },
  { name: "a call", call: CALL, said: "", finishReason: "tool_calls" },
])(
  "$name, however it is cut: the same bytes, the usage, a good end; nothing behind it",
  ({ call, said, finishReason }) => {
    const made = steps(shape(call));
    const whole = wire(made);
    fc.assert(
      fc.property(cuts, (cut) => {
        const { text, stream } = pass(...cut(utf8(`${whole}event: late\ndata: {"type":"late"}\n\n`)));
        expect(text).toBe(whole);
        expect(stream.text).toBe(said);
        expect(stream.broken).toBeNull();
        expect(stream.endedWell).toBe(true);
        expect(stream.tally).toMatchObject({
          promptTokens: PROMPT_TOKENS,
          completionTokens: made.at(-1)?.completionTokens,
          cachedTokens: 3,
          finishReason,
        });
      }),
      { numRuns: 100 },
    );
  },
);

test("left anywhere, the pieces until then are counted, and there is content only once there was one", () => {
  const stream = new ResponsesStream();
  for (const { bytes, completionTokens } of steps(shape()).slice(0, -1)) {
    stream.push(utf8(bytes));
    expect(stream.hasContent).toBe(completionTokens > 0);
    expect(stream.tally.contentPieces).toBe(completionTokens);
  }
  expect(stream.endedWell).toBe(false);
  expect(stream.seam()).toBeNull();
});

const event = (type: string, members: object): string =>
  `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;
const delta = event("response.output_text.delta", { delta: "hi" });
const USAGE = { input_tokens: 5, output_tokens: 2, total_tokens: 7 };

describe("how it ends", () => {
  test.each([
    { name: "completed", type: "response.completed", response: { status: "completed" }, reason: "stop" },
    { name: "incomplete", type: "response.incomplete", response: { status: "incomplete" }, reason: "length" },
    {
      name: "cut short under the other name",
      type: "response.completed",
      response: { status: "incomplete" },
      reason: "length",
    },
    {
      name: "filtered",
      type: "response.incomplete",
      response: { status: "incomplete", incomplete_details: { reason: "content_filter" } },
      reason: "content_filter",
    },
    {
      name: "with calls",
      type: "response.completed",
      response: { status: "completed", output: [{ type: "function_call" }] },
      reason: "tool_calls",
    },
  ])("well: $name", ({ type, response, reason }) => {
    const last = event(type, { response: { ...response, usage: USAGE } });
    const { text, stream } = pass(utf8(`: ping\n\n${delta}${last}`));
    expect(text).toBe(`: ping\n\n${delta}${last}`);
    expect(stream.endedWell).toBe(true);
    expect(stream.tally).toMatchObject({ promptTokens: 5, completionTokens: 2, finishReason: reason });
  });

  const failed = { status: "failed", error: { code: "server_error", message: "m" } };
  test.each([
    { name: "it says that it failed", last: event("response.failed", { response: failed }) },
    { name: "it failed under a good name", last: event("response.completed", { response: failed }) },
    { name: "an error", last: event("error", { code: "x", message: "m" }) },
    { name: "an error without a name", last: 'data: {"error":{"message":"m"}}\n\n' },
    { name: "an end without a response", last: event("response.completed", {}) },
    { name: "chat's last word", last: "data: [DONE]\n\n" },
    { name: "what is no JSON", last: "data: {\n\n" },
    { name: "what is not UTF-8", last: Uint8Array.from([...utf8("data: "), 0xff, ...utf8("\n\n")]) },
    { name: "what has no type", last: "data: {}\n\n" },
    { name: "an event without end", last: `data: ${"x".repeat(MAX_EVENT_BYTES)}` },
  ])("badly: $name, and only what came before it passes", ({ last }) => {
    const { text, stream } = pass(concat([utf8(delta), typeof last === "string" ? utf8(last) : last]));
    expect(text).toBe(delta);
    expect(stream.broken).not.toBeNull();
    expect(stream.endedWell).toBe(false);
  });

  test("badly: without a last event", () => {
    const { stream } = pass(utf8(delta));
    expect(stream.finish()).toBeNull();
  });
});

describe("a whole response as chat's", () => {
  const told = { id: "resp_1", created_at: 7, model: "org/m", status: "completed", usage: USAGE };
  const text = (...texts: string[]) => texts.map((said) => ({ type: "output_text", text: said }));

  test("thoughts, words and calls", () => {
    const output = [
      { type: "reasoning", content: [{ type: "reasoning_text", text: "hm" }] },
      { type: "message", content: text("so ", "be it") },
      { type: "function_call", call_id: "a", name: "f", arguments: "{}" },
    ];
    const details = { input_tokens_details: { cached_tokens: 3 }, output_tokens_details: { reasoning_tokens: 1 } };
    expect(chatAnswer({ ...told, output, usage: { ...USAGE, ...details } })).toEqual({
      id: "resp_1",
      object: "chat.completion",
      created: 7,
      model: "org/m",
      choices: [
        {
          index: 0,
          message: {
            role: "assistant",
            content: "so be it",
            refusal: null,
            reasoning_content: "hm",
            tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "{}" } }],
          },
          logprobs: null,
          finish_reason: "tool_calls",
        },
      ],
      usage: {
        prompt_tokens: 5,
        completion_tokens: 2,
        total_tokens: 7,
        prompt_tokens_details: { cached_tokens: 3 },
        completion_tokens_details: { reasoning_tokens: 1 },
      },
    });
  });

  test("a refusal, cut short, of a host that tells no usage", () => {
    const output = [{ type: "message", content: [{ type: "refusal", refusal: "no" }] }];
    const answer = chatAnswer({ ...told, usage: null, status: "incomplete", output });
    expect(answer).not.toHaveProperty("usage");
    expect(answer).toMatchObject({ choices: [{ message: { content: null, refusal: "no" }, finish_reason: "length" }] });
  });

  test.each([
    { name: "one that failed", document: { ...told, status: "failed", output: [] } },
    { name: "one that is not over", document: { ...told, status: "queued", output: [] } },
    { name: "something else", document: { object: "chat.completion", choices: [] } },
  ])("$name is no answer", ({ document }) => {
    expect(() => chatAnswer(document)).toThrow("holds no answer");
  });
});
