/**
 * What a single request may ask for: tokens and answers by its tier, length by its model, and engine options that cost
 * more than tokens do. Refused or cut down, as the tier says, before any host sees it. Pure.
 */
import { likelyAudioTokens } from "#src/audio.ts";
import type { Model } from "#src/catalog/schema.ts";
import { COSTLY_FIELDS, type Tier } from "#src/catalog/tier.ts";
import type { Question } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { leastTokens, likelyTokens } from "./estimate.ts";

/** What an answer is reserved where neither the caller nor the tier bounds it. Corrected when it settles. */
const UNBOUNDED_RESERVE = 1_024;

/**
 * The part of a model's context that an answer may fill where the prompt alone seems to fill it: prompts are estimated,
 * and an engine's exact refusal helps a caller more than an answer of one word.
 */
const LEAST_ROOM = 1 / 16;

/** Tokens that a request is charged until it is known what it cost. */
export type Reservation = { readonly promptTokens: number; readonly completionTokens: number };

/**
 * The question within the tier's caps.
 *
 * @param bodyBytes of the document as it came in
 * @throws Problem `invalid_value`, `unsupported_value` or `context_length_exceeded`, with `param` naming the field
 */
export function withinCaps(question: Question, bodyBytes: number, tier: Tier, model: Model): Question {
  refuseFields(question.body, tier);
  const body = generates(question) ? capped(question.body, bodyBytes, tier, model) : question.body;
  if (generates(question) || question.route === "embeddings") refuseLength(question, body, model);
  return body === question.body ? question : { ...question, body };
}

/** What to reserve for a question that is within its caps. */
export function reservationOf({ route, body }: Pick<Question, "route" | "body">, bodyBytes: number): Reservation {
  if (route === "transcriptions") return likelyAudioTokens(bodyBytes);
  // No engine generates anything for it, or works on a prompt.
  if (route === "tokenize") return { promptTokens: 0, completionTokens: 0 };
  const promptTokens = likelyTokens(body, bodyBytes);
  if (route === "rerank") return { promptTokens: promptTokens + repeatedTokens(body), completionTokens: 0 };
  if (route === "embeddings") return { promptTokens, completionTokens: 0 };
  const answers = numberOf(body.n) ?? 1;
  return { promptTokens, completionTokens: (maxTokensOf(body) ?? UNBOUNDED_RESERVE) * answers * promptsOf(body) };
}

function generates({ route }: Pick<Question, "route">): boolean {
  return route === "chat" || route === "completions";
}

/** Each document is read together with the query. */
function repeatedTokens({ query, documents }: JsonObject): number {
  if (typeof query !== "string" || !Array.isArray(documents)) return 0;
  return likelyTokens({}, query.length) * (documents.length - 1);
}

function refuseFields(body: JsonObject, { allowFields }: Tier): void {
  for (const param of COSTLY_FIELDS) {
    // What is switched off costs nothing.
    if (body[param] === undefined || body[param] === null || body[param] === false || allowFields.includes(param))
      continue;
    throw new Problem("unsupported_value", { param, message: `${param} is not open to your tier.` });
  }
}

function capped(body: JsonObject, bodyBytes: number, { maxTokens, maxN, over }: Tier, { context }: Model): JsonObject {
  const changed: Record<string, unknown> = {};
  const n = numberOf(body.n);
  if (maxN !== undefined && n !== undefined && n > maxN) {
    if (over === "refuse") throw tooMuch("n", `n is too large: ${n}. Your tier allows ${maxN}.`);
    changed.n = maxN;
  }
  if (maxTokens === undefined) return { ...body, ...changed };
  for (const param of ["max_completion_tokens", "max_tokens"] as const) {
    const asked = numberOf(body[param]);
    if (asked === undefined || asked <= maxTokens) continue;
    if (over === "refuse") {
      const message = `${param} is too large: ${asked}. Your tier allows at most ${maxTokens} completion tokens.`;
      throw tooMuch(param, message);
    }
    changed[param] = maxTokens;
  }
  // Without a bound of its own an answer is held to the tier's: so nothing can exceed what was reserved. Engines refuse
  // a bound that does not fit the context beside the prompt, and this one the caller did not name.
  if (maxTokensOf(body) === undefined) changed.max_tokens = Math.min(maxTokens, roomIn(context, body, bodyBytes));
  return { ...body, ...changed };
}

/** What a context probably holds beside the prompt. */
function roomIn(context: number | undefined, body: JsonObject, bodyBytes: number): number {
  if (context === undefined) return Number.POSITIVE_INFINITY;
  return Math.ceil(Math.max(context - likelyTokens(body, bodyBytes), context * LEAST_ROOM));
}

/** In OpenAI's words; hosts say it too, to the token, of what this cannot tell. */
function refuseLength({ route, body: asked }: Question, body: JsonObject, { context }: Model): void {
  if (context === undefined) return;
  // A bound that the caller did not name is none that can be too large.
  const bound = maxTokensOf(asked) === undefined ? 1 : (maxTokensOf(body) ?? 1);
  const completion = route === "embeddings" ? 0 : bound;
  const prompt = leastTokens(body, context - completion);
  if (prompt + completion <= context) return;
  const param = route === "chat" ? "messages" : route === "completions" ? "prompt" : "input";
  const parts = `${prompt} in the ${param}, ${completion} in the completion`;
  const message =
    `This model's maximum context length is ${context} tokens. However, you requested at least ${prompt + completion} tokens ` +
    `(${parts}). Please reduce the length of the ${param} or completion.`;
  throw new Problem("context_length_exceeded", { param, message });
}

function tooMuch(param: string, message: string): Problem {
  return new Problem("invalid_value", { param, message });
}

function maxTokensOf(body: JsonObject): number | undefined {
  return numberOf(body.max_completion_tokens) ?? numberOf(body.max_tokens);
}

/** Raw completions answer every prompt of a list. */
function promptsOf({ prompt }: JsonObject): number {
  return Array.isArray(prompt) && !prompt.every((id) => typeof id === "number") ? prompt.length : 1;
}

function numberOf(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}
