// A small model of an engine's prefix cache: which leading 16-token blocks of a prompt were seen lately. Counts only; no
// text is kept.
import { fold } from "./hash.ts";
import { tokenize } from "./tokens.ts";

/** vLLM's default block size. */
export const BLOCK_TOKENS = 16;
/** 64k tokens' worth of blocks, a plausible share of one GPU's memory. */
export const MOST_BLOCKS = 4096;

export interface PrefixLook {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Names of its whole blocks: two prompts have those in common that they begin with. */
  readonly blocks: readonly number[];
}

export class PrefixCache {
  /** Insertion order is age: touched entries move to the end. */
  readonly #blocks = new Set<number>();
  queriedTokens = 0;
  hitTokens = 0;

  /** Counts a prompt's tokens and those found in the cache, and remembers its whole blocks. */
  look(prompt: string, salt: string): PrefixLook {
    const tokens = tokenize(prompt);
    let state = fold(0x811c9dc5, salt);
    let cachedTokens = 0;
    const blocks: number[] = [];
    let unbroken = true;
    // A fully cached prompt still computes its last token, so the block that ends exactly there is not counted a hit.
    for (let end = BLOCK_TOKENS; end < tokens.length; end += BLOCK_TOKENS) {
      for (let index = end - BLOCK_TOKENS; index < end; index += 1) state = fold(state, tokens[index] ?? "");
      unbroken = this.#blocks.delete(state) && unbroken;
      if (unbroken) cachedTokens += BLOCK_TOKENS;
      this.#blocks.add(state);
      blocks.push(state);
    }
    for (const oldest of this.#blocks) {
      if (this.#blocks.size <= MOST_BLOCKS) break;
      this.#blocks.delete(oldest);
    }
    this.queriedTokens += tokens.length;
    this.hitTokens += cachedTokens;
    return { promptTokens: tokens.length, cachedTokens, blocks };
  }
}
