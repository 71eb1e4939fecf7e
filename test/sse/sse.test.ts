import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { EventSplitter, EventTooLarge, eventOf, fieldsOf, MAX_EVENT_BYTES } from "#src/sse.ts";
import { chunksOf, cuts, joined, textOf, utf8 } from "./chunking.ts";

/** The events of these chunks as text, and what is held back at the end. */
function split(chunks: readonly Uint8Array[]): { events: string[]; pendingBytes: number } {
  const splitter = new EventSplitter();
  const events = chunks.flatMap((chunk) => [...splitter.push(chunk)]).map((event) => textOf(event));
  return { events, pendingBytes: splitter.pendingBytes };
}

describe("where an event ends", () => {
  test.each([
    { name: "LF", chunks: ["data: a\n\ndata: b\n\n"], events: ["data: a\n\n", "data: b\n\n"] },
    { name: "CR", chunks: ["data: a\r\rdata: b\r\r"], events: ["data: a\r\r", "data: b\r\r"] },
    { name: "CR LF", chunks: ["data: a\r\n\r\ndata: b\r\n\r\n"], events: ["data: a\r\n\r\n", "data: b\r\n\r\n"] },
    { name: "LF, then CR LF", chunks: ["data: a\n\r\ndata: b\n\n"], events: ["data: a\n\r\n", "data: b\n\n"] },
    { name: "CR LF, then LF", chunks: ["data: a\r\n\ndata: b\n\n"], events: ["data: a\r\n\n", "data: b\n\n"] },
    { name: "CR, then CR LF", chunks: ["data: a\r\r\ndata: b\n\n"], events: ["data: a\r\r\n", "data: b\n\n"] },
    {
      name: "CR | LF within a line end",
      chunks: ["data: a\r", "\ndata: b\r\n\r\n"],
      events: ["data: a\r\ndata: b\r\n\r\n"],
    },
    {
      name: "CR LF CR | LF: the LF goes with its event, before it has come",
      chunks: ["data: a\r\n\r", "\ndata: b\r\r"],
      events: ["data: a\r\n\r\n", "data: b\r\r"],
    },
    { name: "CR LF | CR LF", chunks: ["data: a\r\n", "\r\ndata: b\n\n"], events: ["data: a\r\n\r\n", "data: b\n\n"] },
    {
      name: "CR | CR is two line ends",
      chunks: ["data: a\r", "\rdata: b\n\n"],
      events: ["data: a\r\r", "data: b\n\n"],
    },
    {
      name: "several events and a comment in one chunk",
      chunks: [": hi\n\ndata: a\n\n"],
      events: [": hi\n\n", "data: a\n\n"],
    },
    {
      name: "lines of one event stay together",
      chunks: ["event: x\nid: 1\ndata: a\n\n"],
      events: ["event: x\nid: 1\ndata: a\n\n"],
    },
    { name: "one event over three chunks", chunks: ["da", "ta: a\n", "\n"], events: ["data: a\n\n"] },
    {
      name: "U+2028 and U+2029 end no line",
      chunks: ["data: a\u2028\u2028b\u2029\u2029\n\n"],
      events: ["data: a\u2028\u2028b\u2029\u2029\n\n"],
    },
    {
      name: "U+0085, VT and FF end no line",
      chunks: ["data: \u0085\u0085\v\v\f\f\n\n"],
      events: ["data: \u0085\u0085\v\v\f\f\n\n"],
    },
    { name: "further blank lines pass on their own", chunks: ["data: a\n\n\n\n"], events: ["data: a\n\n", "\n", "\n"] },
    { name: "an empty chunk is nothing", chunks: ["data: a\n", "", "\n"], events: ["data: a\n\n"] },
  ])("$name", ({ chunks, events }) => {
    expect(split(chunks.map(utf8))).toEqual({ events, pendingBytes: 0 });
  });

  test("half an event is held back and counted", () => {
    expect(split([utf8("data: a\n\ndata: b\n")])).toEqual({ events: ["data: a\n\n"], pendingBytes: 8 });
  });
});

describe("what an event says", () => {
  test.each([
    { name: "one leading space goes", event: "data: a\n\n", data: "a" },
    { name: "only one", event: "data:   a\n\n", data: "  a" },
    { name: "none is needed", event: "data:a\n\n", data: "a" },
    { name: "a tab is no space", event: "data:\ta\n\n", data: "\ta" },
    { name: "trailing space stays", event: "data: a \n\n", data: "a " },
    { name: "the first colon splits", event: "data: a: b\n\n", data: "a: b" },
    { name: "lines join with LF", event: "data: a\ndata: b\r\ndata: c\rdata: d\n\n", data: "a\nb\nc\nd" },
    { name: "data without colon is an empty line", event: "data\ndata: a\ndata\n\n", data: "\na\n" },
    { name: "data without colon alone", event: "data\n\n", data: "" },
    { name: "a comment alone", event: ": ping\n\n", data: null },
    { name: "a bare colon", event: ":\n\n", data: null },
    { name: "other fields alone", event: "event: x\nid: 1\nretry: 5\n\n", data: null },
    { name: "other fields beside data", event: "event: x\n: c\ndata: a\nid: 1\n\n", data: "a" },
    { name: "names are case-sensitive", event: "Data: a\n\n", data: null },
    { name: "a longer name is another field", event: "database: a\ndatum\n\n", data: null },
    { name: "a space before the name is another field", event: " data: a\n\n", data: null },
    { name: "a leading BOM", event: "\uFEFFdata: a\n\n", data: "a" },
    { name: "a BOM inside stays", event: "data: \uFEFFa\n\n", data: "\uFEFFa" },
    { name: "U+2028 and U+2029 end no line", event: "data: a\u2028data: b\u2029c\n\n", data: "a\u2028data: b\u2029c" },
    { name: "text beyond the BMP", event: "data: 😀é\n\n", data: "😀é" },
    { name: "a blank line alone", event: "\n", data: null },
  ])("$name", ({ event, data }) => {
    expect(fieldsOf(utf8(event)).data).toBe(data);
  });

  test("what eventOf writes, fieldsOf reads", () => {
    expect(textOf(eventOf("{}"))).toBe("data: {}\n\n");
    expect(fieldsOf(eventOf(' {"a":"é"}')).data).toBe(' {"a":"é"}');
  });
});

/** Scraps of which any stream is made: line ends, fields, halves of characters' neighbours. */
const scrap = fc.constantFrom(
  "\n",
  "\r",
  "\r\n",
  "\n\n",
  "\r\r",
  "\r\n\r\n",
  "data",
  "data:",
  "data: ",
  "data: a",
  ":",
  ": ping",
  " ",
  "x",
  "é",
  "😀",
  "\u2028",
  "\uFEFF",
  "id: 1",
);
const transcript = fc.array(scrap, { maxLength: 40 }).map((scraps) => scraps.join(""));

/** The grammar read anew, whole text at once: the blocks that end in a blank line. */
function blocksOf(text: string): string[] {
  const blocks: string[] = [];
  let block = "";
  let line = "";
  for (const [, content = "", end = ""] of text.matchAll(/([^\r\n]*)(\r\n|\r|\n)/g)) {
    line = content + end;
    block += line;
    if (content !== "") continue;
    blocks.push(block);
    block = "";
  }
  return blocks;
}

/** The documented exception: the LF of a pair whose CR ended an event in the chunk before is left out. */
const withoutPairs = (text: string): string => text.replaceAll("\r\n", "\r");

test("the chunking changes nothing: same events, same bytes", () => {
  fc.assert(
    fc.property(transcript, cuts, (text, cut) => {
      const { events, pendingBytes } = split(cut(utf8(text)));
      const blocks = blocksOf(text);
      expect(events.map(withoutPairs)).toEqual(blocks.map(withoutPairs));
      expect(events.map((event) => fieldsOf(utf8(event)).data)).toEqual(
        blocks.map((block) => fieldsOf(utf8(block)).data),
      );
      expect(pendingBytes).toBe(utf8(text.slice(blocks.join("").length)).byteLength);
    }),
    { numRuns: 3_000 },
  );
});

test("where no pair is torn, not a byte is lost", () => {
  fc.assert(
    fc.property(transcript, cuts, (text, cut) => {
      const bytes = utf8(text.replaceAll("\r", ""));
      const splitter = new EventSplitter();
      const passed = joined(cut(bytes).flatMap((chunk) => [...splitter.push(chunk)]));
      expect(textOf(passed)).toBe(textOf(bytes.subarray(0, passed.byteLength)));
      expect(passed.byteLength + splitter.pendingBytes).toBe(bytes.byteLength);
    }),
    { numRuns: 1_000 },
  );
});

test("events that lie whole in a chunk are views on it: nothing is copied", () => {
  const chunk = utf8("data: a\n\ndata: b\n\n");
  for (const event of new EventSplitter().push(chunk)) expect(event.buffer).toBe(chunk.buffer);
});

describe("the bound", () => {
  const eventOfBytes = (bytes: number): Uint8Array => utf8(`data: ${"x".repeat(bytes - 8)}\n\n`);

  test.each([1_000, MAX_EVENT_BYTES])("an event of exactly the bound passes in chunks of %i", (size) => {
    const { events } = split(chunksOf(eventOfBytes(MAX_EVENT_BYTES), size));
    expect(events.map((event) => event.length)).toEqual([MAX_EVENT_BYTES]);
  });

  test.each([
    { name: "whole in one chunk", chunks: [eventOfBytes(MAX_EVENT_BYTES + 1)] },
    { name: "in pieces", chunks: chunksOf(eventOfBytes(MAX_EVENT_BYTES + 1), 4_096) },
    { name: "without end", chunks: chunksOf(utf8(`data: ${"x".repeat(MAX_EVENT_BYTES)}`), 4_096) },
    {
      name: "as short lines without a blank one",
      chunks: chunksOf(utf8("data: x\n".repeat(MAX_EVENT_BYTES / 8 + 1)), 4_096),
    },
  ])("a larger one $name does not", ({ chunks }) => {
    expect(() => split(chunks)).toThrow(EventTooLarge);
  });

  test("events before it, in the same chunk, are not lost", () => {
    const seen: string[] = [];
    const splitter = new EventSplitter(16);
    expect(() => {
      for (const event of splitter.push(utf8("data: a\n\ndata: too large for this\n\n"))) seen.push(textOf(event));
    }).toThrow(EventTooLarge);
    expect(seen).toEqual(["data: a\n\n"]);
  });

  test("a stream may be longer than the bound", () => {
    const splitter = new EventSplitter(16);
    let events = 0;
    for (let turn = 0; turn < 100; turn++) events += [...splitter.push(utf8("data: a\n\n"))].length;
    expect(events).toBe(100);
  });
});

test("the cost of a long event grows with its bytes, not with their square", () => {
  let copiedBytes = 0;
  const set = Uint8Array.prototype.set;
  Uint8Array.prototype.set = function (this: Uint8Array, source: ArrayLike<number>, at?: number) {
    copiedBytes += source.length;
    set.call(this, source, at);
  };
  try {
    const half = MAX_EVENT_BYTES / 2;
    const { events } = split(chunksOf(utf8(`data: ${"x".repeat(half)}\n\n`), 1));
    expect(events).toHaveLength(1);
    expect(copiedBytes).toBeLessThan(5 * half);
  } finally {
    Uint8Array.prototype.set = set;
  }
});
