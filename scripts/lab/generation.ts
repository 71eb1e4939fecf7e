// One choice of one answer: tokens under a cap, a minimum, stop strings and the context's end. Pure: it is stepped by
// whoever keeps the time.
import { type Answer, type AnswerOptions, answer } from "./answer.ts";

export type Finish = "stop" | "length";

export interface Piece {
  /** Text that may be shown now; empty while it could still become a stop string. */
  readonly text: string;
  /** 1 for a generated token, 0 for an ending that is no token of its own. */
  readonly tokens: 0 | 1;
  readonly finish: Finish | null;
  /** The stop string that ended the answer. */
  readonly stopWord: string | null;
}

export interface Limits {
  readonly maxTokens: number;
  readonly minTokens: number;
  readonly ignoreEos: boolean;
  readonly stop: readonly string[];
  /**
   * What is held back because it could become a stop string: vLLM always keeps the longest one's length less one,
   * llama.cpp only a tail that has begun one.
   */
  readonly holdback: "always" | "begun";
}

export class Generation {
  readonly #answer: Answer;
  readonly #limits: Limits;
  /** Longest tail that can be the beginning of a stop string. */
  readonly #longestHold: number;
  #held = "";
  tokens = 0;
  text = "";
  finish: Finish | null = null;
  stopWord: string | null = null;

  constructor(prompt: string, options: AnswerOptions, limits: Limits) {
    this.#answer = answer(prompt, options);
    this.#limits = limits;
    this.#longestHold = Math.max(0, ...limits.stop.map((word) => word.length - 1));
  }

  /** Makes the next token, or the ending where the model would say no more. Not to be called after `finish`. */
  step(): Piece {
    const { maxTokens, minTokens, ignoreEos } = this.#limits;
    if (this.tokens >= maxTokens) return this.#end("length", null, 0);
    const mayEnd = !ignoreEos && this.tokens >= minTokens;
    const token = mayEnd ? this.#answer.next() : this.#answer.further();
    if (token === null) return this.#end("stop", null, 0);
    this.tokens += 1;
    this.#held += token;
    const hit = this.tokens > minTokens ? this.#firstStop() : null;
    if (hit !== null) {
      this.#held = this.#held.slice(0, hit.at);
      return this.#end("stop", hit.word, 1);
    }
    if (this.tokens >= maxTokens) return this.#end("length", null, 1);
    return { text: this.#release(this.#toHold()), tokens: 1, finish: null, stopWord: null };
  }

  #end(finish: Finish, stopWord: string | null, tokens: 0 | 1): Piece {
    this.finish = finish;
    this.stopWord = stopWord;
    return { text: this.#release(0), tokens, finish, stopWord };
  }

  #release(keep: number): string {
    let cut = Math.max(0, this.#held.length - keep);
    // Never between the halves of a surrogate pair: half a character is no valid UTF-8.
    if (cut > 0 && cut < this.#held.length && (this.#held.codePointAt(cut - 1) ?? 0) > 0xffff) cut -= 1;
    const text = this.#held.slice(0, cut);
    this.#held = this.#held.slice(cut);
    this.text += text;
    return text;
  }

  #toHold(): number {
    if (this.#limits.holdback === "always") return this.#longestHold;
    for (let length = Math.min(this.#longestHold, this.#held.length); length > 0; length -= 1) {
      const tail = this.#held.slice(-length);
      if (this.#limits.stop.some((word) => word.startsWith(tail))) return length;
    }
    return 0;
  }

  #firstStop(): { at: number; word: string } | null {
    let found: { at: number; word: string } | null = null;
    for (const word of this.#limits.stop) {
      const at = this.#held.indexOf(word);
      if (at >= 0 && (found === null || at < found.at)) found = { at, word };
    }
    return found;
  }
}
