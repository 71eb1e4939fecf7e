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
  /** Up to the last character that is no white space: how long, and how many tokens had been made by then. */
  readonly solid: { readonly length: number; readonly tokens: number };
  readonly tally: Tally;
};

export function headOf({ id, object, created, model }: Record<string, unknown>): ChunkHead {
  return { id, object, created, model };
}
