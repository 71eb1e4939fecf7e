/**
 * Coalesced writes of one Durable Object: what changes within a few ms is written by one statement, behind the answers
 * that were given from memory. Whoever needs to know that a change is durable waits for `written`. A write that fails is
 * tried again, and whoever waits for it hears of the failure.
 */

/** Changes this close together share one write. Measured: 5 to 10 ms costs least without being felt. */
const AFTER_MS = 5;
/** Storage that failed is tried again after this long. */
const RETRY_AFTER_MS = 1_000;

export class WriteBehind {
  readonly #write: () => void;
  readonly #sync: () => Promise<void>;
  #pending: Promise<void> | null = null;

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
    if (this.#pending !== null) return;
    this.#pending = this.#flush(afterMs);
    this.#pending.catch((cause: unknown) => {
      console.error(JSON.stringify({ at: "write-behind", cause: String(cause) }));
      this.note(RETRY_AFTER_MS);
    });
  }

  /** Resolves when everything noted so far is durable. @throws what the storage throws */
  async written(): Promise<void> {
    await this.#pending;
    await this.#sync();
  }

  async #flush(afterMs: number): Promise<void> {
    await scheduler.wait(afterMs);
    this.#pending = null;
    this.#write();
  }
}
