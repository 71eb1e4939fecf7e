/** The waiting line as simply as it can be said: one list, looked through from end to end. What the real one is judged by. */
import type { Waiter } from "#src/fleet/line.ts";

type Place = Waiter & { readonly start: number; readonly arrival: number };

export class NaiveLine {
  waiting: Place[] = [];
  readonly #counters = new Map<string, number>();
  #level = 0;
  #arrivals = 0;
  #turns = 0;

  join(waiter: Waiter): void {
    this.waiting.push({ ...waiter, start: this.#charge(waiter), arrival: this.#arrivals++ });
  }

  leave(id: string): void {
    const place = this.waiting.find((waiter) => waiter.id === id);
    if (place === undefined) return;
    this.waiting = this.waiting.filter((waiter) => waiter !== place);
    this.correct(place, -place.weight);
  }

  served(waiter: Waiter): void {
    this.#level = Math.max(this.#level, this.#charge(waiter));
  }

  correct({ account, share }: Waiter, difference: number): void {
    this.#counters.set(account, (this.#counters.get(account) ?? 0) + difference / share);
  }

  next(host: string, nowMs: number): string | undefined {
    const able = this.waiting.filter(({ pairs }) => pairs.some((pair) => pair.host === host));
    const [best] = [...able].sort((a, b) => b.priority - a.priority || a.start - b.start || a.arrival - b.arrival);
    if (best === undefined) return undefined;
    const behind = able.filter(({ priority }) => priority < best.priority);
    const [oldest] = behind.sort((a, b) => a.sinceMs - b.sinceMs);
    this.#turns++;
    const isAged = this.#turns % 4 === 0 && oldest !== undefined && nowMs - oldest.sinceMs >= 5_000;
    const chosen = isAged ? oldest : best;
    if (!isAged) this.#level = Math.max(this.#level, chosen.start);
    this.waiting = this.waiting.filter((waiter) => waiter !== chosen);
    return chosen.id;
  }

  #charge({ account, share, weight }: Waiter): number {
    const start = Math.max(this.#level, this.#counters.get(account) ?? 0);
    this.#counters.set(account, start + weight / share);
    return start;
  }
}
