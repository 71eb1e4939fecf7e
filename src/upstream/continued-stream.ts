/**
 * A later part of an answer, told as if the first host had gone on: under the first part's id, without a second role,
 * and with the usage of all parts. Pure.
 */
import { isObject } from "#src/json.ts";
import { eventOf, fieldsOf } from "#src/sse.ts";
import { AnswerStream, BrokenStream, parseEvent } from "./answer-stream.ts";
import type { ChunkHead, Seam } from "./seam.ts";
import { type Tally, tokensOf } from "./tally.ts";

/** A host has gone on otherwise than what it was to repeat: it cannot be asked from there. */
export class SaidOtherwise extends BrokenStream {
  override readonly name = "SaidOtherwise";
}

/** Members that count; the parts' own would contradict each other. */
const COUNTS = ["usage", "timings"];

export class ContinuedStream extends AnswerStream {
  readonly #part: AnswerStream;
  readonly #seam: Seam;
  readonly #delivered: number;
  readonly #wantsUsage: boolean;
  /** What the caller has already of what this part says first. */
  #owed: string;
  #hasGoneOn = false;

  /**
   * @param part reads the host's own stream and hides nothing
   * @param delivered tokens of the parts before
   * @param wantsUsage the caller asked for the usage chunk
   */
  constructor(part: AnswerStream, seam: Seam, delivered: number, owed: string, wantsUsage: boolean) {
    super();
    this.#part = part;
    this.#seam = seam;
    this.#delivered = delivered;
    this.#owed = owed;
    this.#wantsUsage = wantsUsage;
    this.goOnFrom(seam.text, { reach: seam.text.length - owed.length, tokens: delivered });
  }

  override push(chunk: Uint8Array): Uint8Array | null {
    const events = this.#part.push(chunk);
    return events === null ? null : super.push(events);
  }

  finish(): Uint8Array | null {
    const events = this.#part.finish();
    return events === null ? null : super.push(events);
  }

  override get broken(): AnswerStream["broken"] {
    return super.broken ?? this.#part.broken;
  }

  override seam(): Seam | null {
    return this.#part.isPlainText ? super.seam() : null;
  }

  override get hasContent(): boolean {
    return this.#hasGoneOn;
  }

  override get tally(): Tally {
    const { promptTokens, cachedTokens, contentPieces, completionTokens: before } = this.#seam.tally;
    const { completionTokens, finishReason, contentPieces: pieces, promptTokens: given } = this.#part.tally;
    // Where one part did not tell, nobody knows the sum.
    const isTold = before !== null && (completionTokens !== null || pieces === 0);
    return {
      // The part's prompt is the first one's and what has been said since.
      promptTokens: promptTokens ?? (given === null ? null : Math.max(0, given - this.#delivered)),
      cachedTokens,
      contentPieces: contentPieces + pieces,
      completionTokens: isTold ? this.#delivered + (completionTokens ?? 0) : null,
      finishReason,
    };
  }

  override get part(): Tally {
    return this.#part.part;
  }

  protected get head(): ChunkHead {
    return this.#seam.head;
  }

  protected take(event: Uint8Array): readonly Uint8Array[] {
    const { data } = fieldsOf(event);
    if (data === null) return [event];
    // What it thinks aloud or calls is not the rest of the text: an answer without that rest would look whole.
    if (!this.#part.isPlainText) throw new BrokenStream("the part that goes on is more than one plain text");
    if (data.trim() === "[DONE]") {
      this.isWhole = true;
      return this.#wantsUsage ? [this.#usage(), event] : [event];
    }
    const { choices, ...document } = parseEvent(data);
    if (!Array.isArray(choices) || choices.length === 0) return [];
    const told = Object.entries(document).filter(([member]) => !COUNTS.includes(member));
    const goneOn = choices.flatMap((choice) => this.#goneOn(choice));
    if (goneOn.length === 0) return [];
    return [eventOf(JSON.stringify({ ...Object.fromEntries(told), ...this.#seam.head, choices: goneOn }))];
  }

  /** The choice without what the caller has already; none when nothing is left of it. */
  #goneOn(choice: unknown): object[] {
    if (!isObject(choice)) throw new BrokenStream("a choice is not a JSON object");
    const { delta, text } = choice;
    const isOver = choice.finish_reason != null;
    const { role: _told, content, ...others } = isObject(delta) ? delta : {};
    const piece = text ?? content;
    const more = typeof piece === "string" ? this.#beyondOwed(piece) : "";
    if (isOver && this.#owed.trim() !== "") throw new SaidOtherwise("it is over before what was said already");
    if (typeof text === "string") return more === "" && !isOver ? [] : [{ ...choice, text: more }];
    const said = { ...(more === "" ? {} : { content: more }), ...others };
    return Object.keys(said).length === 0 && !isOver ? [] : [{ ...choice, delta: said }];
  }

  /** What is said again is dropped; the half of a character that was not passed is passed now. */
  #beyondOwed(text: string): string {
    let at = 0;
    while (at < text.length && at < this.#owed.length && text[at] === this.#owed[at]) at += 1;
    const isOther = at < Math.min(text.length, this.#owed.length);
    if (isOther && this.#owed.slice(at).trim() !== "") throw new SaidOtherwise("not what was said already");
    // White space may differ, which ends the repetition: the text goes on from there.
    this.#owed = at === text.length ? this.#owed.slice(at) : "";
    const more = text.slice(at);
    this.#hasGoneOn ||= more !== "";
    this.noteText(more);
    return more;
  }

  #usage(): Uint8Array {
    const { tally } = this;
    const { cachedTokens } = tally;
    const prompt_tokens = tally.promptTokens ?? 0;
    const completion_tokens = tokensOf(tally);
    const details = cachedTokens === null ? {} : { prompt_tokens_details: { cached_tokens: cachedTokens } };
    const usage = { prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens, ...details };
    return eventOf(JSON.stringify({ ...this.#seam.head, choices: [], usage }));
  }
}
