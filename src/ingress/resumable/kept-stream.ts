/**
 * One resumable stream as its object keeps it: what it has said, who reads it, how and when it ends. Decides who may read
 * from where, when it is given up for want of readers, and when it is forgotten. Storage and clock are arguments.
 */
import { before } from "#src/within.ts";
import { Attendance } from "./attendance.ts";
import type { LastWords } from "./last-words.ts";
import { News } from "./news.ts";
import { type Readable, reading } from "./reading.ts";
import { type Next, type Pages, StreamLog } from "./stream-log.ts";

/** What is stored beside the pages. Of the caller only its account's name, to know it again. */
export type Head = {
  readonly account: string;
  readonly words: LastWords;
  /** How often a silent reader is written to. */
  readonly heartbeatMs: number;
  /** Null while the answer is being made. */
  readonly end: { readonly atMs: number; readonly words: Uint8Array | null } | null;
};

export type Opened =
  | { readonly kind: "opened"; readonly body: ReadableStream<Uint8Array>; readonly words: LastWords }
  /** `ahead`: the stream has not come so far. `gone`: what comes next is not kept any more. `crowded`: too many readers. */
  | { readonly kind: "anothers" | "ahead" | "gone" | "crowded" };

/** From its end on. */
export const KEPT_MS = 600_000;
/** A reader who holds up a full stream and takes nothing for so long has gone without a word, or as good as that. */
const STALLED_MS = 30_000;
/** Each holds a page. More than one are a caller's tabs, or connections whose end was not noticed yet. */
const MOST_READERS = 16;

export type Surroundings = {
  readonly pages: Pages;
  /** Stores the head, in one step with the pages put before it. */
  readonly save: (head: Head) => void;
  /** It may be due at another time than before. */
  readonly rearm: () => void;
  readonly now: () => number;
};

export class KeptStream {
  #head: Head;
  readonly #log: StreamLog;
  readonly #attendance: Attendance;
  readonly #around: Surroundings;
  readonly #stalledMs: number;
  #isForgotten = false;
  /** There is more to read. */
  readonly #news = new News();
  /** A reader has moved on or left. */
  readonly #moves = new News();

  constructor(head: Head, around: Surroundings, stalledMs = STALLED_MS) {
    this.#head = head;
    this.#log = new StreamLog(around.pages);
    this.#attendance = new Attendance(around.now());
    this.#around = around;
    this.#stalledMs = stalledMs;
  }

  get isOver(): boolean {
    return this.#head.end !== null;
  }

  /** Takes events that were just made; resolves when there is room for more. */
  async take(events: readonly Uint8Array[]): Promise<void> {
    if (this.isOver) return;
    for (const event of events) this.#log.append(event);
    if (events.length > 0) this.#news.tell();
    // Nobody waits for a reader who is not there: what is then forgotten is the oldest.
    while (!this.isOver && !this.#log.hasRoom(this.#attendance.passed())) {
      const moved = this.#moves.heard().then(() => true);
      if ((await before(this.#stalledMs, moved)) === null) this.#attendance.dismissSlowest(this.#around.now());
    }
  }

  /** Stores what is only in memory. */
  spill(): void {
    if (!this.isOver) this.#log.spill();
  }

  /** The answer has ended. Only the first end counts. */
  end(how: "complete" | "interrupted" | "cancelled"): void {
    if (this.isOver) return;
    const words = how === "complete" ? null : this.#head.words[how];
    this.#head = { ...this.#head, end: { atMs: this.#around.now(), words } };
    // First: also when it cannot be stored, whoever reads now hears of it.
    this.#news.tell();
    this.#moves.tell();
    this.#log.spill();
    this.#around.save(this.#head);
    this.#around.rearm();
  }

  /** Its pages are no more: whoever still reads hears so. */
  forget(): void {
    this.#isForgotten = true;
    this.#news.tell();
  }

  isOf(account: string): boolean {
    return this.#head.account === account;
  }

  /** A stream for one of its caller's readers, of what comes behind an event. */
  open(account: string, after: number): Opened {
    if (!this.isOf(account)) return { kind: "anothers" };
    // An instance that died may have said more than it had stored: there the end is all that is left to say.
    if (after > this.#log.last && !this.isOver) return { kind: "ahead" };
    if (!this.#log.reaches(after)) return { kind: "gone" };
    if (this.#attendance.size >= MOST_READERS) return { kind: "crowded" };
    return { kind: "opened", body: this.read(after), words: this.#head.words };
  }

  /** What comes behind an event, for one reader. */
  read(after: number): ReadableStream<Uint8Array> {
    return reading(this.#readable(), after, this.#head.heartbeatMs);
  }

  /** When nobody has read for as long as the grace; null while somebody reads, or it is over. */
  forsakenAtMs(graceMs: number): number | null {
    return this.isOver ? null : this.#attendance.forsakenAtMs(graceMs);
  }

  /** When it is to be forgotten; null while the answer is being made. */
  forgottenAtMs(): number | null {
    const { end } = this.#head;
    return end === null ? null : end.atMs + KEPT_MS;
  }

  #readable(): Readable {
    return {
      next: (after) => this.#next(after),
      changed: () => this.#news.heard(),
      come: (after) => {
        const reader = this.#attendance.come(after);
        const moved = (last: number): void => {
          this.#attendance.move(reader, last);
          this.#moves.tell();
        };
        const left = (): void => {
          this.#attendance.leave(reader, this.#around.now());
          this.#moves.tell();
          this.#around.rearm();
        };
        return { moved, left };
      },
      lost: this.#head.words.gone,
    };
  }

  #next(after: number): ReturnType<Readable["next"]> {
    const { end } = this.#head;
    const next: Next = this.#isForgotten && after < this.#log.last ? { kind: "forgotten" } : this.#log.after(after);
    return next.kind === "nothing" && end !== null ? { kind: "over", words: end.words } : next;
  }
}
