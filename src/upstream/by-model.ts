/** Something of which an isolate keeps one for each model, made when it is first asked for. */
export class ByModel<T> {
  readonly #kept = new Map<string, T>();
  readonly #make: () => T;

  constructor(make: () => T) {
    this.#make = make;
  }

  of(model: string): T {
    const known = this.#kept.get(model);
    if (known !== undefined) return known;
    const fresh = this.#make();
    this.#kept.set(model, fresh);
    return fresh;
  }
}
