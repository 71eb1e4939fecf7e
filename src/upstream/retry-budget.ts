/**
 * How often a model's questions may be asked of another host after one has failed. Without a bound, a question that
 * breaks every engine is asked of all of them, and a fleet that is failing gets the more to do the worse it does. Finagle's
 * and Envoy's rule: a part of what is asked anyway, and a few more so that a quiet model can fail over too. Pure.
 */

/** Of the questions of the last 10 s, and never less than 3. */
const PART = 0.2;
const LEAST = 3;
const SLICES = 10;
const SLICE_MS = 1_000;

type Slice = { since: number; asked: number; retried: number };

export class RetryBudget {
  readonly #slices: Slice[] = Array.from({ length: SLICES }, () => ({ since: -1, asked: 0, retried: 0 }));

  /** A question was put to its first host. */
  asked(nowMs: number): void {
    this.#slice(nowMs).asked += 1;
  }

  /** Whether one may be put to another; counts it if so. */
  retry(nowMs: number): boolean {
    const slice = this.#slice(nowMs);
    const recent = this.#slices.filter(({ since }) => since > slice.since - SLICES);
    const asked = recent.reduce((sum, one) => sum + one.asked, 0);
    const retried = recent.reduce((sum, one) => sum + one.retried, 0);
    if (retried >= Math.max(LEAST, Math.floor(PART * asked))) return false;
    slice.retried += 1;
    return true;
  }

  /** One that was counted was not put to anyone. */
  refund(nowMs: number): void {
    const slice = this.#slice(nowMs);
    slice.retried = Math.max(0, slice.retried - 1);
  }

  /** A clock that steps back counts into the newest slice there is. */
  #slice(nowMs: number): Slice {
    const newest = Math.max(...this.#slices.map(({ since }) => since));
    const since = Math.max(Math.floor(nowMs / SLICE_MS), newest);
    const slice = this.#slices[since % SLICES] as Slice;
    if (slice.since !== since) Object.assign(slice, { since, asked: 0, retried: 0 });
    return slice;
  }
}
