/**
 * How a stream is told to its caller. Hosts are asked for chat or raw completions, and what passes of their answer is
 * whole OpenAI events; a voice says those in the protocol that the caller speaks. It lives as long as the caller's
 * stream, over all hosts that answer in it. Pure; does no I/O.
 */
import { type Problem, sseError } from "#src/problem.ts";

export type Voice = {
  /**
   * Whole OpenAI events in the caller's words.
   *
   * @returns whole events, or null when there is nothing to say yet
   * @throws BrokenStream when they make no sense there
   */
  say(events: Uint8Array): Uint8Array | null;
  /** Whole events that a host said in the caller's own protocol: they pass the voice by. For one that numbers its events. */
  heard?(events: Uint8Array): void;
  /** What ends a stream that cannot go on: the last thing said. */
  fail(problem: Problem): Uint8Array;
};

/** OpenAI's own words: what came passes untouched. */
export const PLAIN: Voice = { say: (events) => events, fail: sseError };
