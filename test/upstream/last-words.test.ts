import { describe, expect, test } from "vitest";
import { lastWords } from "#src/upstream/last-words.ts";
import { OpenAiStream } from "#src/upstream/openai-stream.ts";
import { utf8 } from "#test/sse/chunking.ts";

const TOKEN = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n';
const END = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n';

/** A host that says what the test says, to a caller who has left. */
function host() {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(made) {
      controller = made;
    },
  });
  const stream = new OpenAiStream({ usageChunk: true, member: "usage" });
  return {
    stream,
    reader: body.getReader(),
    say: (text: string) => controller?.enqueue(utf8(text)),
    end: () => controller?.close(),
    reset: () => controller?.error(new Error("Network connection lost.")),
  };
}

describe("the last words of a host", () => {
  const cases: { name: string; piled: string[]; later: string[]; heard: number }[] = [
    { name: "nothing", piled: [], later: [], heard: 0 },
    { name: "what had arrived", piled: [TOKEN, TOKEN, TOKEN], later: [], heard: 3 },
    { name: "what had arrived and one event more", piled: [TOKEN, TOKEN], later: [TOKEN, TOKEN], heard: 3 },
    { name: "one event, however many tokens it has", piled: [], later: [TOKEN + TOKEN, TOKEN], heard: 2 },
    { name: "all of a whole answer, and nothing behind it", piled: [TOKEN + END, TOKEN], later: [TOKEN], heard: 1 },
    { name: "all up to garbage", piled: [`${TOKEN}data: {\n\n`, TOKEN], later: [TOKEN], heard: 1 },
  ];
  test.each(cases)("are $name", async ({ piled, later, heard }) => {
    const { stream, reader, say } = host();
    for (const text of piled) say(text);
    const over = lastWords(reader, stream, null);
    await scheduler.wait(20);
    for (const text of later) {
      say(text);
      await scheduler.wait(1);
    }
    await over;
    expect(stream.tally.contentPieces).toBe(heard);
  });

  test("hold a read that was on its way", async () => {
    const { stream, reader, say } = host();
    const pending = reader.read();
    const over = lastWords(reader, stream, pending);
    say(TOKEN);
    await over;
    expect(stream.tally.contentPieces).toBe(1);
  });

  test("end with the host", async () => {
    const { stream, reader, say, end } = host();
    say(TOKEN);
    end();
    await lastWords(reader, stream, null);
    expect(stream.tally.contentPieces).toBe(1);
  });

  test("are cut short by a host that is gone, with what was heard", async () => {
    const { stream, reader, say, reset } = host();
    say(TOKEN);
    const over = lastWords(reader, stream, null);
    await scheduler.wait(20);
    reset();
    await expect(over).rejects.toThrow("lost");
    expect(stream.tally.contentPieces).toBe(1);
  });

  test("of a host that never pauses have an end", async () => {
    let reads = 0;
    const read = async () => ({ done: false as const, value: utf8(TOKEN).subarray(0, ++reads % 2 === 0 ? 1 : 2) });
    await lastWords({ read }, new OpenAiStream({ usageChunk: true, member: "usage" }), null);
    expect(reads).toBe(256);
  });
});
