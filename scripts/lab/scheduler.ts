// Slots, the line before them, and the one clock that makes tokens due. A running work is asked to advance; what a token
// is, the scheduler does not know.
import type { Pace } from "./pace.ts";

/** Finer than any pace a stream is watched at, coarse enough for a thousand streams on one core. */
const TICK_MS = 4;
/** A stalled event loop must not turn into one endless catch-up. */
const MOST_PER_TICK = 256;

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
  #ticker: NodeJS.Timeout | undefined;

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

  /** True when neither a slot nor a place in a bounded line is free. */
  get full(): boolean {
    const { slots, maxQueued } = this.#pace;
    return this.#running.size >= slots && maxQueued !== undefined && this.#waiting.size >= maxQueued;
  }

  /** Runs the work now or in its turn. Ask `full` first: it is the engine's to refuse. */
  submit(work: Work): Ticket {
    const place: Place = { work, slot: -1, dueAtMs: 0 };
    this.#waiting.add(place);
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
    clearInterval(this.#ticker);
    this.#ticker = undefined;
  }

  #tick(): void {
    const now = this.#now();
    const tokenMs = 1000 / this.#pace.tokensPerSecond;
    for (const place of this.#running) {
      if (place.dueAtMs > now) continue;
      const due = Math.min(MOST_PER_TICK, 1 + Math.floor((now - place.dueAtMs) / tokenMs));
      place.dueAtMs += due * tokenMs;
      if (!place.work.advance(due, now)) this.#running.delete(place);
    }
    this.fill();
    if (this.#running.size === 0) {
      clearInterval(this.#ticker);
      this.#ticker = undefined;
    }
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
