import { expect, test } from "vitest";
import { framed } from "#src/ingress/chat-stream.ts";

const ID = "0190a1b2-0000-7000-8000-000000000000";

/** An answer of these pieces, that counts what was asked of it and hears when it is left. */
function answerOf(pieces: readonly string[]) {
  const seen = { pulled: 0, left: undefined as unknown };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const piece = pieces[seen.pulled++];
        if (piece === undefined) controller.close();
        else controller.enqueue(new TextEncoder().encode(piece));
      },
      cancel(reason) {
        seen.left = reason;
      },
    },
    { highWaterMark: 0 },
  );
  return { body, seen };
}

test("an id before the answer, and the end behind it", async () => {
  const text = await new Response(framed(answerOf(["data: 1\n\n", "data: [DONE]\n\n"]).body, ID)).text();
  expect(text).toBe(`id: ${ID}\n\ndata: 1\n\ndata: [DONE]\n\nevent: end\ndata: {"request_id":"${ID}"}\n\n`);
});

test("nothing is read before it is asked for, and who leaves has left the answer", async () => {
  const { body, seen } = answerOf(["a", "b", "c"]);
  const reader = framed(body, ID).getReader();
  await reader.read();
  expect(seen.pulled).toBe(0);
  await reader.read();
  expect(seen.pulled).toBe(1);
  await reader.cancel("enough");
  expect(seen).toEqual({ pulled: 1, left: "enough" });
});

test("an answer that breaks breaks here, and has no end", async () => {
  const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("broken")) });
  const reader = framed(broken, ID).getReader();
  await reader.read();
  await expect(reader.read()).rejects.toThrow("broken");
});
