/**
 * Where one host's part of an answer ends and another's begins: what the caller has by then, which is all that the next
 * host is given. Pure.
 */
import type { Tally } from "./tally.ts";

/** Members that every chunk of one answer repeats. */
export type ChunkHead = {
  readonly id: unknown;
  readonly object: unknown;
  readonly created: unknown;
  readonly model: unknown;
};

export type Seam = {
  readonly head: ChunkHead;
  /** All of the answer that has passed to the caller. */
  readonly text: string;
  /** How many tokens had been made when how much of it had passed: so far back as a seam may be cut, oldest first. */
  readonly marks: readonly Mark[];
  /** Characters at the end of what its host has made that the host holds back, because they may begin a stop string. */
  readonly heldCharacters: number;
  readonly tally: Tally;
};

export type Mark = { readonly length: number; readonly tokens: number };

/**
 * The tokens of a seam's text that are whole within its first characters. Those of an event were made when what is held
 * back was made as well: they have passed only once so much more text has.
 */
export function tokensWithin({ marks, heldCharacters }: Seam, length: number): number {
  return marks.findLast((mark) => mark.length + heldCharacters <= length)?.tokens ?? marks[0]?.tokens ?? 0;
}

export function headOf({ id, object, created, model }: Record<string, unknown>): ChunkHead {
  return { id, object, created, model };
}
