import { describe, expect, test } from "vitest";
import { formBody } from "#src/upstream/form-body.ts";
import { subtitles } from "#src/upstream/subtitles.ts";
import { NOTHING_YET } from "#src/upstream/tally.ts";
import { utf8 } from "#test/sse/chunking.ts";
import { dialect, question, REQUEST_ID } from "./asked.ts";

const VLLM = { engine: "vllm", offers: ["rerank", "transcriptions", "tokenize"] };
const LLAMA = { engine: "llamacpp", offers: ["rerank", "tokenize"] };
const NATIVE = { ...LLAMA, native: true };
const SERVICE = { engine: "openai", offers: ["rerank", "transcriptions"] };
const messages = [{ role: "user", content: "hi" }];
const RERANK = { kind: "rerank" };
const recording = { pieces: [utf8("RI"), utf8("FF")], type: "audio/wav", name: "audio.wav" };
const spoken = (more: object = {}) => ({ ...question("transcriptions", { model: "m", ...more }), recording });

describe("rerank", () => {
  test.each([
    { name: "vLLM", host: VLLM, path: "/v1/rerank", salt: { cache_salt: "s" } },
    { name: "llama.cpp", host: LLAMA, path: "/v1/rerank", salt: {} },
    { name: "native llama.cpp", host: NATIVE, path: "/rerank", salt: {} },
    { name: "a service", host: SERVICE, path: "/v1/rerank", salt: {} },
  ])("what $name is asked", ({ host, path, salt }) => {
    const asked = { ...question("rerank", { top_n: 1, user: "u", truncation: 5 }), cacheSalt: "s" };
    const said = dialect(host, asked, {}, RERANK);
    expect(said.path).toBe(path);
    expect(said.body).toEqual({ model: "org/m", query: "hi", documents: ["a", "b"], top_n: 1, ...salt });
  });

  const ranks = (...scores: number[]) => ({
    results: scores.map((relevance_score, index) => ({ index, relevance_score })),
  });
  test.each([
    {
      name: "the best first, with the question's own texts",
      asked: {},
      said: ranks(0.1, 0.9),
      order: [1, 0],
      text: true,
    },
    { name: "no more than were asked for", asked: { top_n: 1 }, said: ranks(0.1, 0.9), order: [1], text: true },
    { name: "all of them for 0", asked: { top_n: 0 }, said: ranks(0.9, 0.1), order: [0, 1], text: true },
    { name: "without texts", asked: { return_documents: false }, said: ranks(0.9, 0.1), order: [0, 1], text: false },
    {
      name: "what the host says of the texts is not believed",
      asked: {},
      said: { results: [{ index: 0, relevance_score: 1, document: { text: "evil" }, x: 1 }], server: "x" },
      order: [0],
      text: true,
    },
  ])("is answered in one shape: $name", ({ asked, said, order, text }) => {
    const answer = dialect(VLLM, question("rerank", asked), {}, RERANK).answer?.(said);
    expect(answer).toEqual({
      id: `rerank-${REQUEST_ID}`,
      model: "m",
      results: order.map((index) => ({
        index,
        ...(text ? { document: { text: ["a", "b"][index] } } : {}),
        relevance_score: expect.any(Number),
      })),
    });
  });

  test.each([
    { name: "nothing", said: {} },
    { name: "a rank of no document", said: ranks(1, 1, 1) },
    { name: "a rank below none", said: { results: [{ index: -1, relevance_score: 1 }] } },
    { name: "no score", said: { results: [{ index: 0 }] } },
    { name: "a score that is text", said: { results: [{ index: 0, relevance_score: "1" }] } },
  ])("a host that says $name has failed", ({ said }) => {
    expect(() => dialect(VLLM, question("rerank"), {}, RERANK).answer?.(said)).toThrow(Error);
  });

  test.each([
    { name: "both counts", usage: { prompt_tokens: 7, total_tokens: 7 }, promptTokens: 7, completionTokens: 0 },
    { name: "the total only, as older vLLM", usage: { total_tokens: 9 }, promptTokens: 9, completionTokens: 0 },
    { name: "nothing", usage: undefined, promptTokens: null, completionTokens: null },
    { name: "nonsense", usage: { total_tokens: -1 }, promptTokens: null, completionTokens: null },
  ])("costs what the engine tells: $name", ({ usage, promptTokens, completionTokens }) => {
    const said = dialect(VLLM, question("rerank"), {}, RERANK);
    const counted = { ...NOTHING_YET, promptTokens, completionTokens };
    expect(said.tally?.({ ...ranks(1), usage })).toEqual(counted);
  });
});

describe("tokenize", () => {
  const asked = { prompt: undefined, messages, tools: [{ type: "function" }], add_generation_prompt: false, top_k: 1 };

  test("vLLM is asked in its own words, and in no others", () => {
    const { tools, add_generation_prompt } = asked;
    expect(dialect(VLLM, question("tokenize", asked))).toMatchObject({ path: "/tokenize" });
    const body = { model: "org/m", messages, tools, add_generation_prompt };
    expect(dialect(VLLM, question("tokenize", asked)).body).toEqual(body);
    expect(dialect(VLLM, question("tokenize")).body).toEqual({ model: "org/m", prompt: "hi" });
  });

  test.each([{ host: LLAMA }, { host: NATIVE }])("llama.cpp is asked by its own names", ({ host }) => {
    const said = dialect(host, question("tokenize", { return_token_strs: true }));
    const body = { model: "org/m", content: "hi", add_special: true, parse_special: true, with_pieces: true };
    expect(said).toMatchObject({ path: "/tokenize", body });
    const without = dialect(host, question("tokenize", { add_special_tokens: false }));
    expect(without.body).toEqual({ model: "org/m", content: "hi", add_special: false, parse_special: true });
    expect(without.next).toBeUndefined();
  });

  test("and renders a conversation first", () => {
    const first = dialect(LLAMA, question("tokenize", asked));
    const { tools, add_generation_prompt } = asked;
    expect(first).toMatchObject({ path: "/apply-template" });
    expect(first.body).toEqual({ model: "org/m", messages, tools, add_generation_prompt });
    const second = first.next?.({ prompt: "<|user|>hi" });
    expect(second).toMatchObject({ path: "/tokenize" });
    // The template has written the special tokens by itself.
    expect(second?.body).toEqual({ model: "org/m", content: "<|user|>hi", add_special: false, parse_special: true });
    expect(() => first.next?.({ nothing: 1 })).toThrow(Error);
  });

  test.each([
    {
      name: "vLLM's",
      host: VLLM,
      said: { count: 2, max_model_len: 8, tokens: [1, 2], token_strs: ["a", "b"], more: 1 },
      answer: { count: 2, max_model_len: 8, tokens: [1, 2], token_strs: ["a", "b"] },
    },
    {
      name: "a count that is wrong",
      host: VLLM,
      said: { count: 900, tokens: [1] },
      answer: { count: 1, max_model_len: 4_096, tokens: [1], token_strs: null },
    },
    {
      name: "llama.cpp's",
      host: LLAMA,
      said: { tokens: [1, 2] },
      answer: { count: 2, max_model_len: 4_096, tokens: [1, 2], token_strs: null },
    },
    {
      name: "llama.cpp's pieces, of which one is half a character",
      host: LLAMA,
      said: {
        tokens: [
          { id: 1, piece: "a" },
          { id: 2, piece: [0xf0, 0x9f] },
        ],
      },
      answer: { count: 2, max_model_len: 4_096, tokens: [1, 2], token_strs: ["a", "\ufffd"] },
    },
    {
      name: "no token",
      host: LLAMA,
      said: { tokens: [] },
      answer: { count: 0, max_model_len: 4_096, tokens: [], token_strs: null },
    },
  ])("is answered in vLLM's shape: $name", ({ host, said, answer }) => {
    const found = dialect(host, question("tokenize"), {}, { context: 4_096 });
    expect(found.answer?.(said)).toEqual(answer);
    expect(found.tally?.(said)).toMatchObject({ promptTokens: 0, completionTokens: 0 });
  });

  test.each([{}, { tokens: "x" }, { tokens: [1.5] }, { tokens: [{ id: 1 }] }])(
    "a host that says %j has failed",
    (said) => {
      expect(() => dialect(LLAMA, question("tokenize")).answer?.(said)).toThrow(Error);
    },
  );
});

describe("transcriptions", () => {
  const TRANSCRIBER = { kind: "transcription" };
  const asked = {
    language: "de",
    prompt: "über",
    temperature: "0.5",
    response_format: "verbose_json",
    timestamp_granularities: ["word", "segment"],
  };

  test("the form holds the checked fields and the recording, and nothing else", async () => {
    const { form, path } = dialect(VLLM, spoken(asked), {}, TRANSCRIBER);
    expect(path).toBe("/v1/audio/transcriptions");
    if (form === undefined) throw new Error("no form");
    // As a host reads it.
    const { type, body } = formBody(form, "a-boundary");
    const read = await new Response(body, { headers: { "content-type": type } }).formData();
    const file = read.get("file");
    expect(file).toMatchObject({ name: "audio.wav", type: "audio/wav" });
    expect(file instanceof File && (await file.text())).toBe("RIFF");
    read.delete("file");
    expect([...read].sort()).toEqual([
      ["language", "de"],
      ["model", "org/m"],
      ["prompt", "über"],
      ["response_format", "verbose_json"],
      ["temperature", "0.5"],
      ["timestamp_granularities[]", "segment"],
      ["timestamp_granularities[]", "word"],
    ]);
  });

  test.each([
    { format: undefined, vllm: "json", service: "json" },
    { format: "text", vllm: "json", service: "text" },
    { format: "srt", vllm: "verbose_json", service: "srt" },
    { format: "vtt", vllm: "verbose_json", service: "vtt" },
    { format: "verbose_json", vllm: "verbose_json", service: "verbose_json" },
  ])("the format $format is asked of vLLM as $vllm, of a service as $service", ({ format, vllm, service }) => {
    const wanted = (host: object) => dialect({ ...host }, spoken({ response_format: format }), {}, TRANSCRIBER);
    const formatOf = (host: object) => new Map(wanted(host).form?.fields).get("response_format");
    expect(formatOf(VLLM)).toBe(vllm);
    expect(formatOf(SERVICE)).toBe(service);
    expect(wanted(VLLM).isText).toBe(false);
    expect(wanted(SERVICE).isText).toBe(!service.includes("json"));
  });

  const said = {
    text: " Hello there. Bye.",
    segments: [
      { start: 0, end: 1.5, text: " Hello there." },
      { start: 3_661.25, end: 3_662, text: " Bye." },
    ],
  };
  test.each([
    { format: "json", type: "application/json", text: JSON.stringify(said) },
    { format: "verbose_json", type: "application/json", text: JSON.stringify(said) },
    { format: "text", type: "text/plain; charset=utf-8", text: " Hello there. Bye.\n" },
    {
      format: "srt",
      type: "application/x-subrip; charset=utf-8",
      text: "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n01:01:01,250 --> 01:01:02,000\nBye.\n\n",
    },
    {
      format: "vtt",
      type: "text/vtt; charset=utf-8",
      text: "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there.\n\n01:01:01.250 --> 01:01:02.000\nBye.\n\n",
    },
  ])("$format is said as $type", ({ format, type, text }) => {
    const found = spoken({ response_format: format });
    expect(found.answerType).toBe(type);
    expect(dialect(VLLM, found, {}, TRANSCRIBER).say?.(said)).toBe(text);
  });

  test("a service's own subtitles pass as they are", () => {
    const written = "1\n00:00:00,000 --> 00:00:01,000\nHi\n\n";
    const found = dialect(SERVICE, spoken({ response_format: "srt" }), {}, TRANSCRIBER);
    expect(found.say?.({ text: written })).toBe(written);
  });

  test.each([
    { format: "json", said: {} },
    { format: "text", said: { text: 5 } },
    { format: "srt", said: { text: "no segments" } },
    { format: "vtt", said: { text: "x", segments: [{ start: -1, end: 0, text: "x" }] } },
  ])("$format: a host that says $said has failed", ({ format, said: nothing }) => {
    expect(() => dialect(VLLM, spoken({ response_format: format }), {}, TRANSCRIBER).say?.(nothing)).toThrow(Error);
  });

  test("words cannot end their cue or make one up", () => {
    const text = "one\n\n2\n00:00:00.000 --> 00:00:09.000\nforged";
    const cues = subtitles("vtt", [{ start: 0, end: 1, text }]);
    expect(cues.match(/-->/g)).toHaveLength(1);
    expect(cues.trimEnd().split("\n\n")).toHaveLength(2);
  });

  test.each([
    {
      name: "OpenAI's tokens",
      told: { usage: { type: "tokens", input_tokens: 14, output_tokens: 45, total_tokens: 59 } },
      tally: { promptTokens: 14, completionTokens: 45, contentPieces: 0 },
    },
    {
      name: "seconds",
      told: { usage: { type: "duration", seconds: 12 } },
      tally: { promptTokens: 120, completionTokens: null, contentPieces: 2 },
    },
    { name: "vLLM's duration", told: { duration: "3.21" }, tally: { promptTokens: 33, contentPieces: 2 } },
    { name: "whisper-1's duration", told: { duration: 3.2 }, tally: { promptTokens: 32, contentPieces: 2 } },
    { name: "nothing", told: {}, tally: { promptTokens: null, completionTokens: null, contentPieces: 2 } },
    { name: "nonsense", told: { usage: "x", duration: "y" }, tally: { promptTokens: null, contentPieces: 2 } },
  ])("costs by $name", ({ told, tally }) => {
    expect(dialect(VLLM, spoken(), {}, TRANSCRIBER).tally?.({ text: "12345678", ...told })).toMatchObject(tally);
  });
});

test("none of them streams", () => {
  expect(() => dialect(VLLM, question("rerank"), {}, RERANK).stream()).toThrow(Error);
});
