/**
 * What every limit is held against: a log of each charge with its own time, summed up one by one. Exact and slow, and
 * it shares nothing with what it judges.
 */

type Entry = { readonly id: string; readonly name: string; units: number; readonly atMs: number };

export class ExactLog {
  readonly #entries: Entry[] = [];

  /** Writes down what a request is charged under one limit's name. */
  charge(id: string, name: string, units: number, atMs: number): void {
    this.#entries.push({ id, name, units, atMs });
  }

  /** What a request turned out to have cost, in the place of what it was charged under that name. */
  settle(id: string, name: string, units: number): void {
    for (const entry of this.#entries) if (entry.id === id && entry.name === name) entry.units = units;
  }

  /** Units charged within the window that ends now: an interval that holds its end and not its beginning. */
  sum(name: string, windowMs: number, nowMs: number): number {
    let units = 0;
    for (const entry of this.#entries)
      if (entry.name === name && entry.atMs > nowMs - windowMs && entry.atMs <= nowMs) units += entry.units;
    return units;
  }
}
