/**
 * One item of a response's output while it grows, and the events that tell of it: added, a delta for each piece, done.
 * Events are without their numbers here. Pure.
 */
import type { JsonObject } from "#src/json.ts";
import type { Status } from "./response.ts";

/** An event's members; whoever sends it numbers it. */
export type Told = { readonly type: string; readonly [member: string]: unknown };

export interface Item {
  /** What tells that it is there. */
  opening(): Told[];
  /** What tells that it is whole, or cut short. */
  closing(status: Status): Told[];
  /** The item as it stands. */
  document(status: Status): JsonObject;
}

/** The three kinds of text that a model says, each in a part of its own. */
const TEXTS = {
  output_text: { item: "message", id: "msg", event: "response.output_text", member: "text" },
  refusal: { item: "message", id: "msg", event: "response.refusal", member: "refusal" },
  reasoning_text: { item: "reasoning", id: "rs", event: "response.reasoning_text", member: "text" },
} as const;

export type TextKind = keyof typeof TEXTS;

/** A message, or what the model thought, of one part. */
export class TextItem implements Item {
  readonly kind: TextKind;
  readonly #id: string;
  readonly #index: number;
  #text = "";
  readonly #logprobs: unknown[] = [];

  /** @param key makes the id, together with the index */
  constructor(kind: TextKind, key: string, index: number) {
    this.kind = kind;
    this.#id = `${TEXTS[kind].id}_${key}_${index}`;
    this.#index = index;
  }

  opening(): Told[] {
    const item = { ...this.document("in_progress"), content: [] };
    return [
      { type: "response.output_item.added", output_index: this.#index, item },
      { type: "response.content_part.added", ...this.#place, part: this.#part },
    ];
  }

  /** @param logprobs of the piece's tokens, as chat tells them; none for most callers */
  add(delta: string, logprobs: readonly unknown[]): Told {
    this.#text += delta;
    this.#logprobs.push(...logprobs);
    return { type: `${TEXTS[this.kind].event}.delta`, ...this.#place, delta, ...this.#withLogprobs(logprobs) };
  }

  closing(status: Status): Told[] {
    const { event, member } = TEXTS[this.kind];
    return [
      { type: `${event}.done`, ...this.#place, [member]: this.#text, ...this.#withLogprobs(this.#logprobs) },
      { type: "response.content_part.done", ...this.#place, part: this.#part },
      { type: "response.output_item.done", output_index: this.#index, item: this.document(status) },
    ];
  }

  document(status: Status): JsonObject {
    const { item: type } = TEXTS[this.kind];
    const more = type === "message" ? { role: "assistant" } : { summary: [] };
    return { id: this.#id, type, status, ...more, content: [this.#part] };
  }

  get #place() {
    return { item_id: this.#id, output_index: this.#index, content_index: 0 };
  }

  get #part(): JsonObject {
    const part = { type: this.kind, [TEXTS[this.kind].member]: this.#text };
    return this.kind === "output_text" ? { ...part, annotations: [], logprobs: [...this.#logprobs] } : part;
  }

  #withLogprobs(logprobs: readonly unknown[]): JsonObject {
    return this.kind === "output_text" ? { logprobs } : {};
  }
}

/** A call of one of the caller's functions. */
export class CallItem implements Item {
  /** By which the function's output answers it. */
  readonly callId: string;
  readonly #name: string;
  readonly #id: string;
  readonly #index: number;
  #arguments = "";

  /** @param callId as the host names it; "" where it does not, and one is made up */
  constructor(callId: string, name: string, key: string, index: number) {
    this.callId = callId === "" ? `call_${key}_${index}` : callId;
    this.#name = name;
    this.#id = `fc_${key}_${index}`;
    this.#index = index;
  }

  opening(): Told[] {
    return [{ type: "response.output_item.added", output_index: this.#index, item: this.document("in_progress") }];
  }

  add(delta: string): Told {
    this.#arguments += delta;
    return { type: "response.function_call_arguments.delta", ...this.#place, delta };
  }

  closing(status: Status): Told[] {
    const done = { ...this.#place, name: this.#name, arguments: this.#arguments };
    return [
      { type: "response.function_call_arguments.done", ...done },
      { type: "response.output_item.done", output_index: this.#index, item: this.document(status) },
    ];
  }

  document(status: Status): JsonObject {
    const { callId: call_id } = this;
    return { id: this.#id, type: "function_call", status, call_id, name: this.#name, arguments: this.#arguments };
  }

  get #place() {
    return { item_id: this.#id, output_index: this.#index };
  }
}
