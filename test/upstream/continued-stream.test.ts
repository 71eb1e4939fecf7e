import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fieldsOf } from "#src/sse.ts";
import { ContinuedStream, SaidOtherwise } from "#src/upstream/continued-stream.ts";
import { OpenAiStream } from "#src/upstream/openai-stream.ts";
import type { Seam } from "#src/upstream/seam.ts";
import { NOTHING_YET } from "#src/upstream/tally.ts";
import { cuts, textOf, utf8 } from "#test/sse/chunking.ts";

const HEAD = { id: "first", object: "chat.completion.chunk", created: 7, model: "m" };
const seamAt = (text: string): Seam => ({
  head: HEAD,
  text,
  marks: [{ reach: text.length, tokens: 2 }],
  tally: { ...NOTHING_YET, promptTokens: 5, completionTokens: 2, cachedTokens: 1, contentPieces: 2 },
});

const event = (document: object): string => `data: ${JSON.stringify({ ...OTHER, ...document })}\n\n`;
const OTHER = {
  id: "second",
  object: "chat.completion.chunk",
  created: 9,
  model: "as",
  usage: { prompt_tokens: 8, completion_tokens: 1 },
};
const delta = (said: object, finish_reason: string | null = null): string =>
  event({ choices: [{ index: 0, delta: said, finish_reason }] });
const ROLE = delta({ role: "assistant", content: "" });
const FINISH = delta({}, "stop");
const USAGE = event({ choices: [], usage: { prompt_tokens: 8, completion_tokens: 4 } });
const DONE = "data: [DONE]\n\n";

/** What a caller hears of a second part, however it is cut. */
function heard(wire: string | Uint8Array[], seam: Seam, owed = "", wantsUsage = true) {
  const part = new OpenAiStream({ usageChunk: false, member: null });
  const stream = new ContinuedStream(part, seam, 2, owed, wantsUsage);
  const chunks = typeof wire === "string" ? [utf8(wire)] : wire;
  const text = chunks.map((chunk) => textOf(stream.push(chunk) ?? new Uint8Array(0))).join("");
  const events = text.split("\n\n").slice(0, -1);
  const data = events.flatMap((one) => fieldsOf(utf8(`${one}\n\n`)).data ?? []);
  const documents = data.filter((one) => one !== "[DONE]").map((one) => JSON.parse(one));
  const said = documents.flatMap(({ choices }) => choices).map((choice) => choice.delta?.content ?? choice.text ?? "");
  return { stream, text, data, documents, said: said.join("") };
}

test("it is the first part's answer: its id, one role, the usage of both", () => {
  const { documents, said, data, stream } = heard(ROLE + delta({ content: "b" }) + FINISH + USAGE + DONE, seamAt("a"));
  expect(documents).toEqual([
    { ...HEAD, choices: [{ index: 0, delta: { content: "b" }, finish_reason: null }] },
    { ...HEAD, choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    {
      ...HEAD,
      choices: [],
      usage: { prompt_tokens: 5, completion_tokens: 6, total_tokens: 11, prompt_tokens_details: { cached_tokens: 1 } },
    },
  ]);
  expect([said, data.at(-1), stream.endedWell]).toEqual(["b", "[DONE]", true]);
  expect(stream.tally).toEqual({
    promptTokens: 5,
    completionTokens: 6,
    cachedTokens: 1,
    contentPieces: 3,
    finishReason: "stop",
  });
});

test("where the first part told nothing of its prompt, it is what the next one was given without the text between", () => {
  const seam = { ...seamAt("a"), tally: { ...seamAt("a").tally, promptTokens: null, completionTokens: null } };
  const { stream, documents } = heard(ROLE + delta({ content: "b" }) + FINISH + USAGE + DONE, seam);
  expect(documents.at(-1)?.usage).toMatchObject({ prompt_tokens: 6, completion_tokens: 3 });
  expect(stream.tally).toMatchObject({ promptTokens: 6, completionTokens: null });
});

test("usage is for who asked", () => {
  const { documents } = heard(ROLE + delta({ content: "b" }) + FINISH + USAGE + DONE, seamAt("a"), "", false);
  expect(documents.some(({ usage }) => usage != null)).toBe(false);
});

describe("what the caller has already is not said twice", () => {
  test.each([
    { name: "white space, said again whole", owed: " \n", pieces: [" \n", "b"], said: "b" },
    { name: "and in pieces", owed: " \n", pieces: [" ", "\n", "b"], said: "b" },
    { name: "with what comes behind it", owed: "\n", pieces: ["\nb"], said: "b" },
    { name: "less of it", owed: "\n\n", pieces: ["\nb"], said: "b" },
    { name: "none of it", owed: "\n", pieces: ["b"], said: "b" },
    { name: "more of it", owed: "\n", pieces: ["\n\nb"], said: "\nb" },
    { name: "half a character: its other half", owed: "\ud83d", pieces: ["\ud83d\ude00b"], said: "\ude00b" },
  ])("$name", ({ owed, pieces, said }) => {
    const seam = seamAt(`a${owed}`);
    const found = heard(ROLE + pieces.map((content) => delta({ content })).join(""), seam, owed);
    expect(found.said).toBe(said);
    expect(found.stream.text).toBe(`a${owed}${said}`);
  });

  test.each([
    { name: "a token, said again whole", owed: " lo", pieces: [" lo", "ng"], said: "ng" },
    { name: "within a longer one", owed: " lo", pieces: [" long", "er"], said: "nger" },
    { name: "by several", owed: " lo ng", pieces: [" lo", " n", "ger"], said: "er" },
    { name: "with other white space before it", owed: "\n lo", pieces: ["\n", " lo", "ng"], said: "ng" },
  ])("$name", ({ owed, pieces, said }) => {
    const found = heard(ROLE + pieces.map((content) => delta({ content })).join("") + FINISH, seamAt(`a${owed}`), owed);
    expect([found.said, found.stream.broken]).toEqual([said, null]);
  });

  test.each([
    { name: "another character in place of the half one", owed: "\ud83d", more: delta({ content: "b" }) },
    { name: "another token", owed: " lo", more: delta({ content: " la" }) },
    { name: "another one after some", owed: " lo ng", more: delta({ content: " lo" }) + delta({ content: " x" }) },
    { name: "the end", owed: " lo", more: FINISH + DONE },
    { name: "the end within it", owed: " lo", more: delta({ content: " l" }, "length") },
    { name: "white space in place of words", owed: "\nlo", more: delta({ content: "\n\nlo" }) },
  ])("$name is not what was said", ({ owed, more }) => {
    const { stream, said } = heard(ROLE + more, seamAt(`a${owed}`), owed);
    expect([stream.broken, said, stream.hasContent]).toEqual([expect.any(SaidOtherwise), "", false]);
  });

  test("nor is it in raw completions", () => {
    const text = (said: string) => event({ choices: [{ index: 0, text: said, finish_reason: null }] });
    expect(heard(text(" lon"), seamAt("a lo"), " lo").said).toBe("n");
    expect(heard(text(" la"), seamAt("a lo"), " lo").stream.broken).toBeInstanceOf(SaidOtherwise);
  });
});

test("a third part begins where both have ended", () => {
  const { stream } = heard(ROLE + delta({ content: "b " }), seamAt("a"));
  expect(stream.seam()).toMatchObject({ head: HEAD, text: "ab ", marks: [{ tokens: 2 }, { reach: 3, tokens: 3 }] });
});

describe("a part that is more than one plain text is no continuation: the caller would miss the rest of its text", () => {
  const logprobs = { content: [{ token: "b", logprob: 0 }] };
  test.each([
    { name: "it reasons", more: delta({ reasoning_content: "b" }) },
    { name: "it calls a tool", more: delta({ tool_calls: [{ index: 0, function: { name: "f", arguments: "" } }] }) },
    { name: "it is a second answer", more: event({ choices: [{ index: 1, delta: { content: "b" } }] }) },
    { name: "it tells probabilities", more: event({ choices: [{ index: 0, delta: { content: "b" }, logprobs }] }) },
  ])("$name", ({ more }) => {
    const { stream, said } = heard(ROLE + more + FINISH + USAGE + DONE, seamAt("a"));
    expect([said, stream.hasContent, stream.endedWell, stream.seam()]).toEqual(["", false, false, null]);
    expect(stream.broken).not.toBeNull();
    const [first, later] = [utf8(ROLE + delta({ content: "c" })), utf8(more + FINISH + DONE)];
    const begun = heard([first, later], seamAt("a"));
    expect([begun.said, begun.stream.hasContent, begun.stream.endedWell]).toEqual(["c", true, false]);
    expect(begun.stream.broken).not.toBeNull();
  });
});

test("it has begun when it has said something new", () => {
  expect(heard(ROLE + delta({ content: "\n" }), seamAt("a\n"), "\n").stream.hasContent).toBe(false);
  expect(heard(ROLE + delta({ content: "\nb" }), seamAt("a\n"), "\n").stream.hasContent).toBe(true);
});

test("a tool call in the second part cannot be carried on further", () => {
  const call = delta({ tool_calls: [{ index: 0, id: "c", type: "function", function: { name: "f", arguments: "" } }] });
  expect(heard(ROLE + call, seamAt("a")).stream.seam()).toBeNull();
});

test("however it is cut on the way, it is the same", () => {
  const pieces = [ROLE, delta({ content: "é😀" }), ": ping\n\n", delta({ content: "\n東京" }), FINISH, USAGE, DONE];
  const wire = utf8(pieces.join(""));
  const once = heard([wire], seamAt("a")).text;
  fc.assert(
    fc.property(cuts, (cut) => heard(cut(wire), seamAt("a")).text === once),
    { numRuns: 300 },
  );
});
