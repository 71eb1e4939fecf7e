/**
 * The text of an answer as it grows by tokens. Added up as strings it would be a rope with a node for every token, ten
 * times as large as its characters (measured: 2.5 MB for an answer of 10 MB on the wire); so it is joined now and then.
 */

/** Tokens that are joined to one string. */
const JOINED_AT = 64;

export class KeptText {
  readonly #joined: string[] = [];
  #recent: string[] = [];
  #length = 0;

  /** In UTF-16 units. */
  get length(): number {
    return this.#length;
  }

  append(piece: string): void {
    this.#recent.push(piece);
    this.#length += piece.length;
    if (this.#recent.length < JOINED_AT) return;
    this.#joined.push(this.#recent.join(""));
    this.#recent = [];
  }

  /** Forgets what is behind so many UTF-16 units. */
  shorten(length: number): void {
    const pieces = [...this.#joined, ...this.#recent];
    this.#joined.length = 0;
    this.#recent = [];
    this.#length = 0;
    for (const piece of pieces) {
      if (this.#length >= length) return;
      const kept = piece.slice(0, length - this.#length);
      this.#joined.push(kept);
      this.#length += kept.length;
    }
  }

  toString(): string {
    return [...this.#joined, ...this.#recent].join("");
  }
}
