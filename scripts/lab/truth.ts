// What really happened on this host: one entry per generation that began, in order. The ledger is judged by it.

export type Ended = "stop" | "length" | "aborted" | "fault";

export interface TruthEntry {
  readonly id: string;
  readonly requestId: string | null;
  readonly model: string;
  readonly promptTokens: number;
  /** Streamed: tokens whose event was handed to the socket. Whole: tokens generated. */
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
