/**
 * A chat stream told as a response's typed events, each with its number. The stream ends with `response.completed` or
 * `response.incomplete`; OpenAI sends no `[DONE]` on this route. One that cannot go on ends with one `error` event:
 * its clients throw on that, and would take `response.failed` for an answer. Pure.
 */
import { concat } from "#src/bytes.ts";
import { isObject, type JsonObject } from "#src/json.ts";
import { openAiError, type Problem } from "#src/problem.ts";
import { EventSplitter, fieldsOf, namedEventOf } from "#src/sse.ts";
import { BrokenStream, parseEvent } from "#src/upstream/answer-stream.ts";
import type { Voice } from "#src/upstream/voice.ts";
import { inOwnWords } from "./field-names.ts";
import type { Told } from "./item.ts";
import { Output } from "./output.ts";
import { responseOf, type Settings, type State, statusOf } from "./response.ts";

export class ResponsesVoice implements Voice {
  readonly #settings: Settings;
  readonly #output: Output;
  #sequenceNumber = 0;
  #model: unknown = null;
  #hasBegun = false;
  #finishReason: unknown = null;
  #usage: unknown = null;

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#output = new Output(settings.key);
  }

  say(events: Uint8Array): Uint8Array | null {
    const said = [...new EventSplitter().push(events)].flatMap((event) => this.#one(event));
    return said.length === 0 ? null : concat(said);
  }

  fail(problem: Problem): Uint8Array {
    const { error } = openAiError(inOwnWords(problem));
    const { code, message, param } = error;
    // OpenAI's reference has the members at the top; its clients look for them in `error` first, as its servers do.
    return this.#tell({ type: "error", code, message, param, error });
  }

  heard(events: Uint8Array): void {
    for (const event of new EventSplitter().push(events)) if (fieldsOf(event).data !== null) this.#sequenceNumber++;
  }

  #one(event: Uint8Array): Uint8Array[] {
    const { data } = fieldsOf(event);
    // Comments.
    if (data === null) return [event];
    return (data.trim() === "[DONE]" ? this.#end() : this.#chunk(parseEvent(data))).map((told) => this.#tell(told));
  }

  #chunk({ model, choices, usage }: JsonObject): Told[] {
    if (usage != null) this.#usage = usage;
    const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
    if (!isObject(choice)) return [];
    this.#model ??= model;
    const { delta, logprobs, finish_reason } = choice;
    this.#finishReason = finish_reason ?? this.#finishReason;
    return [...this.#begin(), ...this.#output.take(isObject(delta) ? delta : {}, logprobsOf(logprobs))];
  }

  #begin(): Told[] {
    if (this.#hasBegun) return [];
    this.#hasBegun = true;
    const response = this.#response({ status: "in_progress", output: [], usage: null });
    return [
      { type: "response.created", response },
      { type: "response.in_progress", response },
    ];
  }

  /** What came before the end was told is all there is: usage comes behind the last word. */
  #end(): Told[] {
    if (!this.#hasBegun) throw new BrokenStream("the answer ended before it began");
    const status = statusOf(this.#finishReason);
    const closing = this.#output.end(status);
    const response = this.#response({ status, output: this.#output.documents, usage: this.#usage });
    return [...closing, { type: `response.${status}`, response }];
  }

  #response(state: Pick<State, "status" | "output" | "usage">): JsonObject {
    return responseOf(this.#settings, { ...state, model: this.#model, finishReason: this.#finishReason });
  }

  #tell({ type, ...members }: Told): Uint8Array {
    const sequence_number = this.#sequenceNumber++;
    return namedEventOf(type, JSON.stringify({ type, sequence_number, ...members }));
  }
}

/** Of each token, where they were asked for. */
export function logprobsOf(logprobs: unknown): readonly unknown[] {
  return isObject(logprobs) && Array.isArray(logprobs.content) ? logprobs.content : [];
}
