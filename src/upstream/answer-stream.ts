/**
 * An OpenAI-shaped event stream on its way through: whole events pass as they came, and what they cost is read on the
 * way. It hides what the gateway asked the engine for on its own account: the usage chunk, and the running counts in
 * each chunk that make a cancelled answer's cost exact. Pure; does no I/O.
 */
import { concat } from "#src/bytes.ts";
import { dataOf, EventSplitter, eventOf } from "#src/sse.ts";
import { counts, NOTHING_YET, type Tally } from "./tally.ts";

/** Turns an engine's stream into the caller's, and knows what it has cost so far. */
export interface AnswerStream {
  /**
   * Takes what arrived.
   *
   * @returns whole events for the caller, or null when there is none yet
   * @throws BrokenStream when the engine talks garbage or reports an error; EventTooLarge
   */
  push(chunk: Uint8Array): Uint8Array | null;
  /** True once the answer is whole: its last event was seen and no half event is left. */
  readonly endedWell: boolean;
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
  readonly #events = new EventSplitter();
  #done = false;
  #tally: Tally = NOTHING_YET;

  constructor(hiding: Hiding) {
    this.#hiding = hiding;
  }

  get endedWell(): boolean {
    return this.#done && this.#events.pendingBytes === 0;
  }

  get tally(): Tally {
    return this.#tally;
  }

  get hasContent(): boolean {
    return this.#tally.contentPieces > 0;
  }

  push(chunk: Uint8Array): Uint8Array | null {
    const passed: Uint8Array[] = [];
    for (const event of this.#events.push(chunk)) {
      const out = this.#pass(event);
      if (out !== null) passed.push(out);
    }
    if (passed.length === 0) return null;
    // The very same bytes go on when nothing was held back, cut or dropped.
    const passedBytes = passed.reduce((bytes, event) => bytes + event.byteLength, 0);
    const untouched = passedBytes === chunk.byteLength && passed.every((event) => event.buffer === chunk.buffer);
    return untouched ? chunk : concat(...passed);
  }

  #pass(event: Uint8Array): Uint8Array | null {
    // SDKs stop reading at [DONE]; nothing after it may reach one that does not.
    if (this.#done) return null;
    const data = dataOf(event);
    if (data === null) return event;
    if (data.trim() === "[DONE]") {
      this.#done = true;
      return event;
    }
    const document = parseEvent(data);
    const choices = Array.isArray(document.choices) ? document.choices : [];
    const said = counts(document);
    this.#tally = {
      ...this.#tally,
      ...said,
      contentPieces: this.#tally.contentPieces + choices.filter(hasContent).length,
      finishReason: choices.map(finishReasonOf).findLast((reason) => reason !== null) ?? this.#tally.finishReason,
    };
    if (choices.length === 0 && document.usage != null) return this.#hiding.usageChunk ? null : event;
    const { member } = this.#hiding;
    if (member === null || document[member] == null) return event;
    // llama.cpp ends every answer with its timings, asked or not.
    if (member === "timings" && choices.some((choice) => finishReasonOf(choice) !== null)) return event;
    return eventOf(withoutMember(data, member));
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
  if (typeof document !== "object" || document === null) throw new BrokenStream("an event is not a JSON object");
  if ("error" in document && document.error != null) throw new BrokenStream("the engine reported an error");
  return document as Record<string, unknown>;
}

/** Text, reasoning or a tool call: what a caller has waited for. A role, a ping or a count is none. */
function hasContent(choice: unknown): boolean {
  const { text, delta } = choice as { text?: unknown; delta?: Record<string, unknown> };
  if (typeof text === "string" && text !== "") return true;
  const { content, reasoning_content, reasoning, tool_calls } = delta ?? {};
  return (
    [content, reasoning_content, reasoning].some((piece) => typeof piece === "string" && piece !== "") ||
    tool_calls != null
  );
}

function finishReasonOf(choice: unknown): string | null {
  const { finish_reason: reason } = choice as { finish_reason?: unknown };
  return typeof reason === "string" ? reason : null;
}

/**
 * Cuts `,"member":{...}` out of a JSON text without writing the rest anew. Inside a string a quote is escaped, so the
 * text searched for occurs only as a member. Where the engine writes it otherwise, the text stays as it is.
 */
export function withoutMember(json: string, member: string): string {
  const start = json.lastIndexOf(`,"${member}":{`);
  if (start === -1) return json;
  let depth = 0;
  for (let at = start; at < json.length; at++) {
    if (json[at] === "{") depth++;
    if (json[at] === "}" && --depth === 0) return json.slice(0, start) + json.slice(at + 1);
  }
  return json;
}
