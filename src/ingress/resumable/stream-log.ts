/**
 * What a resumable stream has said so far: numbered events from 1 on, the newest in memory, the others in pages that are
 * stored. Any number of readers can be anywhere in it, and memory holds no more than one page. It grows up to a bound;
 * then what every reader has passed is forgotten, the oldest first, and while there is nothing such it is full. No clock.
 */
import { concat } from "#src/bytes.ts";
import { EventSplitter } from "#src/sse.ts";

/** Whole events, from the first to the last. */
export type PageMark = { readonly first: number; readonly last: number; readonly bytes: number };

/** Where pages are kept. */
export type Pages = {
  marks(): PageMark[];
  /** The page that begins with this event. */
  read(first: number): Uint8Array;
  put(mark: PageMark, events: Uint8Array): void;
  drop(first: number): void;
};

export type Next =
  | { readonly kind: "events"; readonly events: Uint8Array; readonly last: number }
  /** There is nothing more, or not yet. */
  | { readonly kind: "nothing" }
  /** What comes next has been forgotten. */
  | { readonly kind: "forgotten" };

/** A page is stored when it has this many bytes: one is what a reader takes at once. A row holds 2 MB, an event 1 MiB. */
const PAGE_BYTES = 64 * 1024;
/** 131,072 tokens, the longest answers that there are, at 250 bytes an event. */
const MAX_BYTES = 32 * 1024 * 1024;

export class StreamLog {
  readonly #pages: Pages;
  readonly #maxBytes: number;
  readonly #marks: PageMark[];
  /** Events that are not in a page yet. */
  #tail: Uint8Array[] = [];
  #tailBytes = 0;
  #last: number;
  /** In pages and in the tail. */
  #bytes: number;

  constructor(pages: Pages, maxBytes = MAX_BYTES) {
    this.#pages = pages;
    this.#maxBytes = maxBytes;
    this.#marks = pages.marks();
    this.#last = this.#marks.at(-1)?.last ?? 0;
    this.#bytes = this.#marks.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The newest event's number; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** Whether what comes after this event is still there, or yet to come. */
  reaches(after: number): boolean {
    return after >= (this.#marks[0]?.first ?? this.#last - this.#tail.length + 1) - 1;
  }

  append(event: Uint8Array): void {
    this.#last += 1;
    this.#tail.push(event);
    this.#tailBytes += event.byteLength;
    this.#bytes += event.byteLength;
    if (this.#tailBytes >= PAGE_BYTES) this.spill();
  }

  /** Stores what is only in memory. */
  spill(): void {
    if (this.#tail.length === 0) return;
    const mark = { first: this.#last - this.#tail.length + 1, last: this.#last, bytes: this.#tailBytes };
    this.#pages.put(mark, concat(this.#tail));
    this.#marks.push(mark);
    this.#tail = [];
    this.#tailBytes = 0;
  }

  /** The events that follow this one, a page at most. */
  after(n: number): Next {
    if (n >= this.#last) return { kind: "nothing" };
    if (!this.reaches(n)) return { kind: "forgotten" };
    const inTail = this.#last - this.#tail.length;
    if (n >= inTail) return { kind: "events", events: concat(this.#tail.slice(n - inTail)), last: this.#last };
    const mark = this.#marks[this.#indexOf(n + 1)];
    if (mark === undefined) return { kind: "forgotten" };
    const events = behind(this.#pages.read(mark.first), n + 1 - mark.first);
    return { kind: "events", events, last: mark.last };
  }

  /**
   * Makes room.
   *
   * @param passed the event that the slowest reader has passed; null when there is no reader
   * @returns whether there is any now
   */
  hasRoom(passed: number | null): boolean {
    for (let oldest = this.#marks[0]; this.#bytes >= this.#maxBytes; oldest = this.#marks[0]) {
      if (oldest === undefined || (passed !== null && oldest.last > passed)) return false;
      this.#pages.drop(oldest.first);
      this.#marks.shift();
      this.#bytes -= oldest.bytes;
    }
    return true;
  }

  /** The page that holds an event, by halving: there may be thousands. */
  #indexOf(n: number): number {
    let low = 0;
    let high = this.#marks.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#marks[middle]?.last ?? n) < n) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A page without its first events. */
function behind(page: Uint8Array, events: number): Uint8Array {
  let bytes = 0;
  let seen = 0;
  if (events === 0) return page;
  for (const event of new EventSplitter(Number.POSITIVE_INFINITY).push(page)) {
    bytes += event.byteLength;
    seen += 1;
    if (seen === events) break;
  }
  return page.subarray(bytes);
}
