/** The crowds of a pool: those who want the same hosts belong together, whatever model it is that they want of them. */
import { Crowd } from "./crowd.ts";
import { hostsKey, type Pair } from "./pair.ts";

export class Crowds {
  readonly #crowds = new Map<string, Crowd>();

  /** Those who want these hosts. */
  of(pairs: readonly Pair[]): Crowd {
    const key = hostsKey(pairs);
    const known = this.#crowds.get(key);
    if (known !== undefined) return known;
    const fresh = new Crowd();
    this.#crowds.set(key, fresh);
    return fresh;
  }

  /** Forgets callers who ask no more, and crowds that nobody belongs to any more. */
  forgetGone(nowMs: number): void {
    for (const [key, crowd] of this.#crowds) {
      crowd.forgetGone(nowMs);
      if (crowd.isGone(nowMs)) this.#crowds.delete(key);
    }
  }
}
