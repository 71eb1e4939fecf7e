/** What is noted between the window's two edges: before lies the warm-up. */
import type { Job, Seen } from "./job.ts";
import { nowUs } from "./now.ts";
import { bytesOf, cpuUsOf } from "./process-cost.ts";
import { Sample } from "./spread.ts";

/** A token that comes this late is felt. */
const STALL_US = 100_000;

export class Window {
  readonly #groups: readonly number[];
  readonly #gapUs: number;
  /** Before any of the load. */
  readonly #bytesBefore: number;
  #open: { readonly sinceUs: number; readonly cpuUs: number } | null = null;
  #requests = 0;
  #failed = 0;
  #failure: string | null = null;
  #events = 0;
  #streams = 0;
  #stallFree = 0;
  readonly #latency = new Sample();
  readonly #delay = new Sample();
  readonly #jitter = new Sample();

  readonly #nowUs: () => number;

  constructor({ target, answer }: Job, now: () => number = nowUs) {
    this.#nowUs = now;
    this.#groups = target.groups;
    this.#gapUs = answer.gapMs * 1_000;
    this.#bytesBefore = bytesOf(target.groups);
  }

  open(): void {
    this.#open = { cpuUs: cpuUsOf(this.#groups), sinceUs: this.#nowUs() };
  }

  close(): Seen {
    if (this.#open === null) throw new Error("the window was never opened");
    const cpuUs = cpuUsOf(this.#groups) - this.#open.cpuUs;
    const windowMs = (this.#nowUs() - this.#open.sinceUs) / 1_000;
    const seen: Seen = {
      requests: this.#requests,
      failed: this.#failed,
      failure: this.#failure,
      events: this.#events,
      windowMs,
      cpuUs,
      bytes: bytesOf(this.#groups),
      bytesBefore: this.#bytesBefore,
      latencyUs: this.#latency.spread,
      delayUs: this.#delay.spread,
      jitterUs: this.#jitter.spread,
      streams: this.#streams,
      stallFree: this.#stallFree,
    };
    this.#open = null;
    return seen;
  }

  answered(): void {
    if (this.#open !== null) this.#requests++;
  }

  failed(how: string): void {
    if (this.#open === null) return;
    this.#failed++;
    this.#failure ??= how;
  }

  latency(sinceUs: number): void {
    if (this.#open !== null) this.#latency.add(this.#nowUs() - sinceUs);
  }

  /** Events of one stream that have just arrived. */
  tokens(stream: StreamSeen, sentAtUs: readonly number[]): void {
    if (this.#open === null) return;
    const atUs = this.#nowUs();
    for (const sentUs of sentAtUs) {
      const delayUs = atUs - sentUs;
      this.#events++;
      this.#delay.add(delayUs);
      if (delayUs >= STALL_US) stream.stalled = true;
      if (this.#gapUs > 0 && stream.lastUs !== null) this.#jitter.add(Math.abs(atUs - stream.lastUs - this.#gapUs));
      stream.lastUs = atUs;
    }
  }

  /** A stream has ended, or the window does while it goes on. */
  ended({ stalled, lastUs }: StreamSeen): void {
    if (this.#open === null || lastUs === null) return;
    this.#streams++;
    if (!stalled) this.#stallFree++;
  }
}

/** What one stream was like so far. */
export type StreamSeen = { lastUs: number | null; stalled: boolean };
