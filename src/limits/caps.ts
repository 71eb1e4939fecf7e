/**
 * What a single request may ask for: tokens and answers by its tier, length by its model, and engine options that cost
 * more than tokens do. Refused or cut down, as the tier says, before any host sees it. Pure.
 */
import type { Model } from "#src/catalog/schema.ts";
import { COSTLY_FIELDS, type Tier } from "#src/catalog/tier.ts";
import type { Question } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { leastTokens, likelyTokens } from "./estimate.ts";

/** What an answer is reserved where neither the caller nor the tier bounds it. Corrected when it settles. */
const UNBOUNDED_RESERVE = 1_024;

/** Tokens that a request is charged until it is known what it cost. */
export type Reservation = { readonly promptTokens: number; readonly completionTokens: number };

/**
 * The question within the tier's caps.
 *
 * @throws Problem `invalid_value`, `unsupported_value` or `context_length_exceeded`, with `param` naming the field
 */
export function withinCaps(question: Question, tier: Tier, model: Model): Question {
  refuseFields(question.body, tier);
  const body = question.route === "embeddings" ? question.body : capped(question.body, tier);
  refuseLength(question, body, model);
  return body === question.body ? question : { ...question, body };
}

/** What to reserve for a question that is within its caps. */
export function reservationOf({ route, body }: Question, bodyBytes: number): Reservation {
  const promptTokens = likelyTokens(body, bodyBytes);
  if (route === "embeddings") return { promptTokens, completionTokens: 0 };
  const answers = numberOf(body.n) ?? 1;
  return { promptTokens, completionTokens: (maxTokensOf(body) ?? UNBOUNDED_RESERVE) * answers * promptsOf(body) };
}

function refuseFields(body: JsonObject, { allowFields }: Tier): void {
  for (const param of COSTLY_FIELDS) {
    // What is switched off costs nothing.
    if (body[param] === undefined || body[param] === null || body[param] === false || allowFields.includes(param))
      continue;
    throw new Problem("unsupported_value", { param, message: `${param} is not open to your tier.` });
  }
}

function capped(body: JsonObject, { maxTokens, maxN, over }: Tier): JsonObject {
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
  // Without a bound of its own an answer is held to the tier's: so nothing can exceed what was reserved.
  if (maxTokensOf(body) === undefined) changed.max_tokens = maxTokens;
  return { ...body, ...changed };
}

/** In OpenAI's words; hosts say it too, to the token, of what this cannot tell. */
function refuseLength({ route }: Question, body: JsonObject, { context }: Model): void {
  if (context === undefined) return;
  const completion = route === "embeddings" ? 0 : (maxTokensOf(body) ?? 1);
  const prompt = leastTokens(body, context - completion);
  if (prompt + completion <= context) return;
  const param = route === "chat" ? "messages" : route === "completions" ? "prompt" : "input";
  const asked = `${prompt} in the ${param}, ${completion} in the completion`;
  const message =
    `This model's maximum context length is ${context} tokens. However, you requested at least ${prompt + completion} tokens ` +
    `(${asked}). Please reduce the length of the ${param} or completion.`;
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
