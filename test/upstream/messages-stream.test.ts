import { describe, expect, test } from "vitest";
import { concat } from "#src/bytes.ts";
import type { Host } from "#src/catalog/host.ts";
import { countQuestion, messagesQuestion } from "#src/ingress/messages/question.ts";
import type { JsonObject } from "#src/json.ts";
import { namedEventOf } from "#src/sse.ts";
import { countTokens, mayCount } from "#src/upstream/count-tokens.ts";
import { completionOf, isAskedNatively, messagesRequest } from "#src/upstream/messages.ts";
import { MessagesStream } from "#src/upstream/messages-stream.ts";
import type { Ask } from "#src/upstream/reach.ts";
import { textOf, utf8 } from "#test/sse/chunking.ts";
import { servedBy } from "./asked.ts";

const event = (document: { type: string; [member: string]: unknown }) =>
  textOf(namedEventOf(document.type, JSON.stringify(document)));
const begin = (usage: object) =>
  event({ type: "message_start", message: { id: "a", model: "org/served", content: [], usage } });
const BLOCK = event({ type: "content_block_start", index: 0, content_block: { type: "text", text: "" } });
const piece = (delta: object) => event({ type: "content_block_delta", index: 0, delta });
const HEY = piece({ type: "text_delta", text: "hé" }) + piece({ type: "text_delta", text: "y" });
const CLOSED = event({ type: "content_block_stop", index: 0 });
const stopped = (stop_reason: string | null, usage: object) =>
  event({ type: "message_delta", delta: { stop_reason }, usage });
const STOP = event({ type: "message_stop" });
const PING = event({ type: "ping" });

/** As vLLM and as llama.cpp count. */
const VLLM =
  begin({ input_tokens: 12, output_tokens: 0 }) +
  BLOCK +
  HEY +
  CLOSED +
  stopped("end_turn", { input_tokens: 12, output_tokens: 3 }) +
  STOP;
const LLAMACPP =
  begin({ input_tokens: 4, cache_read_input_tokens: 8, output_tokens: 0 }) +
  PING +
  BLOCK +
  HEY +
  CLOSED +
  stopped("max_tokens", { output_tokens: 3 }) +
  STOP;

function pass(stream: MessagesStream, text: string, every = Number.POSITIVE_INFINITY): string {
  const bytes = utf8(text);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.byteLength; at += every) chunks.push(bytes.slice(at, at + every));
  return textOf(...chunks.map((chunk) => stream.push(chunk) ?? new Uint8Array(0)));
}

describe("a stream of a host's own", () => {
  test.each([
    {
      engine: "vLLM",
      text: VLLM,
      tally: { promptTokens: 12, completionTokens: 3, cachedTokens: null, finishReason: "stop" },
    },
    {
      engine: "llama.cpp",
      text: LLAMACPP,
      tally: { promptTokens: 12, completionTokens: 3, cachedTokens: 8, finishReason: "length" },
    },
  ])("of $engine passes with the caller's name for the model, and is counted, however it is cut", ({ text, tally }) => {
    for (const every of [1, 7, Number.POSITIVE_INFINITY]) {
      const stream = new MessagesStream("m");
      stream.keepText(100);
      expect(pass(stream, text, every)).toBe(text.replace("org/served", "m"));
      expect(stream).toMatchObject({
        protocol: "messages",
        endedWell: true,
        broken: null,
        hasContent: true,
        text: "héy",
      });
      expect(stream.tally).toMatchObject({ ...tally, contentPieces: 2 });
    }
  });

  test("nothing passes behind its end", () => {
    const stream = new MessagesStream("m");
    pass(stream, VLLM);
    expect(pass(stream, `data: [DONE]\n\n${PING}`)).toBe("");
    expect(stream.broken).toBeNull();
  });

  test.each<{ name: string; delta: object; isContent: boolean }>([
    { name: "text", delta: { type: "text_delta", text: "x" }, isContent: true },
    { name: "reasoning", delta: { type: "thinking_delta", thinking: "x" }, isContent: true },
    { name: "a call", delta: { type: "input_json_delta", partial_json: "{" }, isContent: true },
    { name: "nothing", delta: { type: "text_delta", text: "" }, isContent: false },
    { name: "a signature", delta: { type: "signature_delta", signature: "x" }, isContent: false },
  ])("$name is content: $isContent", ({ delta, isContent }) => {
    const stream = new MessagesStream("m");
    pass(stream, begin({}) + PING + BLOCK);
    expect(stream.hasContent).toBe(false);
    pass(stream, piece(delta));
    expect(stream.hasContent).toBe(isContent);
  });

  test("that ends behind its reason to stop is whole, and gets its last event", () => {
    const stream = new MessagesStream("m");
    pass(stream, VLLM.slice(0, -STOP.length));
    expect(textOf(stream.finish() ?? new Uint8Array(0))).toBe(STOP);
    expect(stream.endedWell).toBe(true);
  });

  test.each([
    { name: "before its reason", text: begin({}) + BLOCK + HEY + CLOSED },
    { name: "within a block", text: begin({}) + BLOCK + HEY + stopped("end_turn", {}) },
    { name: "within an event", text: VLLM.slice(0, -STOP.length - 3) },
  ])("that ends $name is not", ({ text }) => {
    const stream = new MessagesStream("m");
    pass(stream, text);
    expect([stream.finish(), stream.endedWell]).toEqual([null, false]);
  });

  test.each([
    { name: "an error event", text: event({ type: "error", error: { type: "x", message: "y" } }) },
    { name: "an error of chat's kind", text: 'data: {"error":{"message":"x"}}\n\n' },
    { name: "a name that is not the type", text: `event: message_stop\ndata: {"type":"message_delta"}\n\n` },
    { name: "no name", text: `data: {"type":"message_stop"}\n\n` },
    { name: "no JSON", text: "event: ping\ndata: {\n\n" },
    { name: "[DONE] in its midst", text: "data: [DONE]\n\n" },
    { name: "a second start", text: begin({}) },
    { name: "a piece of no block", text: event({ type: "content_block_delta", index: 7, delta: {} }) },
    { name: "a stop in its midst", text: STOP },
  ])("breaks on $name; what came before has passed", ({ text }) => {
    const stream = new MessagesStream("m");
    expect(pass(stream, begin({}) + BLOCK + HEY + text)).toBe((begin({}) + BLOCK + HEY).replace("org/served", "m"));
    expect(stream.broken).not.toBeNull();
    expect(stream.endedWell).toBe(false);
  });

  test("breaks on what is not UTF-8, and what came before has passed, also in the same chunk", () => {
    const stream = new MessagesStream("m");
    const before = begin({}) + BLOCK + HEY + CLOSED + stopped("end_turn", {});
    const garbage = concat([utf8("event: ping\ndata: "), new Uint8Array([0xff]), utf8("\n\n")]);
    expect(textOf(stream.push(concat([utf8(before), garbage])) ?? new Uint8Array(0))).toContain("text_delta");
    expect(stream.broken).not.toBeNull();
  });

  test("breaks where it does not begin with a start", () => {
    const stream = new MessagesStream("m");
    expect(pass(stream, BLOCK)).toBe("");
    expect(stream.broken).not.toBeNull();
  });
});

describe("a whole message as chat has it", () => {
  const message = {
    id: "a",
    type: "message",
    model: "org/served",
    content: [
      { type: "thinking", thinking: "hm" },
      { type: "text", text: "so" },
      { type: "tool_use", id: "t1", name: "a", input: { x: 1 } },
    ],
    stop_reason: "tool_use",
    stop_sequence: null,
    usage: { input_tokens: 4, cache_read_input_tokens: 8, output_tokens: 3 },
  };

  test("with every part, and the cache's part of the input in the prompt's tokens", () => {
    expect(completionOf(message)).toEqual({
      id: "a",
      object: "chat.completion",
      model: "org/served",
      choices: [
        {
          index: 0,
          finish_reason: "tool_calls",
          stop_reason: null,
          message: {
            role: "assistant",
            content: "so",
            reasoning_content: "hm",
            tool_calls: [{ id: "t1", type: "function", function: { name: "a", arguments: '{"x":1}' } }],
          },
        },
      ],
      usage: { prompt_tokens: 12, completion_tokens: 3, total_tokens: 15, prompt_tokens_details: { cached_tokens: 8 } },
    });
  });

  test("counts that are not told are left out", () => {
    expect(completionOf({ ...message, usage: { output_tokens: 3 } })).not.toHaveProperty("usage");
  });

  test.each([{ choices: [] }, { type: "message" }, { type: "error", error: {} }])("%o is none", (document) => {
    expect(() => completionOf(document)).toThrow("no message");
  });
});

const ASKED = { model: "m", max_tokens: 9_000, messages: [{ role: "user", content: "hi" }], system: "be kind" };
const { served } = servedBy({}, { as: "org/served" });
const hostOf = (more: Record<string, unknown>): Host => servedBy(more, { template: "chatml" }).host;

test("a host that offers it is asked natively: with its name for the model, and the bound that the tier has set", () => {
  const asked = messagesQuestion(ASKED, "r");
  const question = { ...asked, body: { ...asked.body, max_tokens: 50 } };
  expect(isAskedNatively(hostOf({ offers: ["messages"], cacheSalt: false }), question)).toBe(true);
  expect(isAskedNatively(hostOf({ offers: ["responses"] }), question)).toBe(false);
  // Its own route would not part the prefix cache by tenant.
  expect(isAskedNatively(hostOf({ offers: ["messages"] }), question)).toBe(false);
  expect(messagesRequest(question, served)).toEqual({
    model: "org/served",
    max_tokens: 50,
    stream: false,
    messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
    system: [{ type: "text", text: "be kind" }],
  });
});

describe("a count", () => {
  const chat = [
    { role: "system", content: "be kind" },
    { role: "user", content: "hi" },
  ];
  type Said = { path: string; body: JsonObject };

  /** What a host was asked, and what came of it. */
  async function count(host: Host, answers: Record<string, () => Response>, document: JsonObject = ASKED) {
    const asked: Said[] = [];
    const ask: Ask = async (path, init) => {
      asked.push({ path, body: JSON.parse(String(init.body)) });
      return answers[path]?.() ?? new Response("no such route", { status: 404 });
    };
    const trace = { requestId: "r", traceparent: null };
    const signal = new AbortController().signal;
    const reply = await countTokens(ask, { host, served }, countQuestion(document, "r"), trace, signal);
    return { asked, reply };
  }
  const answer = (tokens: number | null) => ({ kind: "answer", answer: tokens });

  test("by the host's own Messages route", async () => {
    const host = hostOf({ offers: ["messages"], cacheSalt: false });
    const { asked, reply } = await count(host, {
      "/v1/messages/count_tokens": () => Response.json({ input_tokens: 7 }),
    });
    expect(reply).toEqual(answer(7));
    expect(asked).toEqual([
      {
        path: "/v1/messages/count_tokens",
        body: {
          model: "org/served",
          messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }],
          system: [{ type: "text", text: "be kind" }],
        },
      },
    ]);
  });

  test("by vLLM's tokenizer", async () => {
    const { asked, reply } = await count(hostOf({}), { "/tokenize": () => Response.json({ count: 9, tokens: [] }) });
    expect(reply).toEqual(answer(9));
    expect(asked).toEqual([{ path: "/tokenize", body: { model: "org/served", messages: chat } }]);
  });

  test("by llama.cpp's template and tokenizer", async () => {
    const answers = {
      "/apply-template": () => Response.json({ prompt: "<user>hi" }),
      "/tokenize": () => Response.json({ tokens: [1, 2, 3] }),
    };
    const prefilled = { ...ASKED, messages: [...ASKED.messages, { role: "assistant", content: "I" }] };
    const { asked, reply } = await count(hostOf({ engine: "llamacpp" }), answers, prefilled);
    expect(reply).toEqual(answer(3));
    expect(asked).toEqual([
      { path: "/apply-template", body: { messages: [...chat, { role: "assistant", content: "I" }] } },
      { path: "/tokenize", body: { content: "<user>hi", add_special: true, parse_special: true } },
    ]);
  });

  test.each(["vllm", "llamacpp"])("a %s host without the route cannot tell", async (engine) => {
    expect((await count(hostOf({ engine }), {})).reply).toEqual(answer(null));
  });

  test("a refusal is the host's; a document without a count is none", async () => {
    const refusing = () =>
      Response.json({ error: { message: "no such tool", type: "BadRequestError", param: "tools" } }, { status: 400 });
    expect((await count(hostOf({}), { "/tokenize": refusing })).reply).toMatchObject({
      kind: "rejected",
      problem: { code: "invalid_value" },
    });
    expect((await count(hostOf({}), { "/tokenize": () => new Response("", { status: 500 }) })).reply.kind).toBe(
      "failed",
    );
    await expect(count(hostOf({}), { "/tokenize": () => Response.json({ count: -1 }) })).rejects.toThrow("no count");
    await expect(count(hostOf({}), { "/tokenize": () => Response.json([]) })).rejects.toThrow("no count");
  });

  test("neither clouds nor hosts without a chat route have what it takes", () => {
    const able = [{}, { engine: "llamacpp" }, { engine: "llamacpp", native: true }, { engine: "openai" }]
      .map(hostOf)
      .map(mayCount);
    expect(able).toEqual([true, true, false, false]);
  });
});
