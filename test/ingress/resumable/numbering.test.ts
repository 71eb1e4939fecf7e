import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { eventId, placeOf, streamOf } from "#src/ingress/resumable/event-id.ts";
import { isNumbered, Numbering } from "#src/ingress/resumable/numbering.ts";

const STREAM = "0190a1b2-0000-7000-8000-000000000000";
const OTHER = "0190a1b2-0000-7000-8000-000000000001";
const text = (pieces: readonly Uint8Array[]) => pieces.map((piece) => new TextDecoder().decode(piece));
const bytesOf = (said: string) => new TextEncoder().encode(said);

describe("numbers", () => {
  test.each<{ name: string; said: string; numbered: string[] }>([
    { name: "events in order", said: "data: a\n\ndata: b\n\n", numbered: ["data: a", "data: b"] },
    { name: "pings are none", said: ": ping\n\ndata: a\n\n: ping\n\n", numbered: ["data: a"] },
    { name: "a comment goes with the event behind it", said: ": seam\n\ndata: a\n\n", numbered: [": seam\ndata: a"] },
    {
      name: "a ping between a comment and its event",
      said: ": x\n\n: ping\n\ndata: a\n\n",
      numbered: [": x\ndata: a"],
    },
    { name: "an event that has a name", said: "event: e\ndata: a\n\n", numbered: ["event: e\ndata: a"] },
    {
      name: "an id of the host's own is left out",
      said: "id: 7\ndata: a\nid\nidea: 1\n\n",
      numbered: ["data: a\nidea: 1"],
    },
    { name: "two data lines, CR LF", said: "data: a\r\ndata: b\r\n\r\n", numbered: ["data: a\ndata: b"] },
    { name: "not whole yet", said: "data: a\n\ndata: b\n", numbered: ["data: a"] },
    { name: "beyond ASCII", said: "data: \u{1f600} é\n\n", numbered: ["data: \u{1f600} é"] },
  ])("$name", ({ said, numbered }) => {
    const events = text(new Numbering(STREAM).push(bytesOf(said)));
    expect(events).toEqual(numbered.map((event, n) => `id: ${STREAM}:${n + 1}\n${event}\n\n`));
  });

  test("the same however the bytes are cut", () => {
    const whole = bytesOf(": seam\n\nevent: e\ndata: \u{1f600}\n\n: ping\n\ndata: b\r\n\r\ndata: [DONE]\n\n");
    const expected = text(new Numbering(STREAM).push(whole));
    expect(expected).toHaveLength(3);
    fc.assert(
      fc.property(fc.array(fc.nat(whole.byteLength)), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), whole.byteLength];
        const numbering = new Numbering(STREAM);
        const events = at.slice(1).flatMap((end, n) => numbering.push(whole.subarray(at[n], end)));
        expect(text(events)).toEqual(expected);
      }),
    );
  });

  test("are told from what has none", () => {
    const [event] = new Numbering(STREAM).push(bytesOf("data: a\n\n"));
    expect(event !== undefined && isNumbered(event)).toBe(true);
    for (const other of [": ping\n\n", 'data: {"error":{}}\n\n', "idea: x\n\n", ""])
      expect(isNumbered(bytesOf(other))).toBe(false);
  });
});

describe("ids", () => {
  test("name the stream and the place", () => {
    expect(placeOf(eventId({ stream: STREAM, n: 12 }), null)).toEqual({ stream: STREAM, n: 12 });
  });

  test.each<{ name: string; text: string; stream: string | null; n: number | null }>([
    { name: "of the stream", text: `${STREAM}:7`, stream: STREAM, n: 7 },
    { name: "in capitals", text: `${STREAM.toUpperCase()}:7`, stream: STREAM, n: 7 },
    { name: "a number of a stream that is known", text: "7", stream: STREAM, n: 7 },
    { name: "the beginning", text: "0", stream: STREAM, n: 0 },
    { name: "a number of no stream", text: "7", stream: null, n: null },
    { name: "of another stream", text: `${OTHER}:7`, stream: STREAM, n: null },
    { name: "of no stream of ours", text: `${crypto.randomUUID()}:7`, stream: null, n: null },
    ...[
      "",
      ":",
      ":7",
      `${STREAM}`,
      `${STREAM}:`,
      `${STREAM}:-1`,
      `${STREAM}:1.5`,
      `${STREAM}:07`,
      "9999999999",
      "1e3",
      " 1",
    ].map((wrong) => ({ name: JSON.stringify(wrong), text: wrong, stream: STREAM, n: null })),
  ])("$name", ({ text: id, stream, n }) => {
    expect(placeOf(id, stream)).toEqual(n === null ? null : { stream: STREAM, n });
  });

  test.each(["", "x", crypto.randomUUID(), `${STREAM}0`, `../${STREAM}`])("%j names no stream", (id) => {
    expect(streamOf(id)).toBeNull();
  });
});
