/** Gives the events of one stream their ids, in order, as they come. Pure; one per stream. */
import { EventSplitter } from "#src/sse.ts";
import { eventId } from "./event-id.ts";

export class Numbering {
  readonly #stream: string;
  readonly #splitter = new EventSplitter();
  #n = 0;
  /** Comment lines that wait for the event behind them. */
  #comments: string[] = [];

  constructor(stream: string) {
    this.#stream = stream;
  }

  /**
   * Takes the next chunk.
   *
   * @returns the events that are whole now, each with the next id. Comments go with the event behind them, because
   *   nobody can resume at what has no id; pings are left out, because each reader needs its own
   * @throws EventTooLarge
   */
  push(chunk: Uint8Array): Uint8Array[] {
    const numbered: Uint8Array[] = [];
    for (const event of this.#splitter.push(chunk)) {
      // An id of the host's own would stand for another place.
      const lines = linesOf(event).filter((line) => line !== PING && !/^id(:|$)/.test(line));
      if (lines.every((line) => line.startsWith(":"))) {
        this.#comments.push(...lines);
        continue;
      }
      this.#n += 1;
      const id = `id: ${eventId({ stream: this.#stream, n: this.#n })}`;
      numbered.push(new TextEncoder().encode([id, ...this.#comments, ...lines, "", ""].join("\n")));
      this.#comments = [];
    }
    return numbered;
  }
}

const PING = ": ping";
const ID = new TextEncoder().encode("id: ");

/** Whether a whole event has an id: what is said to one reader only (a ping, the last words) has none. */
export function isNumbered(event: Uint8Array): boolean {
  return ID.every((byte, at) => event[at] === byte);
}

function linesOf(event: Uint8Array): string[] {
  return new TextDecoder("utf-8", { fatal: false, ignoreBOM: true })
    .decode(event)
    .split(/\r\n|\r|\n/)
    .filter((line) => line !== "");
}
