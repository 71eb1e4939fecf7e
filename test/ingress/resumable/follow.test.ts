import { describe, expect, test, vi } from "vitest";
import { follow } from "#src/ingress/resumable/follow.ts";

const LAST_WORDS = new TextEncoder().encode('data: {"error":{}}\n\n');
const event = (n: number) => `id: s:${n}\ndata: ${n}\n\n`;

/** A stream of these pieces, which then ends or breaks. */
function saying(pieces: readonly string[], how: "ends" | "breaks" = "ends", cancelled = () => undefined) {
  const left = [...pieces];
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const piece = left.shift();
        if (piece !== undefined) controller.enqueue(new TextEncoder().encode(piece));
        else if (how === "ends") controller.close();
        else controller.error(new Error("Network connection lost."));
      },
      cancel: cancelled,
    },
    { highWaterMark: 0 },
  );
}

async function followed(
  first: ReadableStream<Uint8Array>,
  after: number,
  next: (ReadableStream<Uint8Array> | null | Error)[],
) {
  const asked: number[] = [];
  const reopen = async (from: number) => {
    asked.push(from);
    const answer = next.shift();
    if (answer instanceof Error || answer === undefined) throw answer ?? new Error("gone");
    return answer;
  };
  return { text: await new Response(follow(first, after, reopen, LAST_WORDS)).text(), asked };
}

describe("a stream is passed on", () => {
  test("as it is", async () => {
    const { text, asked } = await followed(saying([event(1), `: ping\n\n${event(2)}`]), 0, []);
    expect({ text, asked }).toEqual({ text: `${event(1)}: ping\n\n${event(2)}`, asked: [] });
  });

  test("and taken up where it broke, in the middle of an event as well; pings count for none", async () => {
    const broken = saying([event(4), ": ping\n\n", event(5).slice(0, 9)], "breaks");
    const { text, asked } = await followed(broken, 3, [saying([event(5)], "breaks"), saying([event(6)])]);
    expect({ text, asked }).toEqual({ text: `${event(4)}: ping\n\n${event(5)}${event(6)}`, asked: [4, 5] });
  });

  test("and taken up when the object is back after a moment", async () => {
    const { text, asked } = await followed(saying([event(1)], "breaks"), 0, [new Error("not yet"), saying([event(2)])]);
    expect({ text, asked }).toEqual({ text: event(1) + event(2), asked: [1, 1] });
  });

  test.each([
    { name: "there is no such stream any more", next: [null], times: 1 },
    { name: "the object cannot be reached", next: [], times: 3 },
    { name: "it breaks again and again", next: [1, 2, 3, 4].map(() => saying([], "breaks")), times: 3 },
  ])("and ends in one error when $name", async ({ next, times }) => {
    const { text, asked } = await followed(saying([event(1), "data: ha"], "breaks"), 0, [...next]);
    expect({ text, asked }).toEqual({
      text: event(1) + new TextDecoder().decode(LAST_WORDS),
      asked: Array(times).fill(1),
    });
  });

  test("no faster than it is read, and left when its reader leaves", async () => {
    const cancelled = vi.fn(() => undefined);
    const first = saying([event(1), event(2)], "ends", cancelled);
    const reader = follow(first, 0, async () => null, LAST_WORDS).getReader();
    await reader.read();
    await reader.cancel();
    expect(cancelled).toHaveBeenCalledOnce();
  });
});
