/**
 * An event stream on its way from a host to the caller: what both dialects do alike. Whole events only; what cannot be
 * passed on shows in `broken`; what the answer has cost so far is at hand at any moment. Pure; does no I/O.
 */
import { concat } from "#src/bytes.ts";
import type { Protocol } from "#src/ingress/wording.ts";
import { isObject } from "#src/json.ts";
import { type EventFields, EventSplitter, EventTooLarge, fieldsOf } from "#src/sse.ts";
import { KeptText } from "./kept-text.ts";
import type { ChunkHead, Seam } from "./seam.ts";
import { NOTHING_YET, type Tally, tokensOf } from "./tally.ts";
import { type Mark, TokenMarks } from "./token-marks.ts";

/** The engine's stream cannot be passed on. */
export class BrokenStream extends Error {
  override readonly name: string = "BrokenStream";
}

/** Turns an engine's stream into the caller's. */
export abstract class AnswerStream {
  /** In whose words its events are. A host that speaks the caller's own protocol needs no voice. */
  readonly protocol: Protocol = "openai";
  readonly #events = new EventSplitter();
  #broken: BrokenStream | EventTooLarge | null = null;
  /** Set by a dialect with the answer's last event. SDKs stop reading there, so nothing after it may pass. */
  protected isWhole = false;
  protected counted: Tally = NOTHING_YET;
  readonly #text = new KeptText();
  #keepsCharacters = 0;
  /** What remains of a text that is longer than that. */
  #keepsOfLonger = 0;
  /** Characters that passed were not kept. */
  #isCut = false;
  #marks = new TokenMarks();

  /**
   * Takes what arrived. What cannot be passed on shows in `broken`, so that the whole events before it still pass.
   *
   * @returns whole events for the caller, or null when there is none yet
   */
  push(chunk: Uint8Array): Uint8Array | null {
    const passed: Uint8Array[] = [];
    try {
      if (this.isWhole) return null;
      for (const event of this.#events.push(chunk)) {
        passed.push(...this.take(event));
        if (this.isWhole) break;
      }
    } catch (cause) {
      if (!(cause instanceof BrokenStream || cause instanceof EventTooLarge)) throw cause;
      this.#broken = cause;
    }
    if (passed.length === 0) return null;
    // The very same bytes go on when nothing was held back, cut or dropped.
    const passedBytes = passed.reduce((bytes, event) => bytes + event.byteLength, 0);
    const untouched = passedBytes === chunk.byteLength && passed.every((event) => event.buffer === chunk.buffer);
    return untouched ? chunk : concat(passed);
  }

  /**
   * To be asked when the host has ended the stream without the last event.
   *
   * @returns what is still owed to the caller when the answer is whole all the same; null when it is not
   */
  abstract finish(): Uint8Array | null;

  /**
   * One whole event of the host's.
   *
   * @returns events for the caller
   * @throws BrokenStream when it cannot be passed on
   */
  protected abstract take(event: Uint8Array): readonly Uint8Array[];

  /** Set when the engine talks garbage, reports an error or sends an event too large. Nothing may be pushed after it. */
  get broken(): BrokenStream | EventTooLarge | null {
    return this.#broken;
  }

  /** True once the answer is whole: its last event was seen. What comes after it takes nothing from it. */
  get endedWell(): boolean {
    return this.isWhole;
  }

  /** What the answer has cost so far. */
  get tally(): Tally {
    return this.counted;
  }

  /** What the host that speaks now has made of it. */
  get part(): Tally {
    return this.counted;
  }

  /**
   * Keeps the text of the answer as well, up to so many characters.
   *
   * @param heldCharacters those that the host holds back at the end of what it has made
   * @param ofLonger characters that remain of a text that turns out to be longer: nothing can be carried on from it then,
   *   and a caller who reads it slowly would hold it for hours
   */
  keepText(characters: number, heldCharacters = 0, ofLonger = characters): void {
    this.#keepsCharacters = characters;
    this.#marks.holdsBack(heldCharacters);
    this.#keepsOfLonger = ofLonger;
  }

  /** The text so far, where it is kept. */
  get text(): string {
    return this.#text.toString();
  }

  /**
   * What the caller has already: this answer goes on from there.
   *
   * @param from the tokens of the parts before, and how far they reach
   */
  protected goOnFrom(text: string, from: Mark): void {
    this.#keepsCharacters = Number.POSITIVE_INFINITY;
    this.#text.append(text);
    this.#marks = new TokenMarks(text.length, from);
  }

  /** A dialect hands in each piece of text that passes, once it is counted. */
  protected noteText(piece: string): void {
    if (piece === "" || this.#isCut) return;
    const room = this.#keepsCharacters - this.#text.length;
    this.#text.append(piece.slice(0, Math.max(0, room)));
    if (piece.length > room) {
      this.#isCut = true;
      this.#text.shorten(this.#keepsOfLonger);
      return;
    }
    this.#marks.pass(piece, tokensOf(this.tally));
  }

  /** A dialect says once that the answer is more than one plain text, which only its own host can carry on. */
  isPlainText = true;

  /** What every chunk of this answer repeats, as the caller has it; null before the first. */
  protected abstract get head(): ChunkHead | null;

  /** Where another host could carry the answer on; null where it cannot, or the text was not kept to its end. */
  seam(): Seam | null {
    const { head } = this;
    if (head === null || !this.isPlainText || this.#isCut || this.#text.length === 0) return null;
    return { head, text: this.text, marks: this.#marks.marks(), tally: this.tally };
  }

  /** True once the caller has got something that it waited for. */
  get hasContent(): boolean {
    return this.counted.contentPieces > 0;
  }
}

/**
 * The fields of one event.
 *
 * @throws BrokenStream when it is not UTF-8: some clients fall over it, others read another text than was counted
 */
export function readEvent(event: Uint8Array): EventFields {
  try {
    return fieldsOf(event);
  } catch (cause) {
    throw new BrokenStream("an event is not UTF-8", { cause });
  }
}

/**
 * The document of one event.
 *
 * @throws BrokenStream when it is no JSON object, or the engine's own report of an error
 */
export function parseEvent(data: string): Record<string, unknown> {
  let document: unknown;
  try {
    document = JSON.parse(data);
  } catch (cause) {
    throw new BrokenStream("an event is not JSON", { cause });
  }
  if (!isObject(document)) throw new BrokenStream("an event is not a JSON object");
  // Older vLLM puts the error's members at the top level.
  if (document.error != null || document.object === "error") throw new BrokenStream("the engine reported an error");
  return document;
}
