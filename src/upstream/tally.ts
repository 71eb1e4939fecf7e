/** What an answer has cost so far, as the engine tells it, or as counted where it does not. Pure. */
import { z } from "zod";

export type Tally = {
  /** Null while the engine has not said. */
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  /** Pieces of content seen: what is left to count by when the engine never says. One piece is about one token. */
  readonly contentPieces: number;
  readonly finishReason: string | null;
};

export const NOTHING_YET: Tally = { promptTokens: null, completionTokens: null, contentPieces: 0, finishReason: null };

const count = z.number().int().nonnegative();
const usageShape = z.object({ prompt_tokens: count, completion_tokens: count.nullish() });
const timingsShape = z.object({ prompt_n: count, predicted_n: count, cache_n: count.nullish() });
const counted = z.looseObject({ usage: usageShape.nullish().catch(null), timings: timingsShape.nullish().catch(null) });

/**
 * Reads the counts out of an answer or one of its events: `usage` (OpenAI, vLLM) or `timings` (llama.cpp).
 * `usage` wins: `timings` counts only the prompt tokens that were worked on, plus those from the cache.
 */
export function counts(document: unknown): Pick<Tally, "promptTokens" | "completionTokens"> | null {
  const parsed = counted.safeParse(document);
  if (!parsed.success) return null;
  const { usage, timings } = parsed.data;
  if (usage != null) return { promptTokens: usage.prompt_tokens, completionTokens: usage.completion_tokens ?? 0 };
  if (timings == null) return null;
  return { promptTokens: timings.prompt_n + (timings.cache_n ?? 0), completionTokens: timings.predicted_n };
}
