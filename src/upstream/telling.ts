/**
 * An answer as its hosts tell it: who has the word, what is read of it, and who goes on where one is lost. Knows nothing
 * of the caller; the relay passes on what it yields.
 */
import type { Problem } from "#src/problem.ts";
import { before } from "#src/within.ts";
import { type AnswerStream, BrokenStream } from "./answer-stream.ts";
import { lastWords } from "./last-words.ts";
import type { Waiting } from "./waiting.ts";

/** A host ends its stream with the last word; one that leaves it open would keep the connection for good. */
const END_WITHIN_MS = 1_000;

/** A host's answer that has begun: what was read of it until its first content, and the way to the rest. */
export type Source = {
  readonly reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read" | "cancel">;
  readonly stream: AnswerStream;
  /** For the caller already; null when there was nothing. */
  readonly head: Uint8Array | null;
};

/**
 * Another host's part, which goes on where a broken stream has ended, and the comment that tells of it; null where there
 * is none. Never rejects.
 */
export type CarryOn = (broken: AnswerStream) => Promise<{ source: Source; comment: Uint8Array } | null>;

export class Telling {
  readonly #opening: Promise<Source>;
  readonly #carryOn: CarryOn;
  readonly #waiting: Waiting;
  readonly #now: () => number;
  /** Who has the word; null before the first host, and while another one is asked to go on. */
  #source: Source | null = null;
  /** What the source brought along, until it is passed on. */
  #head: Uint8Array | null = null;
  #reading: ReturnType<Source["reader"]["read"]> | null = null;
  /** Why the host was given up, while its stream goes down. */
  #lost: Problem | null = null;
  #isOver = false;
  #firstContentAtMs: number | null = null;

  /** @param opening the first host's answer, which may not have begun yet */
  constructor(opening: Promise<Source>, carryOn: CarryOn, waiting: Waiting, now: () => number) {
    this.#opening = opening;
    this.#carryOn = carryOn;
    this.#waiting = waiting;
    this.#now = now;
    // Also when nobody reads: what it brought along is counted if the caller leaves.
    opening.then(
      (begun) => this.#isOver || this.#begin(begun),
      () => undefined,
    );
  }

  /** What is told now; null while nobody has the word. */
  get stream(): AnswerStream | null {
    return this.#source?.stream ?? null;
  }

  get firstContentAtMs(): number | null {
    return this.#firstContentAtMs;
  }

  /** Nothing more of it is needed. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * The next events for the caller: the head first, then what the host sends. Null when what came holds none.
   *
   * @throws what the opening rejects with; when the host is lost, why it was given up, BrokenStream, or what its reader
   *   throws
   */
  async read(): Promise<Uint8Array | null> {
    const { reader, stream } = this.#source ?? this.#begin(await this.#opening);
    if (this.#isOver) return null;
    if (this.#head !== null) {
      const brought = this.#head;
      this.#head = null;
      return brought;
    }
    this.#reading = reader.read();
    const part = await this.#reading;
    // Of a caller who has left, `lastWords` counts it.
    if (this.#isOver) return null;
    this.#reading = null;
    if (part.done) {
      const ending = this.#lost === null ? stream.finish() : null;
      if (ending === null)
        throw this.#lost ?? new BrokenStream("the host ended the stream in the middle of the answer");
      return ending;
    }
    const { contentPieces } = stream.tally;
    const out = stream.push(part.value);
    if (stream.hasContent) this.#firstContentAtMs ??= this.#now();
    this.#waiting.heard(stream.tally.contentPieces > contentPieces, this.#now());
    return out;
  }

  /** How long the host that has the word may still be silent, ms; below 0 once it is late. */
  silenceLeftMs(nowMs: number): number {
    const isHeard = this.#source !== null && this.#lost === null;
    return isHeard ? this.#waiting.nextTokenLeftMs(nowMs) : Number.POSITIVE_INFINITY;
  }

  /** The host is lost: its read ends, and with it begins what follows on that. */
  giveUp(why: Problem): void {
    this.#lost = why;
    this.#source?.reader.cancel().catch(() => undefined);
  }

  /** Why the host was given up; null where it was not. */
  get lost(): Problem | null {
    return this.#lost;
  }

  /** What a lost host still owes, where its answer was whole but for its last words; null where it was not. */
  owed(): Uint8Array | null {
    const { stream } = this;
    return stream === null || stream.broken !== null ? null : stream.finish();
  }

  /**
   * Another host takes the word from the one that is lost.
   *
   * @returns the comment that tells of it; null where nobody goes on
   */
  async goOn(): Promise<Uint8Array | null> {
    const broken = this.#source;
    if (broken === null) return null;
    this.#source = null;
    this.#lost = null;
    this.#waiting.forHost(this.#now());
    broken.reader.cancel().catch(() => undefined);
    const further = await this.#carryOn(broken.stream);
    this.#source = broken;
    if (this.#isOver || further === null) return null;
    this.#begin(further.source);
    this.#waiting.anew(this.#now());
    return further.comment;
  }

  /** What still comes is nobody's. */
  end(): void {
    this.#isOver = true;
  }

  /** The end behind the last word is read, so that the connection can be used again; a host that goes on is cut off. */
  close(hangUp: () => void): void {
    if (this.#source === null) return;
    before(END_WITHIN_MS, this.#source.reader.read()).then((part) => part?.done === true || hangUp(), hangUp);
  }

  /** The caller has left: the host is heard out until a good moment to hang up. Never rejects. */
  async leave(): Promise<void> {
    this.#isOver = true;
    if (this.#source === null) return;
    // A host that has gone as well leaves what was counted.
    await lastWords(this.#source.reader, this.#source.stream, this.#reading).catch(() => undefined);
  }

  #begin(begun: Source): Source {
    this.#source = begun;
    this.#head = begun.head;
    this.#reading = null;
    if (begun.stream.hasContent) this.#firstContentAtMs ??= this.#now();
    return begun;
  }
}
