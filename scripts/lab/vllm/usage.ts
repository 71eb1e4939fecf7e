// vLLM's usage objects; member order as its models declare it.
import type { Facts } from "../shape.ts";

export interface VllmUsage {
  readonly prompt_tokens: number;
  readonly total_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details?: { readonly cached_tokens: number } | null;
}

/** Usage of an answer that is not streamed: the details are there, if only as null. */
export function wholeUsage(facts: Facts): VllmUsage {
  const { prompt_tokens_details = null, ...counts } = finalUsage(facts);
  return { ...counts, prompt_tokens_details };
}

/** Usage of a stream's last chunk. */
export function finalUsage({ promptTokens, cachedTokens, completionTokens }: Facts): VllmUsage {
  const usage = runningUsage(promptTokens, completionTokens);
  return cachedTokens > 0 ? { ...usage, prompt_tokens_details: { cached_tokens: cachedTokens } } : usage;
}

/** Usage so far, of one choice: what continuous_usage_stats adds to each chunk. */
export function runningUsage(promptTokens: number, completionTokens: number): VllmUsage {
  return {
    prompt_tokens: promptTokens,
    total_tokens: promptTokens + completionTokens,
    completion_tokens: completionTokens,
  };
}
