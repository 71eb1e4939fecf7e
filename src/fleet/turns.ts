/** Those who wait inside the Fleet object for their turn. Promises of one object, whoever asked: the platform allows it. */
export class Turns {
  readonly #waiting = new Map<string, (host: string | null) => void>();

  /**
   * Waits for a turn.
   *
   * @returns the host; null when it has not come within `ms`, or the waiter has left
   */
  async wait(id: string, ms: number): Promise<string | null> {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    // One that asks anew has lost its earlier question.
    this.#waiting.get(id)?.(null);
    this.#waiting.set(id, resolve);
    const timer = setTimeout(() => resolve(null), ms);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      if (this.#waiting.get(id) === resolve) this.#waiting.delete(id);
    }
  }

  /** Whose turn it is, with their host; null for who has left. */
  call(id: string, host: string | null): void {
    this.#waiting.get(id)?.(host);
  }
}
