/**
 * A host's own `/v1/responses` stream on its way to a caller who speaks it: whole events pass as they came, nothing is
 * hidden, and what the answer costs and how it ended is read on the way. Usage comes with the last event only, so what
 * a caller who left has cost is counted in pieces. Pure.
 */
import { isObject } from "#src/json.ts";
import { AnswerStream, BrokenStream, parseEvent, readEvent } from "./answer-stream.ts";
import { chatUsage, finishReasonOf } from "./responses.ts";
import { counts } from "./tally.ts";

export class ResponsesStream extends AnswerStream {
  override readonly protocol = "responses";

  /** Nobody else can carry it on: other hosts' parts would be in chat's words. */
  protected get head(): null {
    return null;
  }

  /** Nothing but the last event says that the answer is whole. */
  finish(): null {
    return null;
  }

  protected take(event: Uint8Array): readonly Uint8Array[] {
    const { name, data } = readEvent(event);
    if (data === null) return [event];
    const document = data.trim() === "[DONE]" ? {} : parseEvent(data);
    const { type = name, delta, response } = document;
    if (type === "error" || type === "response.failed") throw new BrokenStream("the engine reported an error");
    if (type === "response.completed" || type === "response.incomplete") {
      if (!isObject(response)) throw new BrokenStream("the last event holds no response");
      this.#end(response);
    } else if (typeof delta === "string" && delta !== "") {
      this.counted = { ...this.counted, contentPieces: this.counted.contentPieces + 1 };
      if (type === "response.output_text.delta") this.noteText(delta);
    } else if (typeof type !== "string") {
      // Chat's last word is none here, and what has no type no client can read.
      throw new BrokenStream("an event has no type");
    }
    return [event];
  }

  #end(response: Record<string, unknown>): void {
    if (response.status === "failed") throw new BrokenStream("the engine reported an error");
    this.isWhole = true;
    this.counted = {
      ...this.counted,
      ...counts({ usage: chatUsage(response) }),
      finishReason: finishReasonOf(response),
    };
  }
}
