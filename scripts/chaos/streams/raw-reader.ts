/**
 * An event stream as a judge reads it who trusts nobody: bytes in, what is wrong with them out. Written after the grammar
 * (WHATWG HTML, 9.2.6), and on purpose not with the gateway's own reader. No I/O; the clock is an argument.
 */
import { z } from "zod";

/** A comment, and how many events with content came before it. */
export type Comment = { readonly text: string; readonly after: number };

export type Raw = {
  readonly dones: number;
  readonly errors: number;
  /** Codes of the error events. */
  readonly codes: readonly string[];
  /** Events that are no JSON, half an event at the end, bytes that are no UTF-8, events behind [DONE]. */
  readonly unparsable: readonly string[];
  readonly comments: readonly Comment[];
  /** When each event with content came. */
  readonly contentAtMs: readonly number[];
};

const failure = z.object({ error: z.object({ code: z.union([z.string(), z.number()]).nullish() }) });
const content = z.object({ choices: z.array(z.object({ delta: z.object({ content: z.string().nullish() }) })) });

/** Kept of what is unparsable: enough to find it again. */
const KEPT_CHARACTERS = 200;

export class RawReader {
  readonly #decoder = new TextDecoder("utf-8", { fatal: true });
  #text = "";
  #dones = 0;
  readonly #codes: string[] = [];
  readonly #unparsable: string[] = [];
  readonly #comments: Comment[] = [];
  readonly #contentAtMs: number[] = [];

  push(bytes: Uint8Array, nowMs: number): void {
    try {
      this.#text += this.#decoder.decode(bytes, { stream: true });
    } catch {
      this.#unparsable.push(`no UTF-8: ${Buffer.from(bytes).toString("base64").slice(0, KEPT_CHARACTERS)}`);
      return;
    }
    // A CR at the end may be half of a pair.
    const held = this.#text.endsWith("\r") ? "\r" : "";
    this.#take(this.#text.slice(0, this.#text.length - held.length), nowMs);
    this.#text += held;
  }

  /** What there was, now that no more comes. */
  end(nowMs: number): Raw {
    this.#take(this.#text, nowMs);
    if (this.#text.trim() !== "") this.#unparsable.push(`half an event: ${this.#text.slice(0, KEPT_CHARACTERS)}`);
    const [dones, codes, contentAtMs] = [this.#dones, this.#codes, this.#contentAtMs];
    return { dones, errors: codes.length, codes, unparsable: this.#unparsable, comments: this.#comments, contentAtMs };
  }

  /** The whole events of it; the rest is kept. */
  #take(text: string, nowMs: number): void {
    const events = text.replaceAll(/\r\n?/g, "\n").split("\n\n");
    this.#text = events.pop() ?? "";
    for (const event of events) this.#event(event, nowMs);
  }

  #event(event: string, nowMs: number): void {
    const lines = event.split("\n");
    const after = this.#contentAtMs.length;
    for (const line of lines) if (line.startsWith(":")) this.#comments.push({ text: line.slice(1).trim(), after });
    const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice("data:".length).trimStart());
    if (data.length === 0) return;
    const text = data.join("\n");
    if (this.#dones + this.#codes.length > 0 && text !== "[DONE]") this.#wrong("behind the end", text);
    if (text === "[DONE]") {
      this.#dones += 1;
      return;
    }
    const document = this.#parsed(text);
    const failed = failure.safeParse(document);
    if (failed.success) this.#codes.push(String(failed.data.error.code));
    const said = content.safeParse(document);
    if (said.success && said.data.choices.some(({ delta }) => (delta.content ?? "") !== ""))
      this.#contentAtMs.push(nowMs);
  }

  #parsed(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch {
      this.#wrong("no JSON", text);
      return null;
    }
  }

  #wrong(what: string, text: string): void {
    this.#unparsable.push(`${what}: ${text.slice(0, KEPT_CHARACTERS)}`);
  }
}
