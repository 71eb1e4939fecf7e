/**
 * Coalesced writes of one Durable Object: what changes is written by few statements, behind the answers that were given
 * from memory. Who holds something up until a change is durable waits for `soon`; who can wait for a while longer, for
 * `written`, and is carried by the next write that somebody hurries. A write that fails is tried again, and whoever waits
 * for it hears of the failure.
 */

/**
 * Where many come at once writes begin so far apart, so that those in a hurry share one. Where few do nobody would: one
 * caller who asks again with each answer waited 11 ms for each.
 */
const APART_MS = 10;
/**
 * A change that nobody hurries waits this long for one that somebody does. At a caller of seven requests a second this is one
 * write by request; with 50 ms it was 1.4 (counted in fsyncs).
 */
const LAZY_MS = 250;
/** Storage that failed is tried again after this long. */
const RETRY_AFTER_MS = 1_000;

/** The write to come: it will hold whatever has changed by then. */
type Coming = {
  readonly atMs: number;
  readonly timer: ReturnType<typeof setTimeout> | null;
  readonly durable: PromiseWithResolvers<void>;
};

export class WriteBehind {
  readonly #write: () => void;
  readonly #sync: () => Promise<void>;
  readonly #now: () => number;
  readonly #areMany: () => boolean;
  #coming: Coming | null = null;
  /** The last write, until it is durable. */
  #latest: Promise<void> = Promise.resolve();
  /** Since the last write there has to be this much rest before the next one. */
  #rest = { sinceMs: Number.NEGATIVE_INFINITY, forMs: APART_MS };

  /**
   * @param write writes everything that has changed, synchronously and all or nothing
   * @param sync resolves when what was written is durable
   * @param now wall clock in ms
   * @param areMany whether others are likely to be in a hurry within the next few ms
   */
  constructor(write: () => void, sync: () => Promise<void>, now: () => number, areMany: () => boolean) {
    this.#write = write;
    this.#sync = sync;
    this.#now = now;
    this.#areMany = areMany;
  }

  /** Something has changed: it is written after this long at the latest, or as soon as the storage is well. */
  note(withinMs = LAZY_MS): void {
    this.#come(Math.max(withinMs, this.#restMs()));
  }

  /**
   * Resolves when everything noted so far is durable. All who wait for one write share its promise: each that waited for
   * the storage by itself would enter JS once more.
   *
   * @throws what the storage throws
   */
  written(): Promise<void> {
    return this.#coming?.durable.promise ?? this.#latest;
  }

  /** The same, and as soon as may be: at once when nothing was written just now. @throws what the storage throws */
  soon(): Promise<void> {
    const durable = this.written();
    if (this.#coming !== null) this.#come(this.#restMs());
    return durable;
  }

  /** A clock that steps back makes nobody wait for longer. */
  #restMs(): number {
    const { sinceMs, forMs } = this.#rest;
    return Math.min(forMs, Math.max(0, sinceMs + forMs - this.#now()));
  }

  #come(inMs: number): void {
    const atMs = this.#now() + inMs;
    const coming = this.#coming;
    if (coming !== null && coming.atMs <= atMs) return;
    if (coming !== null && coming.timer !== null) clearTimeout(coming.timer);
    const timer = inMs > 0 ? setTimeout(() => this.#flush(), inMs) : null;
    this.#coming = { atMs, timer, durable: coming?.durable ?? durability() };
    if (timer === null) this.#flush();
  }

  #flush(): void {
    if (this.#coming === null) return;
    const { durable } = this.#coming;
    this.#coming = null;
    this.#latest = durable.promise;
    this.#rest = { sinceMs: this.#now(), forMs: this.#areMany() ? APART_MS : 0 };
    this.#written().then(durable.resolve, (cause: unknown) => {
      durable.reject(cause);
      console.error(JSON.stringify({ at: "write-behind", cause: String(cause) }));
      this.#rest = { sinceMs: this.#now(), forMs: RETRY_AFTER_MS };
      this.note(0);
    });
  }

  async #written(): Promise<void> {
    this.#write();
    await this.#sync();
  }
}

function durability(): PromiseWithResolvers<void> {
  const durable = Promise.withResolvers<void>();
  // Whoever waits hears of it; nobody may be waiting.
  durable.promise.catch(() => undefined);
  return durable;
}
