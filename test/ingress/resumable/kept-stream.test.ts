import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Head, KEPT_MS, KeptStream } from "#src/ingress/resumable/kept-stream.ts";
import { lastWordsOf } from "#src/ingress/resumable/last-words.ts";
import type { Pages } from "#src/ingress/resumable/stream-log.ts";
import { OPENAI } from "#src/ingress/wording.ts";

const BEGUN: Head = { account: "me", words: lastWordsOf(OPENAI), heartbeatMs: 2_000, end: null };
const MIB = 1024 * 1024;

/** Pages in memory. */
function shelf(): Pages & { readonly held: Map<number, Uint8Array> } {
  const held = new Map<number, Uint8Array>();
  const marks = new Map<number, { first: number; last: number; bytes: number }>();
  return {
    held,
    marks: () => [...marks.values()],
    read: (first) => held.get(first) ?? new Uint8Array(0),
    put: (mark, events) => {
      marks.set(mark.first, mark);
      held.set(mark.first, events);
    },
    drop: (first) => {
      marks.delete(first);
      held.delete(first);
    },
  };
}

function kept(pages: Pages = shelf(), head = BEGUN, stalledMs?: number) {
  const clock = { nowMs: 1_000 };
  const saved: Head[] = [];
  let rearmed = 0;
  const stream = new KeptStream(
    head,
    {
      pages,
      save: (changed) => void saved.push(changed),
      rearm: () => {
        rearmed += 1;
      },
      now: () => clock.nowMs,
    },
    stalledMs,
  );
  return { stream, pages, clock, saved, rearmed: () => rearmed };
}

const bytesOf = (text: string) => new TextEncoder().encode(text);
/** An event that knows its number, of some size. */
const eventOf = (n: number, bytes = 0) => bytesOf(`id: s:${n}\ndata: ${"x".repeat(bytes)}\n\n`);
const numbersIn = (bytes: Uint8Array) =>
  Array.from(new TextDecoder().decode(bytes).matchAll(/^id: s:(\d+)$/gm), ([, n]) => Number(n));
const countTo = (last: number, first = 1) => Array.from({ length: Math.max(0, last - first + 1) }, (_, n) => first + n);
const codeIn = (bytes: Uint8Array | undefined): string =>
  /"code":"(\w+)"/.exec(new TextDecoder().decode(bytes))?.[1] ?? "";

function readerOf(stream: KeptStream, after: number) {
  const opened = stream.open("me", after);
  if (opened.kind !== "opened") throw new Error(opened.kind);
  const reader = opened.body.getReader();
  const seen: number[] = [];
  let words: Uint8Array | undefined;
  const read = async (): Promise<boolean> => {
    const { done, value } = await reader.read();
    if (value !== undefined) {
      const numbers = numbersIn(value);
      if (numbers.length === 0) words = value;
      seen.push(...numbers);
    }
    return !done;
  };
  return {
    seen,
    last: () => seen.at(-1) ?? after,
    words: () => codeIn(words),
    read,
    rest: async () => {
      while (await read());
      return seen;
    },
    leave: () => reader.cancel(),
  };
}

type Step =
  | { readonly does: "say"; readonly events: number; readonly bytes: number }
  | { readonly does: "spill" }
  | { readonly does: "come" | "read" | "break"; readonly pick: number };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ does: fc.constant("say" as const), events: fc.nat(6), bytes: fc.constantFrom(0, 10, 30_000) }),
    fc.record({ does: fc.constant("spill" as const) }),
    fc.record({ does: fc.constantFrom("come" as const, "read" as const, "break" as const), pick: fc.nat(1_000) }),
  ),
  { maxLength: 40 },
);

describe("readers", () => {
  test("any of them, from any event on, however often it breaks: the whole of it, once, in order", async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (plan) => {
        const { stream } = kept();
        const readers: { from: number; seen: number[]; reading: ReturnType<typeof readerOf> }[] = [];
        let said = 0;
        for (const step of plan) {
          if (step.does === "say") {
            await stream.take(Array.from({ length: step.events }, (_, n) => eventOf(said + n + 1, step.bytes)));
            said += step.events;
          } else if (step.does === "come") {
            const from = step.pick % (said + 1);
            if (readers.length < 8) readers.push({ from, seen: [], reading: readerOf(stream, from) });
          } else if (step.does === "read" || step.does === "break") {
            const reader = readers[step.pick % Math.max(1, readers.length)];
            if (reader === undefined) continue;
            if (step.does === "read") {
              if (reader.reading.last() < said) await reader.reading.read();
            } else {
              reader.seen.push(...reader.reading.seen);
              const last = reader.reading.last();
              await reader.reading.leave();
              reader.reading = readerOf(stream, last);
            }
          } else stream.spill();
        }
        stream.end("complete");
        for (const { from, seen, reading } of readers)
          expect([...seen, ...(await reading.rest())]).toEqual(countTo(said, from + 1));
        expect(await readerOf(stream, 0).rest()).toEqual(countTo(said));
      }),
      { numRuns: 300 },
    );
  });

  test("one that waits hears of what comes, and of the end", async () => {
    const { stream } = kept();
    const [early, late] = [readerOf(stream, 0), readerOf(stream, 0)];
    const waiting = Promise.all([early.read(), late.read()]);
    await stream.take([eventOf(1)]);
    await waiting;
    expect([early.seen, late.seen]).toEqual([[1], [1]]);
    const rest = early.rest();
    stream.end("complete");
    expect(await rest).toEqual([1]);
  });

  test.each<{ name: string; account: string; after: number; over: boolean; kind: string }>([
    { name: "its own, from the beginning", account: "me", after: 0, over: false, kind: "opened" },
    { name: "its own, behind the last", account: "me", after: 3, over: false, kind: "opened" },
    { name: "its own, further than it is", account: "me", after: 4, over: false, kind: "ahead" },
    { name: "its own, further than it was when it ended", account: "me", after: 4, over: true, kind: "opened" },
    { name: "another's", account: "you", after: 0, over: false, kind: "anothers" },
    { name: "another's, further than it is", account: "you", after: 9, over: false, kind: "anothers" },
  ])("may they: $name", async ({ account, after, over, kind }) => {
    const { stream } = kept();
    await stream.take(countTo(3).map((n) => eventOf(n)));
    if (over) stream.end("complete");
    expect(stream.open(account, after).kind).toBe(kind);
  });

  test("no more than sixteen at once, and whoever has not begun to read is none", async () => {
    const { stream } = kept();
    await stream.take([eventOf(1)]);
    const readers = countTo(17).map(() => readerOf(stream, 0));
    for (const reader of readers.slice(0, 16)) await reader.read();
    expect(stream.open("me", 0).kind).toBe("crowded");
    await readers[0]?.leave();
    expect(stream.open("me", 0).kind).toBe("opened");
  });
});

describe("room", () => {
  /** 40 MiB, in events of one. */
  const flood = async (stream: KeptStream) => {
    let taken = 0;
    const taking = (async () => {
      for (const n of countTo(40)) {
        await stream.take([eventOf(n, MIB - 64)]);
        taken = n;
      }
    })();
    for (let turns = 0; turns < 500; turns++) await Promise.resolve();
    return { taking, taken: () => taken };
  };

  test("without readers the oldest is forgotten", async () => {
    const { stream, pages } = kept();
    const { taking } = await flood(stream);
    await taking;
    const held = (pages as ReturnType<typeof shelf>).held.size;
    expect(held).toBeGreaterThan(30);
    expect(held).toBeLessThanOrEqual(33);
    expect(stream.open("me", 0).kind).toBe("gone");
    stream.end("complete");
    const rest = await readerOf(stream, 20).rest();
    expect(rest).toEqual(countTo(40, 21));
  });

  test("the slowest reader holds up the host, and nothing that it has yet to read is forgotten", async () => {
    const { stream } = kept();
    await stream.take([]);
    const slow = readerOf(stream, 0);
    const begun = slow.read();
    const { taking, taken } = await flood(stream);
    await begun;
    expect(taken()).toBeLessThan(34);
    const quick = readerOf(stream, slow.last());
    await quick.read();
    expect(taken()).toBeLessThan(35);
    const both = Promise.all([slow.rest(), quick.rest()]);
    await taking;
    stream.end("complete");
    expect(await both).toEqual([countTo(40), countTo(40, 2)]);
  });

  test("the slowest reader leaves, and the host goes on", async () => {
    const { stream } = kept();
    const slow = readerOf(stream, 0);
    const begun = slow.read();
    const { taking } = await flood(stream);
    await begun;
    await slow.leave();
    await taking;
  });

  test("the slowest reader takes nothing any more: the host goes on, and the reader hears that it has missed something", async () => {
    const { stream } = kept(shelf(), BEGUN, 50);
    const stalled = readerOf(stream, 0);
    const begun = stalled.read();
    const { taking } = await flood(stream);
    await begun;
    await taking;
    expect(stream.forsakenAtMs(0)).not.toBeNull();
    await stalled.rest();
    expect([stalled.seen, stalled.words()]).toEqual([[1], "stream_events_gone"]);
  });

  test("given up while it is held up", async () => {
    const { stream } = kept();
    const slow = readerOf(stream, 0);
    const begun = slow.read();
    const { taking } = await flood(stream);
    await begun;
    stream.end("cancelled");
    await taking;
  });
});

describe("its end", () => {
  test.each([
    { how: "complete" as const, code: "" },
    { how: "interrupted" as const, code: "stream_interrupted" },
    { how: "cancelled" as const, code: "stream_cancelled" },
  ])("$how: the last words are said to everyone, whoever has read how much", async ({ how, code }) => {
    const { stream } = kept();
    await stream.take(countTo(3).map((n) => eventOf(n)));
    stream.end(how);
    stream.end("complete");
    for (const after of [0, 2, 3, 7]) {
      const reader = readerOf(stream, after);
      expect({ seen: await reader.rest(), words: reader.words() }).toEqual({
        seen: countTo(3, after + 1),
        words: code,
      });
    }
  });

  test("is stored with what was only in memory, and known to the next instance", async () => {
    const { stream, pages, saved, clock } = kept();
    await stream.take([eventOf(1), eventOf(2)]);
    clock.nowMs = 5_000;
    stream.end("complete");
    expect(saved).toEqual([{ ...BEGUN, end: { atMs: 5_000, words: null } }]);
    const next = kept(pages, saved[0]).stream;
    next.end("interrupted");
    const reader = readerOf(next, 0);
    expect({ seen: await reader.rest(), words: reader.words() }).toEqual({ seen: [1, 2], words: "" });
    expect(next.forgottenAtMs()).toBe(5_000 + KEPT_MS);
  });

  test("an instance that died: what was stored, and the last words", async () => {
    const { stream, pages } = kept();
    await stream.take([eventOf(1), eventOf(2)]);
    stream.spill();
    await stream.take([eventOf(3)]);
    const next = kept(pages).stream;
    next.end("interrupted");
    const reader = readerOf(next, 1);
    expect({ seen: await reader.rest(), words: reader.words() }).toEqual({ seen: [2], words: "stream_interrupted" });
  });

  test("forgotten: who is still reading hears it", async () => {
    const { stream } = kept();
    await stream.take([eventOf(1)]);
    const [behind, waiting] = [readerOf(stream, 0), readerOf(stream, 1)];
    stream.end("cancelled");
    stream.forget();
    await Promise.all([behind.rest(), waiting.rest()]);
    expect([behind.seen, behind.words(), waiting.words()]).toEqual([[], "stream_events_gone", "stream_cancelled"]);
  });

  test("what comes after it is not taken", async () => {
    const { stream } = kept();
    stream.end("cancelled");
    await stream.take([eventOf(1)]);
    stream.spill();
    expect(await readerOf(stream, 0).rest()).toEqual([]);
  });
});

describe("when it is given up", () => {
  const GRACE_MS = 30_000;

  test("from its beginning, then from the moment when the last reader left; never while somebody reads", async () => {
    const { stream, clock, rearmed } = kept();
    await stream.take([eventOf(1)]);
    expect(stream.forsakenAtMs(GRACE_MS)).toBe(1_000 + GRACE_MS);
    const [one, two] = [readerOf(stream, 0), readerOf(stream, 0)];
    expect(stream.forsakenAtMs(GRACE_MS)).toBe(1_000 + GRACE_MS);
    await Promise.all([one.read(), two.read()]);
    expect(stream.forsakenAtMs(GRACE_MS)).toBeNull();
    clock.nowMs = 2_000;
    await one.leave();
    expect(stream.forsakenAtMs(GRACE_MS)).toBeNull();
    clock.nowMs = 3_000;
    await two.leave();
    expect(stream.forsakenAtMs(GRACE_MS)).toBe(3_000 + GRACE_MS);
    expect(rearmed()).toBe(2);
    expect(stream.forgottenAtMs()).toBeNull();
    clock.nowMs = 4_000;
    stream.end("complete");
    expect([stream.forsakenAtMs(GRACE_MS), stream.forgottenAtMs()]).toEqual([null, 4_000 + KEPT_MS]);
  });
});
