/**
 * What an engine counted between two looks at it, held against what the ledger has of the same span. Nothing is
 * guessed: without two looks, or where the engine began anew in between, there is a reason and no difference. Pure.
 */
import { z } from "zod";
import type { Host } from "#src/catalog/schema.ts";
import type { HostTotals } from "#src/postgres/ledger-totals.ts";
import type { EngineCounters } from "./engine-counters.ts";

/** One look at one engine, as a report keeps it for the next one. */
export const engineLook = z.object({
  at_ms: z.number(),
  prompt_tokens: z.number(),
  completion_tokens: z.number(),
  in_flight: z.number().nullable(),
  started_at_s: z.number().nullable(),
});
export type EngineLook = z.infer<typeof engineLook>;

type Tokens = { readonly prompt_tokens: number; readonly completion_tokens: number };

export type EngineSpan =
  | { readonly kind: "incomparable"; readonly reason: "first_look" | "engine_restarted" }
  | { readonly kind: "compared"; readonly engine: Tokens; readonly ledger: Tokens; readonly difference: Tokens };

/** A process that began this long after the look before is another one: clocks differ a little. */
const CLOCKS_DIFFER_S = 5;

/** What was seen of an engine at a time. */
export function lookAt(counters: EngineCounters, atMs: number): EngineLook {
  const { promptTokens, completionTokens, inFlight, startedAtS } = counters;
  const tokens = { prompt_tokens: promptTokens, completion_tokens: completionTokens };
  return { at_ms: atMs, ...tokens, in_flight: inFlight, started_at_s: startedAtS };
}

/**
 * The comparison.
 *
 * llama.cpp counts the prompt tokens that it computed, vLLM all that it was given: of a llama.cpp host, what it had in
 * its prefix cache is taken off the ledger's side.
 *
 * @param ledger of requests that ended on the host between the looks
 */
export function compare(
  engine: Host["engine"],
  before: EngineLook | null,
  now: EngineLook,
  ledger: HostTotals,
): EngineSpan {
  if (before === null) return { kind: "incomparable", reason: "first_look" };
  if (beganAnew(before, now)) return { kind: "incomparable", reason: "engine_restarted" };
  const entered = {
    prompt_tokens: ledger.promptTokens - (engine === "llamacpp" ? ledger.cachedTokens : 0),
    completion_tokens: ledger.completionTokens,
  };
  const counted = minus(now, before);
  return { kind: "compared", engine: counted, ledger: entered, difference: minus(counted, entered) };
}

function beganAnew(before: EngineLook, now: EngineLook): boolean {
  const since = minus(now, before);
  if (since.prompt_tokens < 0 || since.completion_tokens < 0) return true;
  return now.started_at_s !== null && now.started_at_s > before.at_ms / 1000 + CLOCKS_DIFFER_S;
}

function minus(one: Tokens, other: Tokens): Tokens {
  return {
    prompt_tokens: one.prompt_tokens - other.prompt_tokens,
    completion_tokens: one.completion_tokens - other.completion_tokens,
  };
}
