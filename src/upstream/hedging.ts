/**
 * When a second host is asked the same question because the first takes longer than hosts mostly do (Dean and Barroso,
 * "The Tail at Scale", 2013): after the time within which 95 of 100 answers came, and for one question in twenty at the
 * most, so that a fleet that is slow as a whole is not asked for twice as much. Pure.
 */

/** Answers that the quantile is taken of, and how few of them tell nothing yet. */
const REMEMBERED = 100;
const LEAST_KNOWN = 20;
const QUANTILE = 0.95;
/** Part of the questions that may be asked twice, and how many may be saved up. */
const PART = 0.05;
const MOST_SAVED = 3;

export class Hedging {
  readonly #tookMs: number[] = [];
  #answers = 0;
  #saved = 0;

  /** A question was asked that could be asked twice. @returns after how long it may be, in ms; null: not at all */
  asked(): number | null {
    this.#saved = Math.min(MOST_SAVED, this.#saved + PART);
    if (this.#tookMs.length < LEAST_KNOWN) return null;
    const sorted = this.#tookMs.toSorted((one, other) => one - other);
    return sorted[Math.ceil(QUANTILE * sorted.length) - 1] ?? null;
  }

  /** Whether it is asked twice now; counts it if so. */
  spend(): boolean {
    // Twentieths do not add up to a whole in binary.
    if (this.#saved < 1 - 1e-9) return false;
    this.#saved -= 1;
    return true;
  }

  /** How long a host took for an answer. */
  answered(tookMs: number): void {
    this.#tookMs[this.#answers++ % REMEMBERED] = tookMs;
  }
}
