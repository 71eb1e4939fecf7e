/**
 * llama.cpp's native `/completion` against OpenAI's shapes, both ways: chat messages to a prompt, options to options, a
 * whole answer to a whole answer. The stream is in `native-stream.ts`. Pure.
 */

import type { Served } from "#src/catalog/schema.ts";
import type { Question } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { counts } from "./tally.ts";
import { render } from "./template.ts";

/** The members that every piece of one reply repeats. */
export type NativeReply = {
  readonly route: "chat" | "completions";
  readonly id: string;
  /** Seconds since the epoch. */
  readonly created: number;
  readonly model: string;
};

/** What `/completion` cannot do, or would do by another meaning; each with what asks for nothing of it. */
const UNSUPPORTED: Readonly<Record<string, (value: unknown) => boolean>> = {
  tools: isEmptyList,
  functions: isEmptyList,
  response_format: (value) => typeof value === "object" && value !== null && Reflect.get(value, "type") === "text",
  logprobs: (value) => value === false || value === 0,
  top_logprobs: (value) => value === 0,
  best_of: (value) => value === 1,
  suffix: (value) => value === "",
  echo: (value) => value === false,
};
/** Same name and meaning on both sides. */
const SAME = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "logit_bias",
  "stop",
];

/**
 * The native request for a question.
 *
 * @param maxTokens tokens to generate when the caller names no bound: natively, no bound means for ever
 * @throws Problem `unsupported_value` for what the native route cannot do
 */
export function nativeRequest(question: Question, served: Served, maxTokens: number): JsonObject {
  const { body, route } = question;
  for (const [param, asksForNothing] of Object.entries(UNSUPPORTED)) {
    if (body[param] != null && !asksForNothing(body[param])) throw unsupported(param);
  }
  if (typeof body.n === "number" && body.n > 1) throw unsupported("n");
  const template =
    route === "chat" ? render(served.template, body.messages, body.continue_final_message === true) : null;
  const options = Object.fromEntries(SAME.filter((name) => body[name] != null).map((name) => [name, body[name]]));
  const stop = [...[options.stop ?? []].flat(), ...(template?.stop ?? [])];
  return {
    ...options,
    ...(stop.length > 0 ? { stop } : {}),
    prompt: template?.prompt ?? promptOf(body.prompt),
    n_predict: [body.max_completion_tokens, body.max_tokens].find(isBound) ?? maxTokens,
    cache_prompt: true,
    stream: question.stream,
    ...(question.stream ? { timings_per_token: true } : {}),
  };
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0;
}

/** Natively -1 means for ever. */
function isBound(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) > 0;
}

/** One prompt: several would each need an answer of their own, which a native reply cannot carry. */
function promptOf(prompt: unknown): unknown {
  if (!Array.isArray(prompt)) return prompt;
  if (typeof prompt[0] === "number") return prompt;
  if (prompt.length !== 1) throw unsupported("prompt");
  return prompt[0];
}

function unsupported(param: string): Problem {
  return new Problem("unsupported_value", {
    param,
    message: `${param} is not supported by the host that serves this model.`,
  });
}

/**
 * A whole native answer as OpenAI's.
 *
 * @throws Error when the document is no answer
 */
export function nativeAnswer(reply: NativeReply, document: JsonObject): JsonObject {
  const { content } = document;
  if (typeof content !== "string") throw new Error("the host's document holds no answer");
  const finish_reason = finishReasonOf(document);
  const choice =
    reply.route === "chat"
      ? { index: 0, message: { role: "assistant", content }, logprobs: null, finish_reason }
      : { index: 0, text: content, logprobs: null, finish_reason };
  const object = reply.route === "chat" ? "chat.completion" : "text_completion";
  const { id, created, model } = reply;
  return { id, object, created, model, choices: [choice], usage: usageOf(document) };
}

/** One piece of a streamed answer. */
export function chunkOf(
  reply: NativeReply,
  delta: { role?: string; content?: string },
  finish_reason: string | null,
): JsonObject {
  const { id, created, model } = reply;
  if (reply.route === "completions") {
    const choice = { index: 0, text: delta.content ?? "", logprobs: null, finish_reason };
    return { id, object: "text_completion", created, model, choices: [choice] };
  }
  // OpenAI's last chunk has an empty delta.
  const choice = { index: 0, delta: finish_reason === null ? delta : {}, logprobs: null, finish_reason };
  return { id, object: "chat.completion.chunk", created, model, choices: [choice] };
}

/** `limit` ended by the token bound; `eos` and `word` by themselves. */
export function finishReasonOf(document: JsonObject): "length" | "stop" {
  return document.stop_type === "limit" || document.stopped_limit === true ? "length" : "stop";
}

/** OpenAI's usage; with the prompt's part from the cache where the host tells it. */
export function usageOf(document: JsonObject): JsonObject {
  const prompt_tokens = countOf(document.tokens_evaluated) ?? 0;
  const completion_tokens = countOf(document.tokens_predicted) ?? 0;
  const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens };
  const cached_tokens = counts(document)?.cachedTokens ?? null;
  return cached_tokens === null ? usage : { ...usage, prompt_tokens_details: { cached_tokens } };
}

/** A count as the host tells it, or null. */
export function countOf(value: unknown): number | null {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : null;
}
