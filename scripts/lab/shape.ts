// What stands between a generation and the wire: what is asked, what is known while it runs, and the dialect's way to
// write it. Types only.
import type { Generation, Limits, Piece } from "./generation.ts";
import type { Headers } from "./whole-reply.ts";

export interface Ask {
  readonly id: string;
  readonly model: string;
  /** One choice per prompt and n. */
  readonly prompts: readonly string[];
  readonly n: number;
  readonly shift: number;
  readonly limits: Limits;
  readonly script?: string | undefined;
  /** vLLM's `cache_salt`: prefixes are shared only among requests of one salt. */
  readonly cacheSalt?: string;
  readonly stream: boolean;
}

/** What is known of a generation while it runs; tokens are sums over all choices. */
export interface Facts {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  completionTokens: number;
  slot: number;
  promptMs: number;
  decodeMs: number;
}

export interface Choice {
  readonly index: number;
  readonly prompt: string;
  readonly generation: Generation;
}

export interface Shape {
  readonly streamHeaders: Headers;
  readonly wholeHeaders: Headers;
  /** vLLM answers 200 as soon as it accepts, llama.cpp when a slot begins. */
  readonly headersAt: "accept" | "start";
  readonly errorEvent: string;
  readonly errorBody: string;
  /** Events before the first token. */
  opening(choices: readonly Choice[], facts: Facts): string;
  /** The events of one piece of one choice. */
  piece(choice: Choice, piece: Piece, facts: Facts): string;
  /** Events behind the last piece. */
  ending(facts: Facts): string;
  /** The body of an answer that is not streamed. */
  whole(choices: readonly Choice[], facts: Facts): unknown;
}
