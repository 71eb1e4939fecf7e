import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Blocks, concat, readBounded } from "#src/bytes.ts";

const pieces = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 10 });

/** A body of these pieces; it tells whether it was cancelled. */
function bodyOf(chunks: readonly Uint8Array[]): { body: ReadableStream<Uint8Array>; cancelled: () => boolean } {
  const left = [...chunks];
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = left.shift();
      if (next === undefined) controller.close();
      else controller.enqueue(next);
    },
    cancel() {
      cancelled = true;
    },
  });
  return { body, cancelled: () => cancelled };
}

test("joins pieces in their order", () => {
  fc.assert(
    fc.property(pieces, (chunks) => {
      expect([...concat(chunks)]).toEqual(chunks.flatMap((chunk) => [...chunk]));
    }),
  );
});

test("joins more pieces than a call takes arguments", () => {
  const pieces = Array.from({ length: 300_000 }, () => new Uint8Array(1));
  expect(concat(pieces).byteLength).toBe(300_000);
});

test("a single piece is not copied", () => {
  const only = new Uint8Array([1, 2]);
  expect(concat([only])).toBe(only);
});

describe("blocks", () => {
  /** The blocks that come of pieces. */
  function blocksOf(chunks: Iterable<Uint8Array>): Uint8Array[] {
    const blocks = new Blocks();
    const full = [...chunks].map((chunk) => blocks.take(chunk)).filter((block) => block !== null);
    return [...full, blocks.rest()];
  }

  test("hold no more than twice what came, however small the pieces were and whatever they were read into", () => {
    const crumbs = Array.from({ length: 10_000 }, (_, at) => new Uint8Array(4096).fill(at % 251).subarray(0, 8));
    const blocks = blocksOf(crumbs);
    expect(blocks).toHaveLength(2);
    expect(blocks.reduce((bytes, block) => bytes + block.buffer.byteLength, 0)).toBeLessThanOrEqual(2 * 80_000);
    expect(concat(blocks)).toEqual(concat(crumbs));
  });

  test("are what came, in its order", () => {
    const sizes = fc.array(fc.oneof(fc.nat({ max: 3 }), fc.integer({ min: 30_000, max: 140_000 })), { maxLength: 12 });
    fc.assert(
      fc.property(sizes, (lengths) => {
        const chunks = lengths.map((length, at) => new Uint8Array(length).fill(at + 1));
        expect(concat(blocksOf(chunks)).toString() === concat(chunks).toString()).toBe(true);
      }),
      { numRuns: 30 },
    );
  });
});

test("reads to the end what is within the bound, and nothing that is over it", async () => {
  const within = fc.record({ chunks: pieces, maxBytes: fc.nat({ max: 120 }) });
  await fc.assert(
    fc.asyncProperty(within, async ({ chunks, maxBytes }) => {
      const whole = chunks.flatMap((chunk) => [...chunk]);
      const read = await readBounded(new Response(bodyOf(chunks).body), maxBytes);
      expect(read === null ? null : [...read]).toEqual(whole.length > maxBytes ? null : whole);
    }),
  );
});

describe("the edges", () => {
  test("no body is empty", async () => {
    expect(await readBounded(new Response(null), 0)).toEqual(new Uint8Array());
  });

  test("a body of the bound's length is whole, one byte more is too long", async () => {
    expect(await readBounded(new Response(bodyOf([new Uint8Array(7), new Uint8Array(3)]).body), 10)).toHaveLength(10);
    expect(await readBounded(new Response(bodyOf([new Uint8Array(7), new Uint8Array(4)]).body), 10)).toBeNull();
  });

  test.each([
    {
      name: "of no declared length is read and not kept, so that its sender reads the answer",
      headers: {},
      pieces: 5,
      reads: 5,
    },
    { name: "of a declared length is left to the platform", headers: { "content-length": "50" }, pieces: 5, reads: 0 },
    { name: "without end is left at last", headers: {}, pieces: 2_000, reads: 1_025 },
  ])("a request's body that is too long: one $name", async ({ headers, pieces, reads }) => {
    let [read, cancelled] = [0, false];
    const piece = new Uint8Array(pieces > 5 ? 16_384 : 10);
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          read += 1;
          if (read <= pieces) controller.enqueue(piece);
          else controller.close();
        },
        cancel() {
          cancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    const message = { body, headers: new Headers(headers), arrayBuffer: () => Promise.reject(new Error("was read")) };
    expect(await readBounded(message, 20, "left")).toBeNull();
    expect([Math.min(read, pieces) >= reads, read <= reads + 1, cancelled]).toEqual([true, true, false]);
  });

  test("the rest of a body that is too long is cancelled unread", async () => {
    const { body, cancelled } = bodyOf(Array.from({ length: 100 }, () => new Uint8Array(10)));
    expect(await readBounded(new Response(body), 25)).toBeNull();
    expect(cancelled()).toBe(true);
  });

  test.each([
    { name: "as long as declared", declared: "5", read: "hello" },
    { name: "shorter than declared", declared: "9", read: "hello" },
    { name: "longer than declared", declared: "4", read: null },
    { name: "declared longer than the bound", declared: "11", read: null },
    { name: "declared in no number", declared: "five", read: null },
    { name: "compressed, of which the length says nothing", headers: { "content-encoding": "br" }, read: "hello" },
    { name: "in chunks, which are what counts", headers: { "transfer-encoding": "chunked" }, read: "hello" },
  ])("a body $name", async ({ declared = "1", headers: further = {}, read }) => {
    const headers = { "content-length": declared, ...further };
    // A body that the platform made, as those of connections are; compressing it is what `encodeBody` leaves out.
    const bytes = await readBounded(new Response("hello", { headers, encodeBody: "manual" }), 10);
    expect(bytes === null ? null : new TextDecoder().decode(bytes)).toBe(read);
  });

  test("a body that breaks rejects", async () => {
    const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("reset")) });
    await expect(readBounded(new Response(broken), 10)).rejects.toThrow("reset");
  });
});
