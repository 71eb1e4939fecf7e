// llama.cpp's usage and timings objects, and the settings it echoes. Pure.

import type { Limits } from "../generation.ts";
import type { Facts } from "../shape.ts";

export const BUILD_INFO = "b7100-1a2b3c4d5";

/** The `timings` member; milliseconds as the server measures them. */
export function timings({ promptTokens, cachedTokens, completionTokens, promptMs, decodeMs }: Facts): unknown {
  const promptN = promptTokens - cachedTokens;
  return {
    cache_n: cachedTokens,
    prompt_n: promptN,
    prompt_ms: promptMs,
    prompt_per_token_ms: promptN > 0 ? promptMs / promptN : 0,
    prompt_per_second: promptMs > 0 ? (1000 * promptN) / promptMs : 0,
    predicted_n: completionTokens,
    predicted_ms: decodeMs,
    predicted_per_token_ms: completionTokens > 0 ? decodeMs / completionTokens : 0,
    predicted_per_second: decodeMs > 0 ? (1000 * completionTokens) / decodeMs : 0,
  };
}

/** The `usage` member, in the server's member order. */
export function usage({ promptTokens, cachedTokens, completionTokens }: Facts): unknown {
  return {
    completion_tokens: completionTokens,
    prompt_tokens: promptTokens,
    total_tokens: completionTokens + promptTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

/** What the server shows as generation_settings and in /slots as params: the members that matter here. */
export function settings(limits: Pick<Limits, "maxTokens" | "stop" | "ignoreEos">, stream: boolean): unknown {
  return {
    seed: 4294967295,
    temperature: 0.8,
    top_k: 40,
    top_p: 0.95,
    min_p: 0.05,
    stop: limits.stop,
    max_tokens: limits.maxTokens,
    n_predict: limits.maxTokens,
    n_keep: 0,
    n_discard: 0,
    ignore_eos: limits.ignoreEos,
    stream,
    n_probs: 0,
    min_keep: 0,
    grammar: "",
    samplers: ["top_k", "top_p", "min_p", "temperature"],
    timings_per_token: false,
  };
}
