/**
 * Coalesced writes of one Durable Object: what changes within a few ms is written by one statement, behind the answers
 * that were given from memory. Whoever needs to know that a change is durable waits for `written`. A write that fails is
 * tried again, and whoever waits for it hears of the failure.
 */

/** Changes this close together share one write; with its own time it is over before a first token could come (20 ms). */
const AFTER_MS = 10;
/** Storage that failed is tried again after this long. */
const RETRY_AFTER_MS = 1_000;

export class WriteBehind {
  readonly #write: () => void;
  readonly #sync: () => Promise<void>;
  /** Whether a write is to come that will hold what is changed now. */
  #isPending = false;
  /** The last write, until it is durable. */
  #latest: Promise<void> = Promise.resolve();

  /**
   * @param write writes everything that has changed, synchronously and all or nothing
   * @param sync resolves when what was written is durable
   */
  constructor(write: () => void, sync: () => Promise<void>) {
    this.#write = write;
    this.#sync = sync;
  }

  /** Something has changed. */
  note(afterMs = AFTER_MS): void {
    if (this.#isPending) return;
    this.#isPending = true;
    this.#latest = this.#flush(afterMs);
    this.#latest.catch((cause: unknown) => {
      console.error(JSON.stringify({ at: "write-behind", cause: String(cause) }));
      this.note(RETRY_AFTER_MS);
    });
  }

  /**
   * Resolves when everything noted so far is durable. All who wait for one write share its promise: each that waited for
   * the storage by itself would enter JS once more.
   *
   * @throws what the storage throws
   */
  written(): Promise<void> {
    return this.#latest;
  }

  async #flush(afterMs: number): Promise<void> {
    await scheduler.wait(afterMs);
    this.#isPending = false;
    this.#write();
    await this.#sync();
  }
}
