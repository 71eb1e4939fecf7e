/** Keeps a sample of what was measured: a window has too many delays to keep them all. */
import { quantile } from "#scripts/chaos/statistics.ts";
import type { Spread } from "./job.ts";

const MOST = 50_000;

export class Sample {
  #values: number[] = [];
  /** One of so many is kept. */
  #step = 1;
  #seen = 0;

  add(value: number): void {
    if (this.#seen++ % this.#step !== 0) return;
    this.#values.push(value);
    if (this.#values.length < MOST) return;
    this.#values = this.#values.filter((_, at) => at % 2 === 0);
    this.#step *= 2;
  }

  get spread(): Spread {
    return { p50: quantile(this.#values, 0.5), p99: quantile(this.#values, 0.99) };
  }
}
