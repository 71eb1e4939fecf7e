/**
 * An OpenAI-shaped event stream on its way through: whole events pass as they came, and what they cost is read on the
 * way. It hides what the gateway asked the engine for on its own account: the usage chunk, and the running counts in
 * each chunk that make a cancelled answer's cost exact. Pure.
 */
import { concat } from "#src/bytes.ts";
import { isObject } from "#src/json.ts";
import { eventOf } from "#src/sse.ts";
import { AnswerStream, BrokenStream, parseEvent, readEvent } from "./answer-stream.ts";
import { type ChunkHead, headOf } from "./seam.ts";
import { counts } from "./tally.ts";

export type Hiding = {
  /** Drop the chunk that has usage and no choices. */
  readonly usageChunk: boolean;
  /** Cut this member out of chunks that have choices. */
  readonly member: "usage" | "timings" | null;
};

export class OpenAiStream extends AnswerStream {
  readonly #hiding: Hiding;
  readonly #countsByChoice: boolean;
  readonly #completionTokens = new Map<unknown, number>();
  /** By the index of each choice that was begun: whether it has said how it ended. */
  readonly #finished = new Map<unknown, boolean>();
  #usageTold = false;
  #head: ChunkHead | null = null;
  #lastWithUsage: Record<string, unknown> | null = null;

  /** @param countsByChoice vLLM's running counts are those of the event's one choice, not of the whole answer */
  constructor(hiding: Hiding, countsByChoice = false) {
    super();
    this.#hiding = hiding;
    this.#countsByChoice = countsByChoice;
  }

  protected get head(): ChunkHead | null {
    return this.#head;
  }

  finish(): Uint8Array | null {
    if (!this.#allFinished || this.isWhole) return null;
    this.isWhole = true;
    return concat([...this.#owedUsage(), eventOf("[DONE]")]);
  }

  /** Every choice that was begun has said how it ended. */
  get #allFinished(): boolean {
    return this.#finished.size > 0 && [...this.#finished.values()].every((finished) => finished);
  }

  protected take(event: Uint8Array): readonly Uint8Array[] {
    const { name, data } = readEvent(event);
    if (data === null) return [event];
    if (name === "error") throw new BrokenStream("the engine reported an error");
    if (data.trim() === "[DONE]") {
      // Some engines say it also after they broke down.
      if (!this.#allFinished) throw new BrokenStream("the host ended the stream in the middle of the answer");
      this.isWhole = true;
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

  /** Written without helpers that make lists: it is done for every event. */
  #note(document: Record<string, unknown>, choices: readonly Choice[]): void {
    let { contentPieces, finishReason } = this.counted;
    for (const choice of choices) {
      const reason = finishReasonOf(choice);
      const { index } = choice;
      if (reason !== null || !this.#finished.has(index))
        this.#finished.set(index, reason !== null || this.#finished.get(index) === true);
      if (hasContent(choice)) contentPieces++;
      finishReason = reason ?? finishReason;
      if (this.isPlainText && !isPlain(choice)) this.isPlainText = false;
    }
    const { promptTokens, completionTokens, cachedTokens } = this.#counts(document, choices) ?? this.counted;
    this.counted = { promptTokens, completionTokens, cachedTokens, contentPieces, finishReason };
    this.#head ??= headOf(document);
    for (const choice of choices) this.#noteTexts(choice);
    if (document.usage != null) this.#lastWithUsage = document;
  }

  /** The words of the answer itself. */
  #noteTexts({ text, delta }: Choice): void {
    if (typeof text === "string") this.noteText(text);
    if (isObject(delta) && typeof delta.content === "string") this.noteText(delta.content);
  }

  /** The usage chunk that the caller asked for, where the engine told usage only beside choices, which hid it. */
  #owedUsage(): readonly Uint8Array[] {
    if (this.#hiding.usageChunk || this.#usageTold || this.#hiding.member !== "usage" || this.#lastWithUsage === null)
      return [];
    this.#usageTold = true;
    const { id, object, created, model, usage } = this.#lastWithUsage;
    return [eventOf(JSON.stringify({ id, object, created, model, choices: [], usage }))];
  }

  #counts(document: Record<string, unknown>, choices: readonly Choice[]): ReturnType<typeof counts> {
    const said = counts(document);
    const [choice, ...others] = choices;
    if (said === null || !this.#countsByChoice || choice === undefined || others.length > 0) return said;
    this.#completionTokens.set(choice.index, said.completionTokens ?? 0);
    let completionTokens = 0;
    for (const tokens of this.#completionTokens.values()) completionTokens += tokens;
    return { ...said, completionTokens };
  }
}

type Choice = { readonly [member: string]: unknown };

/** @throws BrokenStream when one is no object: an SDK would fall over it */
function choicesOf({ choices }: Record<string, unknown>): readonly Choice[] {
  if (!Array.isArray(choices)) return [];
  if (!choices.every(isObject)) throw new BrokenStream("a choice is not a JSON object");
  return choices;
}

/** Text, reasoning or a tool call: what a caller has waited for. A role, a ping or a count is none. */
function hasContent({ text, delta }: Choice): boolean {
  if (isText(text)) return true;
  if (!isObject(delta)) return false;
  const { content, reasoning_content, reasoning, tool_calls } = delta;
  if (isText(content) || isText(reasoning_content) || isText(reasoning)) return true;
  return Array.isArray(tool_calls) && tool_calls.length > 0;
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

/** One text and nothing else: what another host can be given as the beginning of its own answer. */
function isPlain({ index, delta, logprobs }: Choice): boolean {
  if ((index ?? 0) !== 0 || logprobs != null) return false;
  if (!isObject(delta)) return true;
  for (const name in delta) {
    const value = delta[name];
    if (name === "content" || name === "role" || value == null || value === "") continue;
    if (!Array.isArray(value) || value.length > 0) return false;
  }
  return true;
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
  let open = json.indexOf("{", start);
  for (let close = json.indexOf("}", open); close !== -1; close = json.indexOf("}", close + 1)) {
    open = json.indexOf("{", open + 1);
    if (open === -1 || open > close) return close + 1;
  }
  return -1;
}
