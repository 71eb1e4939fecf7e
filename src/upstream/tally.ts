/** What an answer has cost so far, as the engine tells it, or as counted where it does not. Pure. */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";

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

const count = z.number().int().nonnegative();
const usageShape = z.object({
  prompt_tokens: count,
  completion_tokens: count.nullish(),
  prompt_tokens_details: z
    .object({ cached_tokens: count.nullish().catch(null) })
    .nullish()
    .catch(null),
});
const timingsShape = z.object({ prompt_n: count, predicted_n: count, cache_n: count.nullish() });
const counted = z.looseObject({ usage: usageShape.nullish().catch(null), timings: timingsShape.nullish().catch(null) });

/**
 * Reads the counts out of an answer or one of its events: `usage` (OpenAI, vLLM) or `timings` (llama.cpp).
 * `usage` wins: `timings` counts only the prompt tokens that were worked on, plus those from the cache.
 */
export function counts(document: unknown): Pick<Tally, "promptTokens" | "completionTokens" | "cachedTokens"> | null {
  const parsed = counted.safeParse(document);
  if (!parsed.success) return null;
  const { usage, timings } = parsed.data;
  if (usage != null) {
    // llama.cpp tells the cache's part only in its timings.
    const cachedTokens = usage.prompt_tokens_details?.cached_tokens ?? timings?.cache_n ?? null;
    return { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens ?? 0, cachedTokens };
  }
  if (timings == null) return null;
  const { prompt_n, predicted_n, cache_n } = timings;
  return { promptTokens: prompt_n + (cache_n ?? 0), completionTokens: predicted_n, cachedTokens: cache_n ?? null };
}

/** What a whole answer in OpenAI's shape has cost. */
export function tallyOf(document: JsonObject): Tally {
  const [choice] = Array.isArray(document.choices) ? document.choices : [];
  const finishReason = typeof choice?.finish_reason === "string" ? choice.finish_reason : null;
  return { ...NOTHING_YET, ...counts(document), finishReason };
}
