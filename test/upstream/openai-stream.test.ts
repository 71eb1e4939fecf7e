import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { usageWish } from "#scripts/lab/exchange.ts";
import { concat } from "#src/bytes.ts";
import { EventTooLarge, fieldsOf, MAX_EVENT_BYTES } from "#src/sse.ts";
import { type AnswerStream, BrokenStream } from "#src/upstream/answer-stream.ts";
import { OpenAiStream, withoutMember } from "#src/upstream/openai-stream.ts";
import { tokensWithin } from "#src/upstream/seam.ts";
import { cuts, textOf, utf8 } from "#test/sse/chunking.ts";
import { dialect, question } from "./asked.ts";
import { ENGINES, PROMPT_TOKENS, steps, wire } from "./transcripts.ts";

const OPEN = { usageChunk: false, member: null } as const;
const HIDING = { usageChunk: true, member: "usage" } as const;

/** Everything the stream lets through, and how it broke if it did. */
function pass(stream: AnswerStream, chunks: readonly Uint8Array[]): { text: string; broken: unknown } {
  const passed: Uint8Array[] = [];
  for (const chunk of chunks) {
    const out = stream.push(chunk);
    if (out !== null) passed.push(out);
    if (stream.broken !== null) break;
  }
  return { text: textOf(...passed), broken: stream.broken };
}

const WISHES = [
  { name: "nothing", more: {} },
  { name: "usage", more: { stream_options: { include_usage: true } } },
  { name: "no usage", more: { stream_options: { include_usage: false } } },
  { name: "running usage", more: { stream_options: { include_usage: true, continuous_usage_stats: true } } },
  { name: "running usage without usage", more: { stream_options: { continuous_usage_stats: true } } },
  { name: "timings", more: { timings_per_token: true } },
  { name: "timings and usage", more: { timings_per_token: true, stream_options: { include_usage: true } } },
];

/** Beside its answer, what a body makes the engine say. */
const wishOf = (body: { readonly [member: string]: unknown }) => ({
  ...usageWish(body, true),
  timings: body.timings_per_token === true,
});

describe.each(ENGINES)("$name", ({ engine, route, shape, n = 1 }) => {
  test.each(WISHES)("a caller who asks for $name sees what the engine would have sent him", ({ more }) => {
    const asked = question(route, { stream: true, ...more });
    const said = dialect({ engine }, asked);
    const { text, broken } = pass(said.stream(), [utf8(wire(steps(shape(wishOf(said.body)), { n })))]);
    expect(broken).toBeNull();
    const direct = wire(steps(shape(wishOf(asked.body)), { n }));
    // llama.cpp moves an answer's timings to the usage chunk when there is one, and they are hidden with it.
    const isMoved = engine === "llamacpp" && route === "chat" && !asked.wantsUsage;
    expect(text).toBe(isMoved ? withoutLast(direct, "timings") : direct);
  });

  test("however it is cut: the same bytes, the same tally, a good end", () => {
    const said = dialect({ engine }, question(route, { stream: true }));
    const made = steps(shape(wishOf(said.body)), { n });
    const whole = said.stream();
    const { text } = pass(whole, [utf8(wire(made))]);
    expect(whole.tally).toMatchObject({ promptTokens: PROMPT_TOKENS, completionTokens: made.at(-1)?.completionTokens });
    fc.assert(
      fc.property(cuts, (cut) => {
        const stream = said.stream();
        expect(pass(stream, cut(utf8(wire(made))))).toEqual({ text, broken: null });
        expect(stream.tally).toEqual(whole.tally);
        expect(stream.endedWell).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test("left anywhere, the tokens made until then are counted exactly", () => {
    const said = dialect({ engine }, question(route, { stream: true }));
    const stream = said.stream();
    for (const { bytes, completionTokens } of steps(shape(wishOf(said.body)), { n })) {
      stream.push(utf8(bytes));
      expect(stream.tally.completionTokens ?? 0).toBe(completionTokens);
    }
  });
});

/** A stream without a member of its last chunk that has one. */
function withoutLast(text: string, member: string): string {
  const events = text.split(/(?<=\n\n)/);
  const at = events.findLastIndex((event) => event.includes(`,"${member}":{`));
  return events.with(at, events[at]?.replace(new RegExp(`,"${member}":\\{[^}]*\\}`), "") ?? "").join("");
}

test("what is not touched is not copied", () => {
  const chunk = utf8(
    'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n: ping\n\ndata: [DONE]\n\n',
  );
  expect(new OpenAiStream(HIDING).push(chunk)).toBe(chunk);
});

describe("what passes", () => {
  const hi = 'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n';
  const counted = 'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}\n\n';
  const finish = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
  const last = "data: [DONE]\n\n";
  const done = finish + last;

  test.each([
    { name: "comments", sent: [`: ping\n\n${hi}`], passed: `: ping\n\n${hi}` },
    { name: "events without data", sent: [`retry: 5\n\n${hi}`], passed: `retry: 5\n\n${hi}` },
    { name: "CR LF as it came", sent: [hi.replaceAll("\n", "\r\n")], passed: hi.replaceAll("\n", "\r\n") },
    { name: "not the usage chunk", sent: [hi + finish + counted + last], passed: hi + done },
    { name: "nothing after [DONE], in the same chunk", sent: [hi + done + hi], passed: hi + done },
    { name: "nothing after [DONE], in a chunk of its own", sent: [hi + done, hi], passed: hi + done },
    { name: "no half event after [DONE]", sent: [hi + done, "data: {"], passed: hi + done },
    { name: "no garbage after [DONE]", sent: [hi, `${done}data: {\n\n`], passed: hi + done },
    {
      name: "[DONE] without a space",
      sent: [`${hi}${finish}data:[DONE]\n\n`],
      passed: `${hi}${finish}data:[DONE]\n\n`,
    },
    {
      name: "usage of null",
      sent: ['data: {"choices":[],"usage":null}\n\n'],
      passed: 'data: {"choices":[],"usage":null}\n\n',
    },
  ])("$name", ({ sent, passed }) => {
    const stream = new OpenAiStream(HIDING);
    expect(pass(stream, sent.map(utf8))).toEqual({ text: passed, broken: null });
    expect(stream.endedWell).toBe(passed.includes("[DONE]"));
  });

  test("the usage chunk when it was asked for", () => {
    const { text } = pass(new OpenAiStream(OPEN), [utf8(hi + finish + counted + last)]);
    expect(text).toBe(hi + finish + counted + last);
  });

  test("a usage chunk made here, where it was asked for and the engine told usage only beside a choice", () => {
    const usage = { prompt_tokens: 5, completion_tokens: 1, total_tokens: 6 };
    const chunk = { id: "c", object: "chat.completion.chunk", created: 7, model: "m" };
    const told = { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage };
    const stream = new OpenAiStream({ usageChunk: false, member: "usage" });
    const { text } = pass(stream, [utf8(`${hi}data: ${JSON.stringify(told)}\n\n${last}`)]);
    const { usage: _, ...hidden } = told;
    const made = { ...chunk, choices: [], usage };
    expect(text).toBe(`${hi}data: ${JSON.stringify(hidden)}\n\ndata: ${JSON.stringify(made)}\n\n${last}`);
  });

  test.each([
    { name: "whole, by its finish reason", sent: hi + finish, ending: last },
    { name: "whole, with a last word behind its finish reason", sent: hi + finish + hi, ending: last },
    { name: "one choice of two not finished", sent: hi + hi.replace('"index":0', '"index":1') + finish, ending: null },
    { name: "no finish reason", sent: hi, ending: null },
    { name: "nothing at all", sent: "", ending: null },
  ])("a host that ends without [DONE]: $name", ({ sent, ending }) => {
    const stream = new OpenAiStream(HIDING);
    pass(stream, [utf8(sent)]);
    const said = stream.finish();
    expect(said === null ? null : textOf(said)).toBe(ending);
    expect(stream.endedWell).toBe(ending !== null);
  });

  test("after [DONE] nothing breaks a stream, however large", () => {
    const stream = new OpenAiStream(HIDING);
    const after = [done, "x".repeat(MAX_EVENT_BYTES), "x".repeat(MAX_EVENT_BYTES)];
    expect(pass(stream, after.map(utf8))).toEqual({ text: done, broken: null });
    expect(stream.endedWell).toBe(true);
  });
});

describe("what breaks", () => {
  const hi = 'data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n';

  test.each([
    {
      name: "vLLM's error",
      event: 'data: {"error":{"message":"x","type":"InternalServerError","param":null,"code":500}}\n\n',
    },
    { name: "llama.cpp's error", event: 'data: {"error":{"code":500,"message":"x","type":"server_error"}}\n\n' },
    {
      name: "old vLLM's error",
      event: 'data: {"object":"error","message":"x","type":"InternalServerError","param":null,"code":500}\n\n',
    },
    { name: "an error by the event's name", event: 'event: error\ndata: {"message":"oops"}\n\n' },
    { name: "[DONE] before any choice has finished", event: "data: [DONE]\n\n" },
    { name: "an error of text", event: 'data: {"error":"x"}\n\n' },
    { name: "half a document", event: 'data: {"choices":[\n\n' },
    { name: "no data", event: "data:\n\n" },
    { name: "a number", event: "data: 5\n\n" },
    { name: "null", event: "data: null\n\n" },
    { name: "an array", event: "data: [1]\n\n" },
    { name: "HTML", event: "data: <html>\n\n" },
    { name: "a choice of null", event: 'data: {"choices":[null]}\n\n' },
    { name: "a choice of text", event: 'data: {"choices":["a"]}\n\n' },
  ])("$name, and what was whole before it has passed", ({ event }) => {
    fc.assert(
      fc.property(cuts, (cut) => {
        const { text, broken } = pass(new OpenAiStream(OPEN), cut(utf8(hi + event + hi)));
        expect(broken).toBeInstanceOf(BrokenStream);
        expect(text).toBe(hi);
      }),
      { numRuns: 30 },
    );
  });

  test("an event without end, and what was whole before it has passed", () => {
    const { text, broken } = pass(new OpenAiStream(OPEN), [utf8(`${hi}data: ${"x".repeat(MAX_EVENT_BYTES)}`)]);
    expect(broken).toBeInstanceOf(EventTooLarge);
    expect(text).toBe(hi);
  });

  test.each([
    { name: "nothing at all", sent: "" },
    { name: "no [DONE]", sent: hi },
    { name: "half an event", sent: `${hi}data: {"cho` },
    { name: "half of [DONE]", sent: `${hi}data: [DONE]\n` },
    { name: "[DONE] inside a content", sent: 'data: {"choices":[{"delta":{"content":"[DONE]"}}]}\n\n' },
  ])("a stream that ends with $name has not ended well", ({ sent }) => {
    const stream = new OpenAiStream(OPEN);
    pass(stream, [utf8(sent)]);
    expect(stream.endedWell).toBe(false);
  });
});

describe("what counts as content", () => {
  test.each([
    { name: "a role", choice: { delta: { role: "assistant", content: "" } }, pieces: 0 },
    { name: "a role with null", choice: { delta: { role: "assistant", content: null } }, pieces: 0 },
    { name: "an empty delta", choice: { delta: {}, finish_reason: "stop" }, pieces: 0 },
    { name: "no delta", choice: { finish_reason: "stop" }, pieces: 0 },
    { name: "a delta of null", choice: { delta: null }, pieces: 0 },
    { name: "no tool calls", choice: { delta: { content: "", tool_calls: [] } }, pieces: 0 },
    { name: "text", choice: { delta: { content: "a" } }, pieces: 1 },
    { name: "a space", choice: { delta: { content: " " } }, pieces: 1 },
    { name: "reasoning_content", choice: { delta: { reasoning_content: "a" } }, pieces: 1 },
    { name: "reasoning", choice: { delta: { reasoning: "a" } }, pieces: 1 },
    { name: "a tool call", choice: { delta: { tool_calls: [{ index: 0, function: { arguments: "{" } }] } }, pieces: 1 },
    { name: "raw text", choice: { text: "a" }, pieces: 1 },
    { name: "empty raw text", choice: { text: "" }, pieces: 0 },
  ])("$name: $pieces", ({ choice, pieces }) => {
    const stream = new OpenAiStream(OPEN);
    stream.push(utf8(`data: ${JSON.stringify({ choices: [{ index: 0, ...choice }] })}\n\n`));
    expect(stream.tally.contentPieces).toBe(pieces);
    expect(stream.hasContent).toBe(pieces > 0);
  });

  test("pieces are counted per choice, the last finish reason stays, and no usage leaves the counts open", () => {
    const stream = new OpenAiStream(OPEN);
    const two = {
      choices: [
        { index: 0, text: "a", finish_reason: "length" },
        { index: 1, text: "b", finish_reason: null },
      ],
    };
    stream.push(
      utf8(`data: ${JSON.stringify(two)}\n\ndata: {"choices":[{"index":1,"text":"","finish_reason":null}]}\n\n`),
    );
    expect(stream.tally).toEqual({
      promptTokens: null,
      completionTokens: null,
      cachedTokens: null,
      contentPieces: 2,
      finishReason: "length",
    });
  });
});

describe("the text of the answer", () => {
  const sent = utf8(
    [
      { choices: [{ index: 0, delta: { role: "assistant", content: "" } }] },
      { choices: [{ index: 0, delta: { reasoning_content: "hm", tool_calls: [{ function: { arguments: "{" } }] } }] },
      { choices: [{ index: 0, delta: { content: "hello " } }] },
      { choices: [{ index: 0, delta: { content: null } }] },
      { choices: [{ index: 0, text: "world" }, { index: 1 }] },
      { choices: [], usage: { prompt_tokens: 1, completion_tokens: 2 } },
    ]
      .map((document) => `data: ${JSON.stringify(document)}\n\n`)
      .join(""),
  );

  test("is not kept unless it is asked for", () => {
    const stream = new OpenAiStream(OPEN);
    stream.push(sent);
    expect(stream.text).toBe("");
  });

  test.each([
    { characters: 100, text: "hello world" },
    { characters: 11, text: "hello world" },
    { characters: 8, text: "hello wo" },
    { characters: 3, text: "hel" },
    { characters: 0, text: "" },
  ])("up to $characters characters, however the stream is cut: its words and nothing else", ({ characters, text }) => {
    fc.assert(
      fc.property(cuts, (cut) => {
        const stream = new OpenAiStream(OPEN);
        stream.keepText(characters);
        pass(stream, cut(sent));
        expect(stream.text).toBe(text);
      }),
      { numRuns: 30 },
    );
  });
});

describe("the tokens within what has passed", () => {
  const piece = (content: string, completion_tokens: number) =>
    utf8(
      `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }], usage: { prompt_tokens: 1, completion_tokens } })}\n\n`,
    );
  /** vLLM with a stop string of 29 characters holds 28 back; words of five and their space, a token each. */
  const words = "each maze this wild near blue sand road tree fish bird leaf ".repeat(3);
  const HELD = 28;
  const made = (tokens: number): OpenAiStream => {
    const stream = new OpenAiStream({ usageChunk: true, member: "usage" }, true);
    stream.keepText(10_000, HELD);
    for (let token = 1, passed = 0; token <= tokens; token++) {
      const upTo = Math.max(0, 5 * token - HELD);
      stream.push(piece(words.slice(passed, upTo), token));
      passed = upTo;
    }
    return stream;
  };

  test.each([
    { made: 6, passed: 2, within: 0 },
    { made: 7, passed: 7, within: 1 },
    { made: 9, passed: 17, within: 3 },
    { made: 11, passed: 27, within: 5 },
    { made: 12, passed: 32, within: 6 },
    { made: 20, passed: 72, within: 14 },
  ])("of $made made, $passed characters: $within", ({ made: tokens, passed, within }) => {
    const seam = made(tokens).seam();
    expect(seam?.text).toBe(words.slice(0, passed));
    expect(seam === null ? null : tokensWithin(seam, passed)).toBe(within);
  });

  test("white space without end costs no more than words", () => {
    const stream = new OpenAiStream({ usageChunk: true, member: "usage" });
    stream.keepText(1_000_000);
    const blank = concat(
      Array.from({ length: 1_000 }, () => utf8('data: {"choices":[{"delta":{"content":" "}}]}\n\n')),
    );
    for (let turn = 0; turn < 100; turn++) stream.push(blank);
    const seam = stream.seam();
    expect([seam?.marks.length, seam && tokensWithin(seam, 100_000)]).toEqual([expect.any(Number), 100_000]);
    expect(seam?.marks.length).toBeLessThan(2_000);
    expect(seam && tokensWithin(seam, 50_000)).toBe(50_000);
  });
});

const cutFrom = (json: string): string | null => fieldsOf(withoutMember(json, JSON.parse(json), "usage", false)).data;

describe("cutting a member out", () => {
  test.each([
    { name: "the last", json: '{"a":1,"usage":{"b":{"c":2}}}', cut: '{"a":1}' },
    { name: "in the middle", json: '{"a":1,"usage":{"b":2},"c":3}', cut: '{"a":1,"c":3}' },
    {
      name: "not inside a string",
      json: '{"a":",\\"usage\\":{\\"b\\":1}","usage":{"b":2}}',
      cut: '{"a":",\\"usage\\":{\\"b\\":1}"}',
    },
    {
      name: "only a string looks like it",
      json: '{"a":",\\"usage\\":{\\"b\\":1}"}',
      cut: '{"a":",\\"usage\\":{\\"b\\":1}"}',
    },
    {
      name: "numbers beyond a double stay as written",
      json: '{"a":1.0,"b":12345678901234567890,"usage":{}}',
      cut: '{"a":1.0,"b":12345678901234567890}',
    },
    { name: "spaces: written anew", json: '{"a":1, "usage": {"b":2}}', cut: '{"a":1}' },
    { name: "the first: written anew", json: '{"usage":{"b":2},"a":1}', cut: '{"a":1}' },
    { name: "over several lines: written anew", json: '{"a":1\n,"usage":{"b":2}}', cut: '{"a":1}' },
  ])("$name", ({ json, cut }) => {
    expect(cutFrom(json)).toBe(cut);
  });

  test("only that member, whatever the others hold", () => {
    const anything = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(anything, fc.nat(), ({ usage: _, ...others }, tokens) => {
        const before = { first: 1, ...others };
        const after = cutFrom(JSON.stringify({ ...before, usage: { a: tokens, b: { c: tokens } } }));
        expect(after).toBe(JSON.stringify(before));
      }),
      { numRuns: 500 },
    );
  });
});
