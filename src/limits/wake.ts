/**
 * When a Durable Object wakes by itself: its one alarm, set for whatever comes first. An alarm that has not rung in time is
 * set again. The clock and the storage are arguments.
 */

/**
 * An alarm that has not rung by then never will. Seen once in 25,000 requests on a local runtime: the time it was set for
 * had passed, and nothing came. Everything that the object owed waited for it.
 */
const LOST_AFTER_MS = 10_000;

export class Wake {
  readonly #set: (atMs: number) => void;
  /** Wall clock; null when unknown or not set. */
  #atMs: number | null = null;

  /** @param set sets the alarm of the platform */
  constructor(set: (atMs: number) => void) {
    this.#set = set;
  }

  /** What the storage says of it, for an object that is new in memory. */
  found(atMs: number | null): void {
    this.#atMs = atMs;
  }

  /** It has rung. */
  rang(): void {
    this.#atMs = null;
  }

  /** Something is to be done at that time, wall clock in ms. */
  at(atMs: number, nowMs: number): void {
    const isLost = this.#atMs !== null && nowMs - this.#atMs >= LOST_AFTER_MS;
    if (this.#atMs !== null && this.#atMs <= atMs && !isLost) return;
    if (isLost) console.error(JSON.stringify({ at: "wake", cause: "an alarm was lost" }));
    this.#atMs = isLost ? Math.max(atMs, nowMs) : atMs;
    this.#set(this.#atMs);
  }
}
