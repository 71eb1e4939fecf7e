/**
 * An event stream of a host that speaks Anthropic's Messages protocol, on its way to a caller who does: events pass as
 * they came, but for the model's name, and what they cost is read on the way. Pure.
 */
import type { Protocol } from "#src/ingress/wording.ts";
import { isObject } from "#src/json.ts";
import { namedEventOf } from "#src/sse.ts";
import { AnswerStream, BrokenStream, parseEvent, readEvent } from "./answer-stream.ts";
import { finishReasonOf, messageCounts } from "./messages.ts";

const STOP = namedEventOf("message_stop", '{"type":"message_stop"}');

export class MessagesStream extends AnswerStream {
  override readonly protocol: Protocol = "messages";
  readonly #model: unknown;
  /** Blocks that were begun and are not over. */
  readonly #open = new Set<unknown>();
  #started = false;

  /** @param model as the caller named it: hosts have names of their own */
  constructor(model: unknown) {
    super();
    this.#model = model;
  }

  /** What has begun in the caller's own protocol no host can carry on in another: its voice has not heard it. */
  protected get head(): null {
    return null;
  }

  /** A host that has said why its answer stopped owes nothing but the last event. */
  finish(): Uint8Array | null {
    if (!this.#hasStopped || this.isWhole) return null;
    this.isWhole = true;
    return STOP;
  }

  get #hasStopped(): boolean {
    return this.counted.finishReason !== null && this.#open.size === 0;
  }

  protected take(event: Uint8Array): readonly Uint8Array[] {
    const { name, data } = readEvent(event);
    if (data === null) return [event];
    if (name === "error") throw new BrokenStream("the engine reported an error");
    const document = parseEvent(data);
    // Clients go by the name and leave out what has none: part of the answer would be missing, and nobody would know.
    if (name !== document.type) throw new BrokenStream("an event is not what its name says");
    if (name === "message_start") return [this.#begin(document)];
    if (!this.#started && name !== "ping") throw new BrokenStream("the message did not begin");
    if (name === "content_block_start") this.#open.add(document.index);
    if (name === "content_block_delta") this.#noteDelta(document);
    if (name === "content_block_stop") this.#open.delete(document.index);
    if (name === "message_delta") this.#noteStop(document);
    if (name === "message_stop") {
      if (!this.#hasStopped) throw new BrokenStream("the host ended the stream in the middle of the answer");
      this.isWhole = true;
    }
    return [event];
  }

  #begin(document: Record<string, unknown>): Uint8Array {
    if (this.#started || !isObject(document.message)) throw new BrokenStream("the message begins twice, or is none");
    this.#started = true;
    const { promptTokens, cachedTokens } = messageCounts(document.message.usage);
    // vLLM says 0 where it cannot tell yet.
    if (promptTokens) this.counted = { ...this.counted, promptTokens, cachedTokens: cachedTokens ?? null };
    const message = { ...document.message, model: this.#model };
    return namedEventOf("message_start", JSON.stringify({ ...document, message }));
  }

  #noteDelta({ index, delta }: Record<string, unknown>): void {
    if (!this.#open.has(index) || !isObject(delta)) throw new BrokenStream("a piece belongs to no block");
    const { text, thinking, partial_json } = delta;
    const isPiece = [text, thinking, partial_json].some((piece) => typeof piece === "string" && piece !== "");
    if (isPiece) this.counted = { ...this.counted, contentPieces: this.counted.contentPieces + 1 };
    if (typeof text === "string") this.noteText(text);
  }

  #noteStop({ delta, usage }: Record<string, unknown>): void {
    const { promptTokens, ...said } = messageCounts(usage);
    const finishReason = isObject(delta) ? finishReasonOf(delta.stop_reason) : null;
    this.counted = {
      ...this.counted,
      ...said,
      ...(promptTokens ? { promptTokens } : {}),
      finishReason: finishReason ?? this.counted.finishReason,
    };
  }
}
