// The bench's engine speaks as vLLM does, by what an official client makes of it, and by its rules for usage.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import {
  firstEvent,
  lastEvents,
  PROMPT_TOKENS,
  tokenEvent,
  type Wanted,
  wholeAnswer,
} from "#scripts/bench/engine/answers.ts";
import { directiveIn, directiveText } from "#scripts/bench/engine/directive.ts";

const usage = z.strictObject({
  prompt_tokens: z.literal(PROMPT_TOKENS),
  total_tokens: z.number(),
  completion_tokens: z.number(),
});
const common = { id: z.string().startsWith("chatcmpl-"), created: z.number().int(), model: z.literal("bench") };
const chunk = z.looseObject({
  ...common,
  object: z.literal("chat.completion.chunk"),
  choices: z.array(
    z.looseObject({
      index: z.literal(0),
      delta: z.strictObject({ role: z.literal("assistant").optional(), content: z.string() }),
      finish_reason: z.enum(["stop"]).nullable(),
    }),
  ),
  usage: usage.optional(),
});
type Chunk = z.output<typeof chunk>;

function streamOf(wanted: Wanted): { chunks: Chunk[]; last: string } {
  const tokens = Array.from({ length: wanted.tokens }, (_, nth) => tokenEvent(wanted, nth + 1, 1_000 + nth));
  const text = [firstEvent(wanted), ...tokens, lastEvents(wanted)].join("");
  const events = text.split("\n\n");
  expect(events.pop()).toBe("");
  const last = events.pop() ?? "";
  return { chunks: events.map((event) => chunk.parse(JSON.parse(event.replace(/^data: /, "")))), last };
}

describe.each([
  { usageChunk: false, runningCounts: false },
  { usageChunk: true, runningCounts: false },
  { usageChunk: false, runningCounts: true },
  { usageChunk: true, runningCounts: true },
])("a stream with %o", (asked) => {
  const { chunks, last } = streamOf({ tokens: 3, ...asked });
  const spoken = chunks.filter(({ choices }) => choices.length > 0);

  test("is a role, a chunk for each token with its stamp, an end, and [DONE]", () => {
    expect(last).toBe("data: [DONE]");
    expect(spoken.map(({ choices }) => choices[0]?.delta.content)).toEqual(["", "@1000 ", "@1001 ", "@1002 ", ""]);
    expect(spoken.map(({ choices }) => choices[0]?.finish_reason)).toEqual([null, null, null, null, "stop"]);
    expect(spoken[0]?.choices[0]?.delta.role).toBe("assistant");
  });

  test("has a chunk of usage alone at its end only when that was asked for", () => {
    const alone = chunks.filter(({ choices }) => choices.length === 0);
    expect(alone.map((one) => one.usage?.completion_tokens)).toEqual(asked.usageChunk ? [3] : []);
    if (asked.usageChunk) expect(chunks.at(-1)).toBe(alone[0]);
  });

  test("counts in every chunk only when that was asked for", () => {
    const counts = spoken.map((one) => one.usage?.completion_tokens);
    expect(counts).toEqual(asked.runningCounts ? [0, 1, 2, 3, 3] : Array(5).fill(undefined));
  });
});

test("a whole answer is a chat completion with the counts of its tokens", () => {
  const answer = z
    .looseObject({
      ...common,
      object: z.literal("chat.completion"),
      choices: z.tuple([
        z.looseObject({
          message: z.looseObject({ role: z.literal("assistant"), content: z.string() }),
          finish_reason: z.literal("stop"),
        }),
      ]),
      usage,
    })
    .parse(JSON.parse(wholeAnswer(4, 77)));
  expect(answer.choices[0].message.content.trim().split(" ")).toEqual(["@77", "word", "word", "word"]);
  expect(answer.usage).toEqual({ prompt_tokens: 120, completion_tokens: 4, total_tokens: 124 });
});

test.each([
  { text: `Well? ${directiveText({ tokens: 12, firstMs: 20, gapMs: 5 })}`, is: { tokens: 12, firstMs: 20, gapMs: 5 } },
  { text: "ping", is: { tokens: 1, firstMs: 0, gapMs: 0 } },
])("$text", ({ text, is }) => {
  expect(directiveIn(text)).toEqual(is);
});
