/** Choices of hosts, for the admin's page: what was decided lately, and why. Holds no content and no caller. */
export type Decision = {
  readonly atMs: number;
  /** The ticket's: the request's id and the number of the try. */
  readonly id: string;
  readonly model: string;
  /** Null when nobody was chosen. */
  readonly host: string | null;
  readonly why: string;
};

/** The latest decisions. */
export class Decisions {
  readonly #most: number;
  #latest: Decision[] = [];

  /** @param most how many are kept */
  constructor(most: number) {
    this.#most = most;
  }

  /** Oldest first. */
  all(): readonly Decision[] {
    return this.#latest;
  }

  keep(decision: Decision): void {
    this.#latest.push(decision);
    if (this.#latest.length > this.#most) this.#latest.shift();
  }

  /** Hands all of them out, and keeps none. */
  drain(): readonly Decision[] {
    const drained = this.#latest;
    this.#latest = [];
    return drained;
  }
}
