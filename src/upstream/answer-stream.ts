/**
 * An OpenAI-shaped event stream on its way through: whole events pass as they came, and what they cost is read on the
 * way. It hides what the gateway asked the engine for on its own account: the usage chunk, and the running counts in
 * each chunk that make a cancelled answer's cost exact. Pure; does no I/O.
 */
import { concat } from "#src/bytes.ts";
import { EventSplitter, EventTooLarge, eventOf, fieldsOf } from "#src/sse.ts";
import { counts, NOTHING_YET, type Tally } from "./tally.ts";

/** Turns an engine's stream into the caller's, and knows what it has cost so far. */
export interface AnswerStream {
  /**
   * Takes what arrived. What cannot be passed on shows in `broken`, so that the whole events before it still pass.
   *
   * @returns whole events for the caller, or null when there is none yet
   */
  push(chunk: Uint8Array): Uint8Array | null;
  /** Set when the engine talks garbage, reports an error or sends an event too large. Nothing may be pushed after it. */
  readonly broken: BrokenStream | EventTooLarge | null;
  /** True once the answer is whole: its last event was seen. What comes after it takes nothing from it. */
  readonly endedWell: boolean;
  /**
   * To be asked when the host has ended the stream without the last event.
   *
   * @returns what is still owed to the caller when the answer is whole all the same; null when it is not
   */
  finish(): Uint8Array | null;
  readonly tally: Tally;
  readonly hasContent: boolean;
}

/** The engine's stream cannot be passed on. */
export class BrokenStream extends Error {
  override readonly name = "BrokenStream";
}

export type Hiding = {
  /** Drop the chunk that has usage and no choices. */
  readonly usageChunk: boolean;
  /** Cut this member out of chunks that have choices. */
  readonly member: "usage" | "timings" | null;
};

export class OpenAiStream implements AnswerStream {
  readonly #hiding: Hiding;
  readonly #countsByChoice: boolean;
  readonly #events = new EventSplitter();
  readonly #completionTokens = new Map<unknown, number>();
  /** Choices that were begun and have not said how they ended. */
  readonly #unfinished = new Set<unknown>();
  #done = false;
  #broken: AnswerStream["broken"] = null;
  #tally: Tally = NOTHING_YET;
  #usageTold = false;
  #lastWithUsage: Record<string, unknown> | null = null;

  /** @param countsByChoice vLLM's running counts are those of the event's one choice, not of the whole answer */
  constructor(hiding: Hiding, countsByChoice = false) {
    this.#hiding = hiding;
    this.#countsByChoice = countsByChoice;
  }

  get endedWell(): boolean {
    return this.#done;
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
    // SDKs stop reading at [DONE]; nothing after it may reach one that does not.
    if (this.#done) return null;
    const passed: Uint8Array[] = [];
    this.#broken = eachEvent(this.#events, chunk, (event) => {
      passed.push(...this.#pass(event));
      return !this.#done;
    });
    if (passed.length === 0) return null;
    // The very same bytes go on when nothing was held back, cut or dropped.
    const passedBytes = passed.reduce((bytes, event) => bytes + event.byteLength, 0);
    const untouched = passedBytes === chunk.byteLength && passed.every((event) => event.buffer === chunk.buffer);
    return untouched ? chunk : concat(passed);
  }

  finish(): Uint8Array | null {
    if (!this.#isWhole || this.#done) return null;
    this.#done = true;
    return concat([...this.#owedUsage(), eventOf("[DONE]")]);
  }

  /** Every choice that was begun has said how it ended. */
  get #isWhole(): boolean {
    return this.#tally.finishReason !== null && this.#unfinished.size === 0;
  }

  #pass(event: Uint8Array): readonly Uint8Array[] {
    const { name, data } = fieldsOf(event);
    if (data === null) return [event];
    if (name === "error") throw new BrokenStream("the engine reported an error");
    if (data.trim() === "[DONE]") {
      // Some engines say it also after they broke down.
      if (!this.#isWhole) throw new BrokenStream("the host ended the stream in the middle of the answer");
      this.#done = true;
      return [...this.#owedUsage(), event];
    }
    const document = parseEvent(data);
    const choices = choicesOf(document);
    this.#note(document, choices);
    if (choices.length === 0 && document.usage != null) {
      this.#usageTold = true;
      return this.#hiding.usageChunk ? [] : [event];
    }
    const { member } = this.#hiding;
    if (member === null || document[member] == null) return [event];
    // llama.cpp ends every answer with its timings, asked or not.
    if (member === "timings" && choices.some((choice) => finishReasonOf(choice) !== null)) return [event];
    // vLLM writes the member into raw completions even when it has nothing to say.
    const isNull = member === "usage" && document.object === "text_completion";
    return [withoutMember(data, document, member, isNull)];
  }

  #note(document: Record<string, unknown>, choices: readonly Choice[]): void {
    for (const choice of choices) {
      if (finishReasonOf(choice) === null) this.#unfinished.add(choice.index);
      else this.#unfinished.delete(choice.index);
    }
    this.#tally = {
      ...this.#tally,
      ...this.#counts(document, choices),
      contentPieces: this.#tally.contentPieces + choices.filter(hasContent).length,
      finishReason: choices.map(finishReasonOf).findLast((reason) => reason !== null) ?? this.#tally.finishReason,
    };
    if (document.usage != null) this.#lastWithUsage = document;
  }

  /** The usage chunk that the caller asked for, where the engine told usage only beside choices, which hid it. */
  #owedUsage(): readonly Uint8Array[] {
    if (this.#hiding.usageChunk || this.#usageTold || this.#hiding.member !== "usage" || this.#lastWithUsage === null)
      return [];
    this.#usageTold = true;
    const { id, object, created, model, usage } = this.#lastWithUsage;
    return [eventOf(JSON.stringify({ id, object, created, model, choices: [], usage }))];
  }

  #counts(document: Record<string, unknown>, choices: readonly Choice[]): Partial<Tally> | null {
    const said = counts(document);
    const [choice, ...others] = choices;
    if (said === null || !this.#countsByChoice || choice === undefined || others.length > 0) return said;
    this.#completionTokens.set(choice.index, said.completionTokens ?? 0);
    const completionTokens = [...this.#completionTokens.values()].reduce((sum, tokens) => sum + tokens, 0);
    return { ...said, completionTokens };
  }
}

/**
 * Hands on the events that are whole, until `take` returns false.
 *
 * @returns what stopped it, rather than throwing it: the events before it are to pass
 */
export function eachEvent(
  events: EventSplitter,
  chunk: Uint8Array,
  take: (event: Uint8Array) => boolean,
): AnswerStream["broken"] {
  try {
    for (const event of events.push(chunk)) if (!take(event)) break;
    return null;
  } catch (cause) {
    if (cause instanceof BrokenStream || cause instanceof EventTooLarge) return cause;
    throw cause;
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

type Choice = { readonly [member: string]: unknown };

/** @throws BrokenStream when one is no object: an SDK would fall over it */
function choicesOf({ choices }: Record<string, unknown>): readonly Choice[] {
  if (!Array.isArray(choices)) return [];
  if (!choices.every(isObject)) throw new BrokenStream("a choice is not a JSON object");
  return choices;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Text, reasoning or a tool call: what a caller has waited for. A role, a ping or a count is none. */
function hasContent({ text, delta }: Choice): boolean {
  const { content, reasoning_content, reasoning, tool_calls } = isObject(delta) ? delta : {};
  return (
    [text, content, reasoning_content, reasoning].some((piece) => typeof piece === "string" && piece !== "") ||
    (Array.isArray(tool_calls) && tool_calls.length > 0)
  );
}

function finishReasonOf({ finish_reason: reason }: Choice): string | null {
  return typeof reason === "string" ? reason : null;
}

/**
 * The event without one member of its document. Where the engine writes `,"member":{...}` it is cut out of the text and
 * the rest stays as it came: inside a string a quote is escaped, so the text searched for occurs only as a member.
 *
 * @param asNull whether null stands in its place
 */
export function withoutMember(
  data: string,
  document: Record<string, unknown>,
  member: string,
  asNull: boolean,
): Uint8Array {
  const start = data.includes("\n") ? -1 : data.lastIndexOf(`,"${member}":{`);
  const end = start === -1 ? -1 : endOfObject(data, start);
  if (end !== -1) return eventOf(data.slice(0, start) + (asNull ? `,"${member}":null` : "") + data.slice(end));
  const { [member]: _cut, ...rest } = document;
  return eventOf(JSON.stringify(asNull ? { ...rest, [member]: null } : rest));
}

/** The position behind the first object that begins after `start`; -1 when it does not end. Counts hold no braces. */
function endOfObject(json: string, start: number): number {
  let depth = 0;
  for (let at = start; at < json.length; at++) {
    if (json[at] === "{") depth++;
    if (json[at] === "}" && --depth === 0) return at + 1;
  }
  return -1;
}
