/**
 * What is waited for in a stream, and since when: for the host, where the caller has taken what there was; for nothing,
 * where the host waits for the caller. Pure: the time of day is handed in.
 */

export type Deadlines = {
  /** From one content to the next. The first has a deadline of its own where the answer is opened, host by host. */
  readonly betweenTokensMs: number;
  readonly totalMs: number;
};

export class Waiting {
  readonly #deadlines: Deadlines;
  readonly #arrivedAtMs: number;
  /** Since when a read has been waiting for the host; null while the host waits for the caller. */
  #sinceMs: number | null = null;
  /** Waited for the next content before that, over reads that brought none: pings and counts are no tokens. */
  #waitedMs = 0;
  #wroteAtMs: number;

  /** @param arrivedAtMs when the question came in */
  constructor(deadlines: Deadlines, arrivedAtMs: number, nowMs: number) {
    this.#deadlines = deadlines;
    this.#arrivedAtMs = arrivedAtMs;
    this.#wroteAtMs = nowMs;
  }

  /** The caller has taken what there was. */
  forHost(nowMs: number): void {
    this.#sinceMs = nowMs;
  }

  /** The caller has been given something, and the host waits for it now. */
  forCaller(nowMs: number): void {
    this.#sinceMs = null;
    this.#wroteAtMs = nowMs;
  }

  /** The host has said something. */
  heard(isContent: boolean, nowMs: number): void {
    this.#waitedMs = isContent ? 0 : this.#waitedMs + nowMs - (this.#sinceMs ?? nowMs);
    this.#sinceMs = nowMs;
  }

  /** Another host has the word. */
  anew(nowMs: number): void {
    this.#waitedMs = 0;
    this.#sinceMs = nowMs;
  }

  /** Of the whole answer's time, ms; below 0 once it is over. */
  totalLeftMs(nowMs: number): number {
    return this.#deadlines.totalMs - (nowMs - this.#arrivedAtMs);
  }

  /** Of the next content's time, ms; below 0 once it is late, without end while nobody waits for the host. */
  nextTokenLeftMs(nowMs: number): number {
    if (this.#sinceMs === null) return Number.POSITIVE_INFINITY;
    return this.#deadlines.betweenTokensMs - (this.#waitedMs + nowMs - this.#sinceMs);
  }

  /** The host is waited for, and the caller has had no sign of life for so long. */
  isSilent(forMs: number, nowMs: number): boolean {
    return this.#sinceMs !== null && nowMs - this.#wroteAtMs >= forMs;
  }
}
