// Which request each fault struck, and until when its caller's connection lasted: faults that begin no generation leave no
// truth. Kept until DELETE.

export interface Strike {
  readonly requestId: string;
  readonly kind: string;
  readonly atMs: number;
  /** When the exchange was over for both sides; null while it is not. */
  closedAtMs: number | null;
}

export class Strikes {
  #entries: Strike[] = [];

  note(requestId: string, kind: string, nowMs: number): Strike {
    const strike: Strike = { requestId, kind, atMs: nowMs, closedAtMs: null };
    this.#entries.push(strike);
    return strike;
  }

  list(): readonly Strike[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
  }
}
