import { expect, test } from "vitest";
import { askBounded } from "#src/fleet/bounded-ask.ts";
import type { Ask } from "#src/upstream/reach.ts";

const BOUNDS = { withinMs: 2_000, maxBytes: 8 };
const bodyOf = (pull: (into: ReadableStreamDefaultController<Uint8Array>) => unknown, cancel = () => {}) =>
  new ReadableStream<Uint8Array>({ pull: async (into) => void (await pull(into)), cancel });
const never = new Promise<never>(() => {});

test.each<{ name: string; ask: Ask; withinMs?: number; answer: object }>([
  {
    name: "a whole answer",
    ask: async () => new Response("12345678", { status: 418 }),
    answer: { status: 418, text: "12345678", isWhole: true },
  },
  { name: "an empty one", ask: async () => new Response(null), answer: { status: 200, text: "", isWhole: true } },
  {
    name: "one that is longer",
    ask: async () => new Response("123456789"),
    answer: { status: 200, text: "12345678", isWhole: false },
  },
  {
    name: "one cut within a character",
    ask: async () => new Response("1234567🚇"),
    answer: { status: 200, text: "1234567\ufffd", isWhole: false },
  },
  {
    name: "no way to the host",
    ask: () => {
      throw new Error("no binding at http://user:secret@cpu.internal");
    },
    answer: { silence: "no connection" },
  },
  {
    name: "no connection",
    ask: () => Promise.reject(new TypeError("connect ECONNREFUSED 10.0.0.1")),
    answer: { silence: "no connection" },
  },
  {
    name: "a body that breaks off",
    ask: async () => new Response(bodyOf((controller) => controller.error(new Error("cut")))),
    answer: { silence: "no connection" },
  },
  { name: "no headers", ask: () => never, withinMs: 20, answer: { silence: "no answer within 0.02 s" } },
  {
    name: "headers, and a body that does not come",
    ask: async () => new Response(bodyOf(() => never)),
    withinMs: 20,
    answer: { silence: "no answer within 0.02 s" },
  },
])("$name", async ({ ask, withinMs = BOUNDS.withinMs, answer }) => {
  expect(await askBounded(ask, "/x", { method: "GET" }, { ...BOUNDS, withinMs })).toEqual(answer);
});

test("what is too much is let go, and a question that is over is called off", async () => {
  let isCancelled = false;
  let signal: AbortSignal | null | undefined;
  const endless = bodyOf(
    (controller) => controller.enqueue(new Uint8Array(5)),
    () => {
      isCancelled = true;
    },
  );
  await askBounded(
    async (_, init) => {
      signal = init.signal;
      return new Response(endless);
    },
    ...(["/x", {}, BOUNDS] as const),
  );
  expect([isCancelled, signal?.aborted]).toEqual([true, true]);
});
