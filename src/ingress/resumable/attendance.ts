/** Who reads a resumable stream, and since when nobody does. A plain collection: no I/O, no clock. */

export class Attendance {
  /** The last event that each was given. */
  readonly #readers = new Map<number, number>();
  #next = 0;
  #aloneSinceMs: number;

  constructor(nowMs: number) {
    this.#aloneSinceMs = nowMs;
  }

  get size(): number {
    return this.#readers.size;
  }

  /** @returns the reader's name here */
  come(after: number): number {
    this.#next += 1;
    this.#readers.set(this.#next, after);
    return this.#next;
  }

  /** The reader was given the events up to this one. */
  move(reader: number, last: number): void {
    if (this.#readers.has(reader)) this.#readers.set(reader, last);
  }

  leave(reader: number, nowMs: number): void {
    if (this.#readers.delete(reader) && this.#readers.size === 0) this.#aloneSinceMs = nowMs;
  }

  /** The event that all of them have passed; null when there is nobody. */
  passed(): number | null {
    return this.#readers.size === 0 ? null : Math.min(...this.#readers.values());
  }

  /** Those who have been given least count as gone. */
  dismissSlowest(nowMs: number): void {
    const passed = this.passed();
    for (const [reader, last] of [...this.#readers]) if (last === passed) this.leave(reader, nowMs);
  }

  /** When the stream is to be given up if nobody comes; null while somebody reads it. */
  forsakenAtMs(graceMs: number): number | null {
    return this.#readers.size === 0 ? this.#aloneSinceMs + graceMs : null;
  }
}
