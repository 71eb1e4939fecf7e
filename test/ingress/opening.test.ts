import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openingText, systemText } from "#src/ingress/opening.ts";
import type { JsonObject } from "#src/json.ts";

const says = (role: string, content: unknown) => ({ role, content });
const parts = [
  { type: "text", text: "look" },
  { type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } },
  { type: "text", text: "here" },
];

describe("what a prompt begins with", () => {
  test.each<{ name: string; body: JsonObject; system: string; opening: string }>([
    {
      name: "system messages, and the first user's; not what follows",
      body: {
        messages: [says("system", "be kind"), says("developer", "be brief"), says("user", "hi"), says("user", "more")],
      },
      system: "be kind\nbe brief\n",
      opening: "be kind\nbe brief\nhi\n",
    },
    { name: "no system message", body: { messages: [says("user", "hi")] }, system: "", opening: "hi\n" },
    { name: "only system messages", body: { messages: [says("system", "a")] }, system: "a\n", opening: "a\n" },
    {
      name: "an answer comes before the first user",
      body: { messages: [says("system", "a"), says("assistant", "b"), says("user", "c")] },
      system: "a\n",
      opening: "a\n",
    },
    {
      name: "a later system message is none of the leading ones",
      body: { messages: [says("user", "hi"), says("system", "late")] },
      system: "",
      opening: "hi\n",
    },
    {
      name: "parts: their texts alone",
      body: { messages: [says("user", parts)] },
      system: "",
      opening: "lookhere\n",
    },
    { name: "no content", body: { messages: [says("user", null)] }, system: "", opening: "\n" },
    { name: "a raw prompt", body: { prompt: "once upon" }, system: "", opening: "once upon" },
    { name: "several: the first", body: { prompt: ["one", "two"] }, system: "", opening: "one" },
    { name: "token ids", body: { prompt: [1, 22, 3] }, system: "", opening: "1 22 3" },
    { name: "several of token ids", body: { prompt: [[7, 8], [9]] }, system: "", opening: "7 8" },
    { name: "an input to embed", body: { input: "words" }, system: "", opening: "" },
  ])("$name", ({ body, system, opening }) => {
    expect({ system: systemText(body, 100), opening: openingText(body, 100) }).toEqual({ system, opening });
  });
});

test("never longer than asked for, and a beginning of the whole", () => {
  const content = fc.oneof(fc.string(), fc.array(fc.record({ type: fc.constant("text"), text: fc.string() })));
  const message = fc.record({ role: fc.constantFrom("system", "developer", "user", "assistant"), content });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 6 }), fc.nat({ max: 40 }), (messages, most) => {
      for (const textOf of [systemText, openingText]) {
        const cut = textOf({ messages }, most);
        expect(cut.length).toBeLessThanOrEqual(most);
        expect(textOf({ messages }, 10_000).startsWith(cut)).toBe(true);
      }
    }),
  );
});
