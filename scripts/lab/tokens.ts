// The lab's tokenizer: one rule for usage, /tokenize, context limits and truth, so that they can be compared to the
// token. Ids are stable for vocabulary words; anything else gets an id from its own text. No I/O.
import { fold, spread } from "./hash.ts";
import { WORD_NUMBERS, WORDS } from "./vocabulary.ts";

/** A newline, or at most eight visible code points with the blank before them, or a lone blank. */
const TOKEN = /\n|[^\S\n]?[^\s]{1,8}|\s/gu;

const SPACED_FROM = 100;
const BARE_FROM = 1_000;
const FOREIGN_FROM = 10_000;
const FOREIGN_IDS = 90_000;
/** Foreign tokens remembered for /detokenize; the oldest is forgotten first. */
const REMEMBERED = 50_000;

/** Splits text into tokens; joined again they are the text. */
export function tokenize(text: string): string[] {
  return text.match(TOKEN) ?? [];
}

/** Tokens in the text: what usage and truth report. */
export function countTokens(text: string): number {
  return tokenize(text).length;
}

/** Numbers for tokens and back, for the tokenize routes and for prompts given as token ids. */
export class TokenIds {
  readonly #foreign = new Map<number, string>();

  /** The ids of a text's tokens; `detokenize` gives the text back. */
  encode(text: string): number[] {
    return tokenize(text).map((token) => this.#id(token));
  }

  /** The text of ids this host has given out; an id never seen becomes U+FFFD. */
  decode(ids: readonly number[]): string {
    return ids.map((id) => this.#text(id)).join("");
  }

  #id(token: string): number {
    const bare = WORD_NUMBERS.get(token);
    if (bare !== undefined) return BARE_FROM + bare;
    const spaced = token.startsWith(" ") ? WORD_NUMBERS.get(token.slice(1)) : undefined;
    if (spaced !== undefined) return SPACED_FROM + spaced;
    let id = FOREIGN_FROM + (spread(fold(0, token)) % FOREIGN_IDS);
    while (this.#foreign.has(id) && this.#foreign.get(id) !== token) id = FOREIGN_FROM + ((id + 1) % FOREIGN_IDS);
    this.#foreign.set(id, token);
    if (this.#foreign.size > REMEMBERED) this.#foreign.delete(this.#foreign.keys().next().value ?? id);
    return id;
  }

  #text(id: number): string {
    if (id >= SPACED_FROM && id < SPACED_FROM + WORDS.length) return ` ${WORDS[id - SPACED_FROM] ?? ""}`;
    if (id >= BARE_FROM && id < BARE_FROM + WORDS.length) return WORDS[id - BARE_FROM] ?? "";
    return this.#foreign.get(id) ?? "\uFFFD";
  }
}
