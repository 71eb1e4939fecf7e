/**
 * A response's output as it grows out of a chat answer's deltas: what the model thinks, says and calls, item after
 * item. A whole message is one delta, so that an answer is the same whether it came whole or in pieces. Pure.
 */
import { isObject, type JsonObject } from "#src/json.ts";
import { BrokenStream } from "#src/upstream/answer-stream.ts";
import { CallItem, type Item, TextItem, type TextKind, type Told } from "./item.ts";
import type { Status } from "./response.ts";

type Entry = { readonly item: Item; status: Status };

export class Output {
  readonly #key: string;
  readonly #items: Entry[] = [];
  /** What is being said. Whatever else begins ends it. */
  #saying: TextItem | null = null;
  /** By chat's index. Arguments of several calls may come in turns, so none is over before the answer is. */
  readonly #calls = new Map<unknown, CallItem>();

  /** @param key makes the items' ids */
  constructor(key: string) {
    this.#key = key;
  }

  /**
   * Takes what a chat choice brings.
   *
   * @param delta a chunk's `delta`, or a whole answer's `message`
   * @param logprobs the choice's `logprobs.content`
   * @throws BrokenStream for a call that names no function
   */
  take(delta: JsonObject, logprobs: readonly unknown[]): Told[] {
    const { reasoning_content, reasoning, content, refusal, tool_calls } = delta;
    return [
      // llama.cpp and older vLLM name it the one way, newer vLLM the other; some builds tell it under both.
      ...this.#say("reasoning_text", reasoning_content || reasoning, []),
      ...this.#say("output_text", content, logprobs),
      ...this.#say("refusal", refusal, []),
      ...(Array.isArray(tool_calls) ? tool_calls.filter(isObject).flatMap((call, at) => this.#call(call, at)) : []),
    ];
  }

  /** Closes what is open. An answer of nothing is an empty message. */
  end(status: Status): Told[] {
    const told = this.#items.length === 0 ? this.#open(new TextItem("output_text", this.#key, 0)) : [];
    this.#saying = null;
    const open = this.#items.filter((entry) => entry.status === "in_progress");
    // Only what was said last can have been cut short.
    return [...told, ...open.flatMap((entry) => close(entry, entry === this.#items.at(-1) ? status : "completed"))];
  }

  get documents(): JsonObject[] {
    return this.#items.map(({ item, status }) => item.document(status));
  }

  #say(kind: TextKind, piece: unknown, logprobs: readonly unknown[]): Told[] {
    if (typeof piece !== "string" || piece === "") return [];
    const isSame = this.#saying?.kind === kind;
    const item: TextItem = isSame && this.#saying !== null ? this.#saying : new TextItem(kind, this.#key, this.#next);
    const told = isSame ? [] : [...this.#hush(), ...this.#open(item)];
    this.#saying = item;
    return [...told, item.add(piece, logprobs)];
  }

  #call({ id, index, function: made }: JsonObject, at: number): Told[] {
    const { name, arguments: piece } = isObject(made) ? made : {};
    const place = index ?? at;
    const known = this.#calls.get(place);
    // Some services number no calls: a new id is a new call.
    const isNew = known === undefined || (typeof id === "string" && id !== "" && id !== known.callId);
    if (isNew && typeof name !== "string") throw new BrokenStream("a tool call names no function");
    const item = isNew ? new CallItem(typeof id === "string" ? id : "", String(name), this.#key, this.#next) : known;
    const told = isNew ? [...this.#hush(), ...this.#open(item)] : [];
    this.#calls.set(place, item);
    return typeof piece === "string" && piece !== "" ? [...told, item.add(piece)] : told;
  }

  get #next(): number {
    return this.#items.length;
  }

  #open(item: Item): Told[] {
    this.#items.push({ item, status: "in_progress" });
    return item.opening();
  }

  #hush(): Told[] {
    const entry = this.#items.find(({ item }) => item === this.#saying);
    this.#saying = null;
    return entry === undefined ? [] : close(entry, "completed");
  }
}

function close(entry: Entry, status: Status): Told[] {
  entry.status = status;
  return entry.item.closing(status);
}
