/**
 * A chat stream in Anthropic's words: one message that starts, its blocks one after the other, and how it stopped. Each
 * chunk is said at once; only the start waits for the first chunk that has something to say, because engines tell the
 * prompt's tokens no sooner. Pure.
 */
import { concat } from "#src/bytes.ts";
import { isObject, type JsonObject } from "#src/json.ts";
import { messagesError } from "#src/messages-problem.ts";
import type { Problem } from "#src/problem.ts";
import { EventSplitter, fieldsOf, namedEventOf } from "#src/sse.ts";
import { BrokenStream, parseEvent } from "#src/upstream/answer-stream.ts";
import { counts, NOTHING_YET, type Tally } from "#src/upstream/tally.ts";
import type { Voice } from "#src/upstream/voice.ts";
import {
  emptyMessage,
  type Finish,
  firstOf,
  reasoningOf,
  type Saying,
  stopOf,
  toolUseId,
  usageOf,
} from "./to-message.ts";

/** The block that is being said. */
type Open = { readonly index: number; readonly kind: "text" | "thinking" | "tool_use"; readonly call: unknown };

export class MessagesVoice implements Voice {
  readonly #saying: Saying;
  readonly #events = new EventSplitter();
  #counted: Tally = NOTHING_YET;
  #finish: Finish = { reason: null, matched: null, calledTools: false };
  #started = false;
  #open: Open | null = null;
  #blocks = 0;
  /** Tool calls that were begun, by the index that chat gives each. */
  readonly #calls = new Set<unknown>();

  constructor(saying: Saying) {
    this.#saying = saying;
  }

  say(events: Uint8Array): Uint8Array | null {
    const said = [...this.#events.push(events)].flatMap((event) => this.#sayOne(event));
    return said.length === 0 ? null : concat(said);
  }

  fail(problem: Problem): Uint8Array {
    return eventOf(messagesError(problem, this.#saying.requestId));
  }

  #sayOne(event: Uint8Array): Uint8Array[] {
    const { data } = fieldsOf(event);
    // Comments are for whoever looks at the wire.
    if (data === null) return [event];
    if (data.trim() === "[DONE]") return [...this.#start(), ...this.#close(), ...this.#stop()];
    const document = parseEvent(data);
    this.#counted = { ...this.#counted, ...counts(document) };
    const { delta, finish_reason: reason, stop_reason: matched } = firstOf(document.choices);
    const said = this.#sayDelta(isObject(delta) ? delta : {});
    if (typeof reason === "string") this.#finish = { ...this.#finish, reason, matched };
    return said;
  }

  #sayDelta(delta: JsonObject): Uint8Array[] {
    const { content, tool_calls: calls } = delta;
    const thinking = this.#saying.showsThinking ? reasoningOf(delta) : "";
    return [
      ...(thinking === "" ? [] : this.#sayPiece("thinking", thinking)),
      ...(typeof content !== "string" || content === "" ? [] : this.#sayPiece("text", content)),
      ...(Array.isArray(calls) ? calls.filter(isObject).flatMap((call) => this.#sayCall(call)) : []),
    ];
  }

  #sayPiece(kind: "text" | "thinking", piece: string): Uint8Array[] {
    const empty = kind === "text" ? { type: kind, text: "" } : { type: kind, thinking: "", signature: "" };
    const opening = this.#open?.kind === kind ? [] : this.#begin(kind, null, empty);
    return [...opening, this.#delta({ type: `${kind}_delta`, [kind]: piece })];
  }

  #sayCall({ index = 0, id, function: called }: JsonObject): Uint8Array[] {
    const { name, arguments: piece } = isObject(called) ? called : {};
    const said: Uint8Array[] = [];
    if (this.#open?.kind !== "tool_use" || this.#open.call !== index) {
      if (this.#calls.has(index)) throw new BrokenStream("a tool call goes on after another began");
      if (typeof name !== "string" || name === "") throw new BrokenStream("a tool call names no tool");
      const call = { type: "tool_use", id: id ?? toolUseId(this.#saying, this.#calls.size), name, input: {} };
      this.#calls.add(index);
      this.#finish = { ...this.#finish, calledTools: true };
      said.push(...this.#begin("tool_use", index, call));
    }
    if (typeof piece === "string" && piece !== "")
      said.push(this.#delta({ type: "input_json_delta", partial_json: piece }));
    return said;
  }

  #begin(kind: Open["kind"], call: unknown, content_block: JsonObject): Uint8Array[] {
    const before = [...this.#start(), ...this.#close()];
    this.#open = { index: this.#blocks++, kind, call };
    return [...before, eventOf({ type: "content_block_start", index: this.#open.index, content_block })];
  }

  #delta(delta: JsonObject): Uint8Array {
    return eventOf({ type: "content_block_delta", index: this.#open?.index, delta });
  }

  /** Also tells what is known of the input by now; what the answer has cost in the end is told with its stop. */
  #start(): Uint8Array[] {
    if (this.#started) return [];
    this.#started = true;
    const usage = usageOf({ ...this.#counted, completionTokens: 0 });
    return [eventOf({ type: "message_start", message: { ...emptyMessage(this.#saying), usage } })];
  }

  #close(): Uint8Array[] {
    if (this.#open === null) return [];
    const { index } = this.#open;
    this.#open = null;
    return [eventOf({ type: "content_block_stop", index })];
  }

  #stop(): Uint8Array[] {
    const delta = stopOf(this.#finish, this.#saying);
    return [
      eventOf({ type: "message_delta", delta, usage: usageOf(this.#counted) }),
      eventOf({ type: "message_stop" }),
    ];
  }
}

/** Each event is named by the type of its document. */
function eventOf(document: { readonly type: string; readonly [member: string]: unknown }): Uint8Array {
  return namedEventOf(document.type, JSON.stringify(document));
}
