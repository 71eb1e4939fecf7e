// What really happened on this host: one entry per generation that began, in order. The ledger is judged by it.
//
// Of a stream that ran to its end, or that a fault ended, all tokens count whose event was written. When the caller leaves,
// those count that went out while it was there: the system took them before the caller's close had arrived. A write that
// crossed the close, or that the system never took, is not counted (departure.ts; exact, because the sockets are looked at
// before every write: scheduler.ts). What the caller's own machine had received and never read does count: no sender can
// know of that. So a gateway that hangs up between two events, with all read, has exactly these tokens in its ledger; one
// that hangs up while an event is on its way has fewer, and never more.

export type Ended = "stop" | "length" | "aborted" | "fault";

export interface TruthEntry {
  readonly id: string;
  readonly requestId: string | null;
  readonly model: string;
  readonly promptTokens: number;
  /** Streamed: tokens whose event went out, as above. Whole: tokens generated. */
  completionTokens: number;
  ended: Ended | null;
  readonly startedAtMs: number;
  endedAtMs: number | null;
}

export class Truth {
  #entries: TruthEntry[] = [];

  /** A generation began, whether it runs or waits for a slot. */
  begin(entry: Pick<TruthEntry, "id" | "requestId" | "model" | "promptTokens">, nowMs: number): TruthEntry {
    const { id, requestId, model, promptTokens } = entry;
    const begun: TruthEntry = {
      id,
      requestId,
      model,
      promptTokens,
      completionTokens: 0,
      ended: null,
      startedAtMs: nowMs,
      endedAtMs: null,
    };
    this.#entries.push(begun);
    return begun;
  }

  /** The first end counts; later ones are ignored. */
  end(entry: TruthEntry, ended: Ended, nowMs: number): void {
    if (entry.ended !== null) return;
    entry.ended = ended;
    entry.endedAtMs = nowMs;
  }

  list(): readonly TruthEntry[] {
    return this.#entries;
  }

  clear(): void {
    this.#entries = [];
  }
}
