/** The event of a request that has ended, from the draft its lease carried and what is known now. Pure. */
import type { Model } from "#src/catalog/schema.ts";
import type { InferenceEvent } from "./event.ts";
import { costMicros } from "./price.ts";

/** What an answer cost as the engine told it; null where it did not. */
export type Counted = {
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly contentPieces: number;
  readonly finishReason: string | null;
};

export type Ending = {
  readonly outcome: InferenceEvent["outcome"];
  readonly host: string | null;
  readonly servedAs: string | null;
  readonly attempts: number;
  /** Null when no host began to work. */
  readonly counted: Counted | null;
  readonly firstContentAtMs: number | null;
  readonly nowMs: number;
};

/**
 * Completes the draft.
 *
 * Tokens the engine told are exact. Where it began to work and told nothing, pieces of content stand for completion
 * tokens and the draft's estimate for the prompt's, and the event says `estimated`.
 */
export function endingOf(draft: InferenceEvent, price: Model["price"], ending: Ending): InferenceEvent {
  const { outcome, host, servedAs, attempts, counted, firstContentAtMs, nowMs } = ending;
  const promptTokens = counted === null ? 0 : (counted.promptTokens ?? draft.promptTokens);
  const completionTokens = counted === null ? 0 : (counted.completionTokens ?? counted.contentPieces);
  return {
    ...draft,
    outcome,
    host,
    servedAs,
    attempts,
    promptTokens,
    completionTokens,
    estimated: counted !== null && (counted.promptTokens === null || counted.completionTokens === null),
    finishReason: counted?.finishReason ?? null,
    ttftMs: firstContentAtMs === null ? null : Math.max(0, firstContentAtMs - draft.atMs),
    latencyMs: Math.max(0, nowMs - draft.atMs),
    costMicros: costMicros(price, promptTokens + completionTokens),
  };
}

/** The event of a request that the cache answered: no host worked, nothing was spent. */
export function cachedEnding(draft: InferenceEvent, savedTokens: number, nowMs: number): InferenceEvent {
  const nothing = { promptTokens: 0, completionTokens: 0, estimated: false, costMicros: 0 };
  return {
    ...draft,
    ...nothing,
    outcome: "cached",
    cache: "hit",
    savedTokens,
    latencyMs: Math.max(0, nowMs - draft.atMs),
  };
}
