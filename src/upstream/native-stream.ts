/**
 * llama.cpp's native stream to OpenAI's: `{"content", "stop"}` events become chunks, the last one also the finish
 * reason, the usage and `[DONE]`, which the native route does not send. Pure.
 */
import { eventOf } from "#src/sse.ts";
import { AnswerStream, BrokenStream, parseEvent, readEvent } from "./answer-stream.ts";
import { chunkOf, countOf, finishReasonOf, type NativeReply, usageOf } from "./native.ts";
import type { ChunkHead } from "./seam.ts";
import { counts } from "./tally.ts";

export class NativeStream extends AnswerStream {
  readonly #reply: NativeReply;
  readonly #wantsUsage: boolean;
  #opened = false;

  constructor(reply: NativeReply, wantsUsage: boolean) {
    super();
    this.#reply = reply;
    this.#wantsUsage = wantsUsage;
  }

  protected get head(): ChunkHead {
    const { id, created, model, route } = this.#reply;
    return { id, created, model, object: route === "chat" ? "chat.completion.chunk" : "text_completion" };
  }

  /** Natively nothing but the last event says that the answer is whole. */
  finish(): null {
    return null;
  }

  protected take(event: Uint8Array): Uint8Array[] {
    const { name, data } = readEvent(event);
    if (data === null || data.trim() === "[DONE]") return [];
    if (name === "error") throw new BrokenStream("the engine reported an error");
    const document = parseEvent(data);
    const content = typeof document.content === "string" ? document.content : "";
    this.counted = {
      ...this.counted,
      ...counts(document),
      contentPieces: this.counted.contentPieces + (content === "" ? 0 : 1),
    };
    this.noteText(content);
    const out: Uint8Array[] = [];
    if (!this.#opened && this.#reply.route === "chat") out.push(this.#event({ role: "assistant", content: "" }, null));
    this.#opened = true;
    if (content !== "") out.push(this.#event({ content }, null));
    return document.stop === true ? [...out, ...this.#end(document)] : out;
  }

  #end(document: Record<string, unknown>): Uint8Array[] {
    this.isWhole = true;
    const finishReason = finishReasonOf(document);
    const usage = usageOf(document);
    const { promptTokens, completionTokens } = this.counted;
    this.counted = {
      ...this.counted,
      promptTokens: countOf(document.tokens_evaluated) ?? promptTokens,
      completionTokens: countOf(document.tokens_predicted) ?? completionTokens,
      finishReason,
    };
    const out = [this.#event({ content: "" }, finishReason)];
    if (this.#wantsUsage) out.push(eventOf(JSON.stringify({ ...chunkOf(this.#reply, {}, null), choices: [], usage })));
    return [...out, eventOf("[DONE]")];
  }

  #event(delta: { role?: string; content?: string }, finishReason: string | null): Uint8Array {
    return eventOf(JSON.stringify(chunkOf(this.#reply, delta, finishReason)));
  }
}
