/**
 * llama.cpp's native stream to OpenAI's: `{"content", "stop"}` events become chunks, the last one also the finish
 * reason, the usage and `[DONE]`, which the native route does not send. Pure.
 */
import { concat } from "#src/bytes.ts";
import { EventSplitter, eventOf, fieldsOf } from "#src/sse.ts";
import { type AnswerStream, BrokenStream, eachEvent, parseEvent } from "./answer-stream.ts";
import { chunkOf, countOf, finishReasonOf, type NativeReply, usageOf } from "./native.ts";
import { counts, NOTHING_YET, type Tally } from "./tally.ts";

export class NativeStream implements AnswerStream {
  readonly #reply: NativeReply;
  readonly #wantsUsage: boolean;
  readonly #events = new EventSplitter();
  #stopped = false;
  #opened = false;
  #broken: AnswerStream["broken"] = null;
  #tally: Tally = NOTHING_YET;

  constructor(reply: NativeReply, wantsUsage: boolean) {
    this.#reply = reply;
    this.#wantsUsage = wantsUsage;
  }

  get endedWell(): boolean {
    return this.#stopped;
  }

  get broken(): AnswerStream["broken"] {
    return this.#broken;
  }

  get tally(): Tally {
    return this.#tally;
  }

  get hasContent(): boolean {
    return this.#tally.contentPieces > 0;
  }

  push(chunk: Uint8Array): Uint8Array | null {
    if (this.#stopped) return null;
    const out: Uint8Array[] = [];
    this.#broken = eachEvent(this.#events, chunk, (event) => {
      out.push(...this.#translate(event));
      return !this.#stopped;
    });
    return out.length === 0 ? null : concat(out);
  }

  /** Natively nothing but the last event says that the answer is whole. */
  finish(): null {
    return null;
  }

  #translate(event: Uint8Array): Uint8Array[] {
    const { name, data } = fieldsOf(event);
    if (data === null || data.trim() === "[DONE]") return [];
    if (name === "error") throw new BrokenStream("the engine reported an error");
    const document = parseEvent(data);
    const content = typeof document.content === "string" ? document.content : "";
    this.#tally = {
      ...this.#tally,
      ...counts(document),
      contentPieces: this.#tally.contentPieces + (content === "" ? 0 : 1),
    };
    const out: Uint8Array[] = [];
    if (!this.#opened && this.#reply.route === "chat") out.push(this.#event({ role: "assistant", content: "" }, null));
    this.#opened = true;
    if (content !== "") out.push(this.#event({ content }, null));
    return document.stop === true ? [...out, ...this.#end(document)] : out;
  }

  #end(document: Record<string, unknown>): Uint8Array[] {
    this.#stopped = true;
    const finishReason = finishReasonOf(document);
    const usage = usageOf(document);
    const { promptTokens, completionTokens } = this.#tally;
    this.#tally = {
      ...this.#tally,
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
