import { describe, expect, test } from "vitest";
import { questionOf, type Route } from "#src/ingress/question.ts";
import { OPENAI } from "#src/ingress/wording.ts";
import { Problem } from "#src/problem.ts";

const CHAT = { model: "m", messages: [{ role: "user", content: "hi" }] };
const COMPLETIONS = { model: "m", prompt: "hi" };
const EMBEDDINGS = { model: "m", input: "hi" };
const BODIES: Record<Route, Record<string, unknown>> = {
  chat: CHAT,
  completions: COMPLETIONS,
  embeddings: EMBEDDINGS,
  rerank: { model: "m", query: "hi", documents: ["a", "b"] },
  tokenize: { model: "m", prompt: "hi" },
  transcriptions: { model: "m" },
};

/** `code param` of the problem, or null when the question is good. */
function problemOf(route: Route, changed: Record<string, unknown>): string | null {
  try {
    questionOf(route, { ...BODIES[route], ...changed });
    return null;
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    return `${thrown.code} ${thrown.facts.param}`;
  }
}

test("a question is the document as it came in, and what the gateway must know of it", () => {
  const body = { ...CHAT, stream: true, stream_options: { include_usage: true }, engine_option: { deep: [1] } };
  const nothing = { original: null, needs: null, cacheSalt: null, recording: null };
  const asOpenAi = { wording: OPENAI, answerType: "application/json", ...nothing };
  const known = { route: "chat", model: "m", stream: true, wantsUsage: true };
  expect(questionOf("chat", body)).toEqual({ ...known, body, ...asOpenAi });
});

describe("stream and usage", () => {
  test.each<{ name: string; changed: Record<string, unknown>; stream: boolean; wantsUsage: boolean }>([
    { name: "left out", changed: {}, stream: false, wantsUsage: false },
    { name: "null", changed: { stream: null, stream_options: null }, stream: false, wantsUsage: false },
    { name: "a stream", changed: { stream: true }, stream: true, wantsUsage: false },
    { name: "usage unasked", changed: { stream: true, stream_options: {} }, stream: true, wantsUsage: false },
    {
      name: "usage not wanted",
      changed: { stream: true, stream_options: { include_usage: false } },
      stream: true,
      wantsUsage: false,
    },
  ])("$name", ({ changed, stream, wantsUsage }) => {
    expect(questionOf("chat", { ...CHAT, ...changed })).toMatchObject({ stream, wantsUsage });
  });
});

describe("taken", () => {
  test.each<{ name: string; route: Route; changed: Record<string, unknown> }>([
    {
      name: "parts of content",
      route: "chat",
      changed: { messages: [{ role: "user", content: [{ type: "text", text: "hi" }] }] },
    },
    {
      name: "a tool's answer",
      route: "chat",
      changed: { messages: [{ role: "tool", content: "1", tool_call_id: "x" }] },
    },
    {
      name: "a call without content",
      route: "chat",
      changed: { messages: [{ role: "assistant", content: null, tool_calls: [] }] },
    },
    { name: "a developer", route: "chat", changed: { messages: [{ role: "developer", content: "be brief" }] } },
    { name: "members nobody knows", route: "chat", changed: { top_k: 40, min_p: 0.05, logit_bias: { 1: 2 } } },
    {
      name: "nulls for defaults",
      route: "chat",
      changed: { temperature: null, max_tokens: null, stop: null, n: null },
    },
    {
      name: "nulls for what other routes have",
      route: "completions",
      changed: { messages: null, input: null, max_completion_tokens: null },
    },
    { name: "tokens for a prompt", route: "completions", changed: { prompt: [1, 2, 3] } },
    { name: "several prompts", route: "completions", changed: { prompt: ["a", "b"] } },
    { name: "several prompts of tokens", route: "completions", changed: { prompt: [[1], [2]] } },
    { name: "an empty prompt", route: "completions", changed: { prompt: "" } },
    { name: "several inputs", route: "embeddings", changed: { input: ["a", "b"] } },
    { name: "base64", route: "embeddings", changed: { encoding_format: "base64", dimensions: 128 } },
    { name: "texts to rank", route: "rerank", changed: { top_n: 0, return_documents: false } },
    { name: "a conversation to tokenize", route: "tokenize", changed: { prompt: undefined, messages: CHAT.messages } },
    { name: "an empty prompt to tokenize", route: "tokenize", changed: { prompt: "", add_special_tokens: false } },
    {
      name: "every field of a transcription",
      route: "transcriptions",
      changed: {
        language: "pt-BR",
        prompt: "ZyntriQix",
        response_format: "verbose_json",
        temperature: "0.2",
        timestamp_granularities: ["word", "segment"],
        stream: "false",
      },
    },
    { name: "four stops", route: "chat", changed: { stop: ["a", "b", "c", "d"] } },
  ])("$name", ({ route, changed }) => {
    expect(problemOf(route, changed)).toBeNull();
  });
});

describe("refused, naming the field", () => {
  test.each<{ name: string; route?: Route; changed: Record<string, unknown>; problem: string }>([
    { name: "no model", changed: { model: undefined }, problem: "invalid_value model" },
    { name: "an empty model", changed: { model: "" }, problem: "invalid_value model" },
    { name: "a model as number", changed: { model: 7 }, problem: "invalid_value model" },
    { name: "no messages", changed: { messages: undefined }, problem: "invalid_value messages" },
    { name: "an empty conversation", changed: { messages: [] }, problem: "invalid_value messages" },
    { name: "messages as text", changed: { messages: "hi" }, problem: "invalid_value messages" },
    {
      name: "another role",
      changed: { messages: [{ role: "root", content: "x" }] },
      problem: "invalid_value messages.0.role",
    },
    {
      name: "a role missing in the second",
      changed: { messages: [...CHAT.messages, { content: "x" }] },
      problem: "invalid_value messages.1.role",
    },
    {
      name: "content as number",
      changed: { messages: [{ role: "user", content: 1 }] },
      problem: "invalid_value messages.0.content",
    },
    { name: "stream as text", changed: { stream: "true" }, problem: "invalid_value stream" },
    {
      name: "stream options without a stream",
      changed: { stream_options: { include_usage: true } },
      problem: "invalid_value stream_options",
    },
    {
      name: "usage as text",
      changed: { stream: true, stream_options: { include_usage: "yes" } },
      problem: "invalid_value stream_options.include_usage",
    },
    { name: "too hot", changed: { temperature: 2.1 }, problem: "invalid_value temperature" },
    { name: "a probability above 1", changed: { top_p: 1.1 }, problem: "invalid_value top_p" },
    { name: "no tokens", changed: { max_tokens: 0 }, problem: "invalid_value max_tokens" },
    { name: "half a token", changed: { max_completion_tokens: 1.5 }, problem: "invalid_value max_completion_tokens" },
    { name: "no answers", changed: { n: 0 }, problem: "invalid_value n" },
    { name: "too many answers", changed: { n: 5 }, problem: "invalid_value n" },
    {
      name: "a picture that is no URL",
      changed: { messages: [{ role: "user", content: [{ type: "image_url", image_url: 7 }] }] },
      problem: "invalid_value messages.0.content",
    },
    { name: "work without bound", changed: { ignore_eos: true }, problem: "unsupported_value ignore_eos" },
    { name: "five stops", changed: { stop: ["a", "b", "c", "d", "e"] }, problem: "invalid_value stop" },
    { name: "no prompt", route: "completions", changed: { prompt: undefined }, problem: "invalid_value prompt" },
    { name: "no prompts", route: "completions", changed: { prompt: [] }, problem: "invalid_value prompt" },
    { name: "no input", route: "embeddings", changed: { input: undefined }, problem: "invalid_value input" },
    { name: "no inputs", route: "embeddings", changed: { input: [] }, problem: "invalid_value input" },
    {
      name: "another encoding",
      route: "embeddings",
      changed: { encoding_format: "hex" },
      problem: "invalid_value encoding_format",
    },
    { name: "a place in the engine's line", changed: { priority: -100 }, problem: "unsupported_value priority" },
    { name: "another caller's prefix cache", changed: { cache_salt: "x" }, problem: "unsupported_value cache_salt" },
    { name: "another request's id", changed: { request_id: "x" }, problem: "unsupported_value request_id" },
    {
      name: "a template that runs on the host",
      changed: { chat_template: "{{ 1 }}" },
      problem: "unsupported_value chat_template",
    },
    { name: "also when it is null", changed: { chat_template: null }, problem: "unsupported_value chat_template" },
    {
      name: "code in the engine",
      changed: { logits_processors: ["os.system"] },
      problem: "unsupported_value logits_processors",
    },
    {
      name: "a conversation beside an input, which vLLM would embed, with the URLs in it",
      route: "embeddings",
      changed: {
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "http://10.0.0.1/" } }] }],
      },
      problem: "unsupported_value messages",
    },
    {
      name: "a prompt beside an input",
      route: "embeddings",
      changed: { prompt: "x" },
      problem: "unsupported_value prompt",
    },
    { name: "a prompt beside messages", changed: { prompt: "x" }, problem: "unsupported_value prompt" },
    { name: "an input beside messages", changed: { input: [1, 2] }, problem: "unsupported_value input" },
    {
      name: "messages beside a prompt",
      route: "completions",
      changed: { messages: CHAT.messages },
      problem: "unsupported_value messages",
    },
    {
      name: "an input beside a prompt",
      route: "completions",
      changed: { input: "x" },
      problem: "unsupported_value input",
    },
    ...[5, -5, 1.5, "5"].map((bound) => ({
      name: `chat's bound where engines differ about it: ${JSON.stringify(bound)}`,
      route: "completions" as const,
      changed: { max_completion_tokens: bound },
      problem: "unsupported_value max_completion_tokens",
    })),
    { name: "someone's slot", changed: { id_slot: 0 }, problem: "unsupported_value id_slot" },
    { name: "no query", route: "rerank", changed: { query: "" }, problem: "invalid_value query" },
    { name: "nothing to rank", route: "rerank", changed: { documents: [] }, problem: "invalid_value documents" },
    {
      name: "too much to rank",
      route: "rerank",
      changed: { documents: Array(1_001).fill("a") },
      problem: "invalid_value documents",
    },
    {
      name: "pictures to rank, which a host would fetch",
      route: "rerank",
      changed: { documents: [{ content: [{ type: "image_url", image_url: { url: "http://10.0.0.1/" } }] }] },
      problem: "invalid_value documents.0",
    },
    { name: "a rank below none", route: "rerank", changed: { top_n: -1 }, problem: "invalid_value top_n" },
    { name: "a stream of ranks", route: "rerank", changed: { stream: true }, problem: "unsupported_value stream" },
    { name: "ranks first", route: "rerank", changed: { priority: -1 }, problem: "unsupported_value priority" },
    { name: "nothing to tokenize", route: "tokenize", changed: { prompt: undefined }, problem: "invalid_value prompt" },
    {
      name: "two things to tokenize",
      route: "tokenize",
      changed: { messages: CHAT.messages },
      problem: "invalid_value prompt",
    },
    {
      name: "a template to tokenize by",
      route: "tokenize",
      changed: { chat_template: "{{ 1 }}" },
      problem: "unsupported_value chat_template",
    },
    { name: "no model", route: "transcriptions", changed: { model: undefined }, problem: "invalid_value model" },
    ...[
      { changed: { language: "not a language" }, problem: "invalid_value language" },
      { changed: { response_format: "html" }, problem: "invalid_value response_format" },
      { changed: { temperature: "hot" }, problem: "invalid_value temperature" },
      { changed: { temperature: "1.5" }, problem: "invalid_value temperature" },
      { changed: { prompt: "x".repeat(4_097) }, problem: "invalid_value prompt" },
      { changed: { timestamp_granularities: ["hour"] }, problem: "invalid_value timestamp_granularities.0" },
      { changed: { timestamp_granularities: ["word"] }, problem: "invalid_value timestamp_granularities" },
      { changed: { stream: "true" }, problem: "unsupported_value stream" },
      { changed: { stream: "yes" }, problem: "invalid_value stream" },
      { changed: { vllm_xargs: "{}" }, problem: "unsupported_value vllm_xargs" },
      { changed: { max_completion_tokens: "9" }, problem: "unsupported_value max_completion_tokens" },
      { changed: { cache_salt: "x" }, problem: "unsupported_value cache_salt" },
    ].map((row) => ({
      name: `of a transcription: ${JSON.stringify(row.changed).slice(0, 60)}`,
      route: "transcriptions" as const,
      ...row,
    })),
    {
      name: "on the other routes too",
      route: "embeddings",
      changed: { priority: 1 },
      problem: "unsupported_value priority",
    },
  ])("$name", ({ route = "chat", changed, problem }) => {
    expect(problemOf(route, changed)).toBe(problem);
  });
});
