/** Wakes all who wait for something to change, at once. For callers that share one context, as in a Durable Object. */
export class News {
  #next = Promise.withResolvers<void>();

  /** Resolves with the next `tell`. */
  heard(): Promise<void> {
    return this.#next.promise;
  }

  tell(): void {
    const { resolve } = this.#next;
    this.#next = Promise.withResolvers<void>();
    resolve();
  }
}
