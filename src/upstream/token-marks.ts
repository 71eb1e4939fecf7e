/**
 * Where in the text of an answer tokens end: only there can another host go on as the first would have. Pure.
 *
 * An event's tokens end where its text ends, unless its host holds some back, because it may begin a stop string: then
 * they end so many characters further on, in text that has yet to come.
 */

/** So many tokens make so much of the text. */
export type Mark = {
  /** UTF-16 units from the text's beginning. */
  readonly reach: number;
  readonly tokens: number;
};

/** A text that is all white space may be without end, and of its marks every second one tells enough. */
const MOST_MARKS = 1_024;

export class TokenMarks {
  /** Within the text so far, oldest first: from the last that does not end in white space. */
  #known: Mark[];
  /** Beyond it, by characters as the host counts them. */
  readonly #beyond: { readonly character: number; readonly tokens: number }[] = [];
  #length: number;
  #characters = 0;
  #heldCharacters = 0;

  /** @param length of the text that is there already, and `from` how many tokens make how much of it */
  constructor(length = 0, from: Mark = { reach: 0, tokens: 0 }) {
    this.#length = length;
    this.#known = [from];
  }

  /** The host holds back so many characters at the end of what it has made. */
  holdsBack(characters: number): void {
    this.#heldCharacters = characters;
  }

  /**
   * The text grows by a piece.
   *
   * @param tokens of the whole text, with what is held back of it
   */
  pass(piece: string, tokens: number): void {
    if (this.#heldCharacters === 0) {
      this.#length += piece.length;
      this.#know(tokens, isSolid(piece));
      return;
    }
    for (const character of piece) {
      this.#length += character.length;
      this.#characters += 1;
      if (this.#beyond[0]?.character !== this.#characters) continue;
      this.#know(this.#beyond[0].tokens, isSolid(character));
      this.#beyond.shift();
    }
    this.#beyond.push({ character: this.#characters + this.#heldCharacters, tokens });
  }

  /** Those that are known, and the first beyond the text, as far as it can be told before its characters are there. */
  marks(): Mark[] {
    const [next] = this.#beyond;
    if (next === undefined) return [...this.#known];
    const reach = this.#length + next.character - this.#characters;
    return [...this.#known, { reach, tokens: next.tokens }];
  }

  #know(tokens: number, isSolidThere: boolean): void {
    // No seam is cut before the last of them that can be written on.
    if (isSolidThere) this.#known = [];
    else if (this.#known.length > MOST_MARKS) this.#known = this.#known.filter((_, at) => at % 2 === 0);
    this.#known.push({ reach: this.#length, tokens });
  }
}

/** Whether a text may end there: templates trim white space, and half a character is sent to nobody. */
export function isSolid(text: string): boolean {
  return text.trimEnd().length === text.length && !isHalf(text);
}

/** Ends in the first half of a surrogate pair: a character that came in two events. */
export function isHalf(text: string): boolean {
  const last = text.charCodeAt(text.length - 1);
  return last >= 0xd800 && last <= 0xdbff;
}
