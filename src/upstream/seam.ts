/**
 * Where one host's part of an answer ends and another's begins: what the caller has by then, which is all that the next
 * host is given. Pure.
 */
import type { Tally } from "./tally.ts";
import type { Mark } from "./token-marks.ts";

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
  /** Where tokens end: so far back as a seam may be cut, oldest first. */
  readonly marks: readonly Mark[];
  readonly tally: Tally;
};

/**
 * The tokens of a seam's text that are whole within its first characters. Between two marks they are taken to be of equal
 * length: of what a host held back before it let the first word go, nothing tells where a token ends.
 */
export function tokensWithin({ marks }: Pick<Seam, "marks">, length: number): number {
  const beyond = marks.findIndex(({ reach }) => reach > length);
  const [below, above] = [marks.at(beyond === -1 ? -1 : Math.max(0, beyond - 1)), marks[beyond]];
  if (below === undefined) return 0;
  if (above === undefined || above === below) return below.tokens;
  const part = (length - below.reach) / (above.reach - below.reach);
  return below.tokens + Math.floor(part * (above.tokens - below.tokens));
}

export function headOf({ id, object, created, model }: Record<string, unknown>): ChunkHead {
  return { id, object, created, model };
}
