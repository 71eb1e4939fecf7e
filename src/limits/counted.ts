/**
 * The ids of the last events that were counted: one that is settled again long after, when its row has gone, is not counted
 * twice. Bounded, because events are settled again within seconds, if at all.
 */
const REMEMBERED = 1_000;

export class Counted {
  readonly #ids = new Set<string>();

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(id: string): void {
    this.#ids.add(id);
    const [eldest] = this.#ids;
    if (this.#ids.size > REMEMBERED && eldest !== undefined) this.#ids.delete(eldest);
  }
}
