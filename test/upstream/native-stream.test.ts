import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventSplitter, fieldsOf } from "#src/sse.ts";
import { BrokenStream } from "#src/upstream/answer-stream.ts";
import type { NativeReply } from "#src/upstream/native.ts";
import { NativeStream } from "#src/upstream/native-stream.ts";
import { cuts, textOf, utf8 } from "#test/sse/chunking.ts";
import { native, PROMPT_TOKENS, steps, TRICKY, wire } from "./transcripts.ts";

const reply = (route: NativeReply["route"]): NativeReply => ({ route, id: "chatcmpl-1", created: 7, model: "m" });

/** What the stream lets through, as text. */
function pass(stream: NativeStream, chunks: readonly Uint8Array[]): string {
  return textOf(...chunks.map((chunk) => stream.push(chunk) ?? new Uint8Array(0)));
}

function documentsOf(text: string): unknown[] {
  const data = [...new EventSplitter().push(utf8(text))].map((event) => fieldsOf(event).data ?? "");
  expect(data.pop()).toBe("[DONE]");
  return data.map((json) => JSON.parse(json));
}

const event = (document: object): string => `data: ${JSON.stringify(document)}\n\n`;
const TRANSCRIPT =
  event({ content: "he", stop: false, tokens: [] }) +
  event({ content: "y", stop: false }) +
  event({ content: "", stop: true, stop_type: "limit", tokens_evaluated: 5, tokens_predicted: 2 });
const HEAD = { id: "chatcmpl-1", created: 7, model: "m" };

describe("OpenAI's shapes", () => {
  const chat = { ...HEAD, object: "chat.completion.chunk" };
  const raw = { ...HEAD, object: "text_completion" };
  const choice = (delta: object, finish_reason: string | null = null) => ({
    index: 0,
    delta,
    logprobs: null,
    finish_reason,
  });
  const text = (said: string, finish_reason: string | null = null) => ({
    index: 0,
    text: said,
    logprobs: null,
    finish_reason,
  });
  const usage = { prompt_tokens: 5, completion_tokens: 2, total_tokens: 7 };
  const chatChunks = [
    { ...chat, choices: [choice({ role: "assistant", content: "" })] },
    { ...chat, choices: [choice({ content: "he" })] },
    { ...chat, choices: [choice({ content: "y" })] },
    { ...chat, choices: [choice({}, "length")] },
  ];
  const rawChunks = [text("he"), text("y"), text("", "length")].map((one) => ({ ...raw, choices: [one] }));

  test.each([
    { name: "chat: a role first, the reason last, [DONE]", route: "chat", wantsUsage: false, chunks: chatChunks },
    {
      name: "chat, usage asked for",
      route: "chat",
      wantsUsage: true,
      chunks: [...chatChunks, { ...chat, choices: [], usage }],
    },
    { name: "completions", route: "completions", wantsUsage: false, chunks: rawChunks },
    {
      name: "completions, usage asked for",
      route: "completions",
      wantsUsage: true,
      chunks: [...rawChunks, { ...raw, choices: [], usage }],
    },
  ] as const)("$name", ({ route, wantsUsage, chunks }) => {
    const stream = new NativeStream(reply(route), wantsUsage);
    expect(documentsOf(pass(stream, [utf8(TRANSCRIPT)]))).toEqual(chunks);
    expect(stream.endedWell).toBe(true);
    expect(stream.tally).toEqual({
      promptTokens: 5,
      completionTokens: 2,
      cachedTokens: null,
      contentPieces: 2,
      finishReason: "length",
    });
  });

  test("an answer without a token still has its role and its reason", () => {
    const stream = new NativeStream(reply("chat"), false);
    const said = pass(stream, [
      utf8(event({ content: "", stop: true, stop_type: "eos", tokens_evaluated: 5, tokens_predicted: 0 })),
    ]);
    expect(documentsOf(said)).toEqual([chatChunks[0], { ...chat, choices: [choice({}, "stop")] }]);
    expect(stream.tally).toMatchObject({ completionTokens: 0, contentPieces: 0 });
  });

  test("content in the last event is not lost", () => {
    const stream = new NativeStream(reply("chat"), false);
    const said = pass(stream, [utf8(event({ content: "hey", stop: true, stop_type: "eos" }))]);
    expect(documentsOf(said)).toMatchObject([
      {},
      { choices: [choice({ content: "hey" })] },
      { choices: [choice({}, "stop")] },
    ]);
  });

  test("an event without content is no chunk", () => {
    const stream = new NativeStream(reply("completions"), false);
    expect(stream.push(utf8(event({ content: "", stop: false })))).toBeNull();
    expect(stream.hasContent).toBe(false);
  });
});

describe("as the lab's llama.cpp speaks", () => {
  const made = steps(native(true));

  test("the text arrives whole", () => {
    const chunks = documentsOf(pass(new NativeStream(reply("completions"), false), [utf8(wire(made))]));
    const texts = chunks.map((chunk) => (chunk as { choices: [{ text: string }] }).choices[0].text);
    expect(TRICKY.startsWith(texts.join(""))).toBe(true);
    expect(texts.join("").length).toBeGreaterThan(20);
  });

  test("however it is cut: the same bytes, the same tally, a good end", () => {
    const whole = new NativeStream(reply("chat"), true);
    const text = pass(whole, [utf8(wire(made))]);
    expect(whole.tally).toMatchObject({ promptTokens: PROMPT_TOKENS, completionTokens: made.at(-1)?.completionTokens });
    fc.assert(
      fc.property(cuts, (cut) => {
        const stream = new NativeStream(reply("chat"), true);
        expect(pass(stream, cut(utf8(wire(made))))).toBe(text);
        expect(stream.tally).toEqual(whole.tally);
        expect(stream.endedWell).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test("left anywhere, the tokens made until then are counted exactly", () => {
    const stream = new NativeStream(reply("chat"), false);
    for (const { bytes, completionTokens } of made) {
      stream.push(utf8(bytes));
      expect(stream.tally.completionTokens).toBe(completionTokens);
    }
  });

  test("without counts the pieces stand for the tokens: nothing is told as 0", () => {
    const stream = new NativeStream(reply("chat"), false);
    pass(stream, [utf8(wire(steps(native(false, true))))]);
    expect(stream.tally).toMatchObject({ promptTokens: null, completionTokens: null, finishReason: "stop" });
    expect(stream.tally.contentPieces).toBeGreaterThan(5);
  });
});

test.each([
  { characters: null, text: "" },
  { characters: 10, text: "hey" },
  { characters: 2, text: "he" },
])("of its text $characters characters are kept", ({ characters, text }) => {
  const stream = new NativeStream(reply("chat"), false);
  if (characters !== null) stream.keepText(characters);
  pass(stream, [utf8(TRANSCRIPT)]);
  expect(stream.text).toBe(text);
});

describe("what is not the answer", () => {
  const he = event({ content: "he", stop: false });
  const last = event({ content: "", stop: true, stop_type: "eos" });

  test.each([
    { name: "comments", sent: `: ping\n\n${he}: ping\n\n${last}` },
    { name: "a [DONE] of its own", sent: `${he + last}data: [DONE]\n\n` },
    { name: "events behind the last", sent: he + last + he },
    { name: "garbage behind the last", sent: `${he + last}data: {\n\n` },
    { name: "half an event behind the last", sent: `${he + last}data: {` },
  ])("$name does not pass", ({ sent }) => {
    const plain = pass(new NativeStream(reply("chat"), false), [utf8(he + last)]);
    const stream = new NativeStream(reply("chat"), false);
    expect(pass(stream, [utf8(sent)])).toBe(plain);
    expect(stream.broken).toBeNull();
    expect(stream.endedWell).toBe(true);
    expect(stream.push(utf8(he))).toBeNull();
  });

  test.each([
    { name: "an error", sent: event({ error: { code: 500, message: "x", type: "server_error" } }) },
    { name: "garbage", sent: 'data: {"content":\n\n' },
    { name: "an array", sent: "data: []\n\n" },
  ])("$name breaks it, and what was whole before it has passed", ({ sent }) => {
    const stream = new NativeStream(reply("completions"), false);
    const said = pass(stream, [utf8(he + sent)]);
    expect(JSON.parse(fieldsOf(utf8(said)).data ?? "")).toMatchObject({
      choices: [{ text: "he", finish_reason: null }],
    });
    expect(stream.broken).toBeInstanceOf(BrokenStream);
    expect(stream.endedWell).toBe(false);
  });

  test.each([
    { name: "no last event", sent: he },
    { name: "half the last event", sent: he + last.slice(0, -1) },
    { name: "[DONE] without a last event", sent: `${he}data: [DONE]\n\n` },
  ])("a stream with $name has not ended well", ({ sent }) => {
    const stream = new NativeStream(reply("chat"), false);
    expect(pass(stream, [utf8(sent)])).not.toContain("[DONE]");
    expect(stream.endedWell).toBe(false);
  });
});
