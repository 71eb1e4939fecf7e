/** One request of the load, as undici's dispatcher drives it. */
import type { Dispatcher } from "undici";
import { STAMP } from "../engine/answers.ts";
import type { Job } from "./job.ts";
import { nowUs } from "./now.ts";
import type { StreamSeen, Window } from "./window.ts";

const DONE = "data: [DONE]";
const STAMPS = new RegExp(`${STAMP}(\\d+)`, "g");
const SHOWN_CHARACTERS = 200;

export class Exchange implements Dispatcher.DispatchHandler {
  readonly #stream: boolean;
  readonly #window: Window;
  readonly #flowing: Set<StreamSeen>;
  readonly #done: () => void;
  readonly #sinceUs = nowUs();
  readonly #seen: StreamSeen = { lastUs: null, stalled: false };
  #status = 0;
  #hasBegun = false;
  /** The end of what came; of an answer that failed its beginning. */
  #tail = "";

  constructor({ stream }: Job, window: Window, flowing: Set<StreamSeen>, done: () => void) {
    this.#stream = stream;
    this.#window = window;
    this.#flowing = flowing;
    this.#done = done;
  }

  onRequestStart(): void {
    // Nothing to say: the request has its headers already.
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number): void {
    this.#status = statusCode;
    if (this.#stream) this.#flowing.add(this.#seen);
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const text = chunk.toString("latin1");
    if (this.#status !== 200 || !this.#stream) {
      this.#tail += text;
      return;
    }
    const stamps: number[] = [];
    for (const [, stamp] of text.matchAll(STAMPS)) stamps.push(Number(stamp));
    if (stamps.length > 0 && !this.#hasBegun) {
      this.#hasBegun = true;
      this.#window.latency(this.#sinceUs);
    }
    this.#window.tokens(this.#seen, stamps);
    this.#tail = (this.#tail + text).slice(-DONE.length * 2);
  }

  onResponseEnd(): void {
    this.#end(this.#status === 200 && (!this.#stream || this.#tail.includes(DONE)), `${this.#status} ${this.#tail}`);
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#end(false, error.message);
  }

  #end(isWell: boolean, how: string): void {
    this.#flowing.delete(this.#seen);
    if (isWell) {
      this.#window.answered();
      if (this.#stream) this.#window.ended(this.#seen);
      else this.#window.latency(this.#sinceUs);
    } else {
      this.#window.failed(how.slice(0, SHOWN_CHARACTERS));
    }
    this.#done();
  }
}
