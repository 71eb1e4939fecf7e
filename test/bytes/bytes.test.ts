import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { concat, readBounded } from "#src/bytes.ts";

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

test("reads to the end what is within the bound, and nothing that is over it", async () => {
  const within = fc.record({ chunks: pieces, maxBytes: fc.nat({ max: 120 }) });
  await fc.assert(
    fc.asyncProperty(within, async ({ chunks, maxBytes }) => {
      const whole = chunks.flatMap((chunk) => [...chunk]);
      const read = await readBounded(bodyOf(chunks).body, maxBytes);
      expect(read === null ? null : [...read]).toEqual(whole.length > maxBytes ? null : whole);
    }),
  );
});

describe("the edges", () => {
  test("no body is empty", async () => {
    expect(await readBounded(null, 0)).toEqual(new Uint8Array());
  });

  test("a body of the bound's length is whole, one byte more is too long", async () => {
    expect(await readBounded(bodyOf([new Uint8Array(7), new Uint8Array(3)]).body, 10)).toHaveLength(10);
    expect(await readBounded(bodyOf([new Uint8Array(7), new Uint8Array(4)]).body, 10)).toBeNull();
  });

  test("the rest of a body that is too long is cancelled unread", async () => {
    const { body, cancelled } = bodyOf(Array.from({ length: 100 }, () => new Uint8Array(10)));
    expect(await readBounded(body, 25)).toBeNull();
    expect(cancelled()).toBe(true);
  });

  test("a body that breaks rejects", async () => {
    const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("reset")) });
    await expect(readBounded(broken, 10)).rejects.toThrow("reset");
  });
});
