/** The event of a request that has ended, from the draft its lease carried and what is known now. Pure. */
import type { Model } from "#src/catalog/schema.ts";
import type { InferenceEvent } from "./event.ts";
import { costMicros, type PricedHost, priceVersion } from "./price.ts";

/** What an answer cost as the engine told it; null where it did not. */
export type Counted = {
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
  readonly cachedTokens: number | null;
  readonly contentPieces: number;
  readonly finishReason: string | null;
};

export type Ending = {
  readonly outcome: InferenceEvent["outcome"];
  readonly host: string | null;
  readonly servedAs: string | null;
  /** What that host costs by the hour. */
  readonly pricedHost: PricedHost | null;
  /** When the host that was asked last was asked; null when none was. */
  readonly askedAtMs: number | null;
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
  const { outcome, host, servedAs, pricedHost, askedAtMs, attempts, counted, firstContentAtMs, nowMs } = ending;
  const promptTokens = counted === null ? 0 : (counted.promptTokens ?? draft.promptTokens);
  const completionTokens = counted === null ? 0 : (counted.completionTokens ?? counted.contentPieces);
  const cachedTokens = counted?.cachedTokens ?? null;
  // A host that was asked and did not begin to work has cost nothing.
  const hostMs = counted === null || askedAtMs === null ? null : Math.max(0, nowMs - askedAtMs);
  const spent = { promptTokens, completionTokens, cachedTokens, hostMs };
  return {
    ...draft,
    outcome,
    host,
    servedAs,
    attempts,
    promptTokens,
    completionTokens,
    cachedTokens,
    hostMs,
    estimated: counted !== null && (counted.promptTokens === null || counted.completionTokens === null),
    finishReason: counted?.finishReason ?? null,
    ttftMs: firstContentAtMs === null ? null : Math.max(0, firstContentAtMs - draft.atMs),
    latencyMs: Math.max(0, nowMs - draft.atMs),
    costMicros: counted === null ? nothingSpent(price) : costMicros(price, spent, pricedHost),
    priceVersion: priceVersion(price, pricedHost),
  };
}

/** Nobody worked, so nothing is owed, whatever the price; where there is no price not even that is said. */
function nothingSpent(price: Model["price"]): number | null {
  return price === undefined ? null : 0;
}

/** The event of a request that the cache answered: no host worked, nothing was spent. */
export function cachedEnding(
  draft: InferenceEvent,
  price: Model["price"],
  savedTokens: number,
  nowMs: number,
): InferenceEvent {
  const cost = { costMicros: nothingSpent(price), priceVersion: priceVersion(price, null) };
  const nothing = { promptTokens: 0, completionTokens: 0, estimated: false, ...cost };
  return {
    ...draft,
    ...nothing,
    outcome: "cached",
    cache: "hit",
    savedTokens,
    wastedTokens: 0,
    latencyMs: Math.max(0, nowMs - draft.atMs),
  };
}
