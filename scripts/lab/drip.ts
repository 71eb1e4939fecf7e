// An event stream in pieces smaller than its events, each in a write of its own, some time apart.
import type { ServerResponse } from "node:http";

/** Bytes in the pieces in which they leave. */
export type Cut = (text: string) => Buffer[];

/** One byte at a time. */
export const perByte: Cut = (text) => Array.from(Buffer.from(text), (byte) => Buffer.from([byte]));

/** Lines that end with CR LF, cut between the two: a reader sees a lone CR first. */
export const perLineBreak: Cut = (text) =>
  text
    .replaceAll("\n", "\r\n")
    .split(/(?<=\r)/)
    .map((piece) => Buffer.from(piece));

export class Drip {
  readonly #res: ServerResponse;
  readonly #cut: Cut;
  readonly #handed: (tokens: number) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #parts: { readonly pieces: readonly Buffer[]; readonly tokens: number }[] = [];
  #at = 0;
  #dry: (() => void) | undefined;

  constructor(res: ServerResponse, ms: number, cut: Cut, handed: (tokens: number) => void) {
    this.#res = res;
    this.#cut = cut;
    this.#handed = handed;
    this.#timer = setInterval(() => this.#drop(), Math.max(1, ms));
  }

  add(text: string, tokens: number): void {
    this.#parts.push({ pieces: this.#cut(text), tokens });
  }

  whenDry(dry: () => void): void {
    this.#dry = dry;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #drop(): void {
    const part = this.#parts[0];
    if (part === undefined) {
      if (this.#dry === undefined) return;
      this.stop();
      this.#dry();
      return;
    }
    const piece = part.pieces[this.#at];
    if (piece !== undefined) this.#res.write(piece);
    this.#at += 1;
    if (this.#at < part.pieces.length) return;
    this.#at = 0;
    this.#parts.shift();
    this.#handed(part.tokens);
  }
}
