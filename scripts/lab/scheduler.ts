// Slots, the line before them, and the one clock that makes tokens due. A running work is asked to advance; what a token
// is, the scheduler does not know. Works advance in the check phase of the event loop, few in a turn: each turn looks at
// the sockets first (libuv's poll phase), so that a caller who has left is known to have left before more is written.
import type { Pace } from "./pace.ts";

/** Finer than any pace a stream is watched at, coarse enough for a thousand streams on one core. */
const TICK_MS = 4;
/** A stalled event loop must not turn into one endless catch-up. */
const MOST_PER_TICK = 256;
/** How long ago the sockets were looked at when the last work of a turn writes. Tens of works, at some 10 µs each. */
const TURN_MS = 0.2;

export interface Work {
  /** A slot was given; returns the time to its first token. */
  start(nowMs: number): number;
  /** Make this many tokens; false when there is nothing left to do, which frees the slot. */
  advance(tokens: number, nowMs: number): boolean;
}

interface Place {
  readonly work: Work;
  /** Which slot it holds; -1 while it waits. */
  slot: number;
  dueAtMs: number;
}

export interface Ticket {
  /** The slot's number, or -1 while waiting. */
  slot(): number;
  /** Gives up the slot or the place in the line, at once. Harmless when repeated. */
  leave(): void;
}

export class Scheduler {
  readonly #pace: Pace;
  readonly #now: () => number;
  readonly #running = new Set<Place>();
  readonly #waiting = new Set<Place>();
  #most = 0;
  #ticker: NodeJS.Timeout | undefined;
  /** Those whose tokens are due, on their way through the turns of the event loop. */
  #due: Place[] = [];

  constructor(pace: Pace, now: () => number) {
    this.#pace = pace;
    this.#now = now;
  }

  get running(): number {
    return this.#running.size;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** The most works that ran or waited at the same time, since `forgetMost`. */
  get most(): number {
    return this.#most;
  }

  forgetMost(): void {
    this.#most = this.running + this.waiting;
  }

  /** True when neither a slot nor a place in a bounded line is free. */
  get full(): boolean {
    const { slots, maxQueued } = this.#pace;
    return this.#running.size >= slots && maxQueued !== undefined && this.#waiting.size >= maxQueued;
  }

  /** Runs the work now or in its turn. Ask `full` first: it is the engine's to refuse. */
  submit(work: Work): Ticket {
    const place: Place = { work, slot: -1, dueAtMs: 0 };
    this.#waiting.add(place);
    this.#most = Math.max(this.#most, this.running + this.waiting);
    this.fill();
    return { slot: () => place.slot, leave: () => this.#leave(place) };
  }

  /** Gives free slots to those who wait, first come first served; call it when `slots` has grown. */
  fill(): void {
    for (const place of this.#waiting) {
      if (this.#running.size >= this.#pace.slots) break;
      this.#waiting.delete(place);
      place.slot = this.#lowestFree();
      this.#running.add(place);
      const now = this.#now();
      place.dueAtMs = now + place.work.start(now);
    }
    if (this.#running.size > 0 && this.#ticker === undefined) this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  /** Forgets everything and stops the clock. */
  close(): void {
    this.#waiting.clear();
    this.#running.clear();
    this.#due = [];
    this.#stopTicking();
  }

  #tick(): void {
    if (this.#running.size === 0) this.#stopTicking();
    if (this.#due.length > 0) return;
    const now = this.#now();
    this.#due = [...this.#running].filter((place) => place.dueAtMs <= now);
    if (this.#due.length > 0) setImmediate(() => this.#turn());
  }

  #turn(): void {
    const tokenMs = 1000 / this.#pace.tokensPerSecond;
    const end = performance.now() + TURN_MS;
    do {
      const place = this.#due.shift();
      if (place === undefined) break;
      // It may have left since it was found due.
      if (!this.#running.has(place)) continue;
      const due = Math.min(MOST_PER_TICK, 1 + Math.floor((this.#now() - place.dueAtMs) / tokenMs));
      place.dueAtMs += due * tokenMs;
      if (!place.work.advance(due, this.#now())) this.#running.delete(place);
    } while (performance.now() < end);
    if (this.#due.length > 0) setImmediate(() => this.#turn());
    this.fill();
  }

  #stopTicking(): void {
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  #leave(place: Place): void {
    this.#waiting.delete(place);
    if (this.#running.delete(place)) this.fill();
  }

  #lowestFree(): number {
    const taken = new Set<number>();
    for (const place of this.#running) taken.add(place.slot);
    let slot = 0;
    while (taken.has(slot)) slot += 1;
    return slot;
  }
}
