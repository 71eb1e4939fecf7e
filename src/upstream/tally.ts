/** What an answer has cost so far, as the engine tells it, or as counted where it does not. Pure. */
import { isObject, type JsonObject } from "#src/json.ts";

export type Tally = {
  /** Null while the engine has not said. */
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  /** Of the prompt's, those from the engine's prefix cache; null while it has not said. */
  readonly cachedTokens: number | null;
  /** Pieces of content seen: what is left to count by when the engine never says. One piece is about one token. */
  readonly contentPieces: number;
  readonly finishReason: string | null;
};

export const NOTHING_YET: Tally = {
  promptTokens: null,
  completionTokens: null,
  cachedTokens: null,
  contentPieces: 0,
  finishReason: null,
};

/** Completion tokens as the engine told them, or else as they were counted. */
export function tokensOf({ completionTokens, contentPieces }: Tally): number {
  return completionTokens ?? contentPieces;
}

/**
 * Reads the counts out of an answer or one of its events: `usage` (OpenAI, vLLM) or `timings` (llama.cpp).
 * `usage` wins: `timings` counts only the prompt tokens that were worked on, plus those from the cache. By hand, because
 * it is done for every event (by profile, a schema took a sixth of what an event did).
 *
 * @returns null where there are none, or they make no sense
 */
export function counts(document: unknown): Pick<Tally, "promptTokens" | "completionTokens" | "cachedTokens"> | null {
  if (!isObject(document)) return null;
  const timings = timingsOf(document.timings);
  const { usage } = document;
  if (isObject(usage) && isCount(usage.prompt_tokens) && isCountOrNone(usage.completion_tokens)) {
    const { prompt_tokens_details: details } = usage;
    const told = isObject(details) && isCount(details.cached_tokens) ? details.cached_tokens : null;
    // llama.cpp tells the cache's part only in its timings.
    const cachedTokens = told ?? timings?.cached ?? null;
    return { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens ?? 0, cachedTokens };
  }
  if (timings === null) return null;
  const { prompt, predicted, cached } = timings;
  return { promptTokens: prompt + (cached ?? 0), completionTokens: predicted, cachedTokens: cached };
}

function timingsOf(timings: unknown): { prompt: number; predicted: number; cached: number | null } | null {
  if (!isObject(timings)) return null;
  const { prompt_n: prompt, predicted_n: predicted, cache_n: cached } = timings;
  if (!isCount(prompt) || !isCount(predicted) || !isCountOrNone(cached)) return null;
  return { prompt, predicted, cached: cached ?? null };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isCountOrNone(value: unknown): value is number | null | undefined {
  return value == null || isCount(value);
}

/** What a whole answer in OpenAI's shape has cost. */
export function tallyOf(document: JsonObject): Tally {
  const [choice] = Array.isArray(document.choices) ? document.choices : [];
  const finishReason = typeof choice?.finish_reason === "string" ? choice.finish_reason : null;
  return { ...NOTHING_YET, ...counts(document), finishReason };
}
