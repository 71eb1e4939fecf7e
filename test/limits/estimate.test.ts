import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { countTokens } from "#scripts/lab/tokens.ts";
import type { JsonObject } from "#src/json.ts";
import { leastTokens, likelyTokens } from "#src/limits/estimate.ts";

const bytesOf = (body: JsonObject): number => new TextEncoder().encode(JSON.stringify(body)).byteLength;
const chat = (...contents: unknown[]): JsonObject => ({
  messages: contents.map((content) => ({ role: "user", content })),
});
const image = (url: string, shape: "text" | "object" = "object") => ({
  type: "image_url",
  image_url: shape === "text" ? url : { url },
});

/** Runs of everything that tokenizers treat each in its own way. */
const piece = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.stringMatching(/^[\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7a3]{0,40}$/u),
  fc.constantFrom("😀👩‍👩‍👧‍👦🇩🇪", "a\u0301".repeat(20), "\ufeff", "\u00a0", "\u3000", "\u2028", "\u200b"),
  fc.base64String({ maxLength: 400 }),
  fc.stringMatching(/^[ \t\r\n\f\v]{0,40}$/),
  fc.tuple(fc.constantFrom(..."-=*#_a. "), fc.nat({ max: 600 })).map(([sign, count]) => sign.repeat(count)),
);
const prose = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));

/** Every place for text in a body. */
const shapes: Record<string, (texts: string[]) => { body: JsonObject; tokens: number }> = {
  "a prompt": ([text = ""]) => ({ body: { prompt: text }, tokens: countTokens(text) }),
  "several prompts": (texts) => ({ body: { prompt: texts }, tokens: Math.max(0, ...texts.map(countTokens)) }),
  "several inputs": (texts) => ({ body: { input: texts }, tokens: Math.max(0, ...texts.map(countTokens)) }),
  messages: (texts) => ({ body: chat(...texts), tokens: texts.reduce((sum, text) => sum + countTokens(text), 0) }),
  // Some chat templates join the parts of a message by nothing at all.
  "parts of a message": (texts) => ({
    body: chat(texts.map((text) => ({ type: "text", text }))),
    tokens: countTokens(texts.join("")),
  }),
};

describe("the least there can be", () => {
  test.each(Object.keys(shapes))("%s: never more than a tokenizer finds, whatever the text", (name) => {
    fc.assert(
      fc.property(fc.array(prose, { minLength: 1, maxLength: 5 }), fc.constantFrom(-5, 0, 40, 500), (texts, enough) => {
        const { body, tokens } = shapes[name]?.(texts) ?? { body: {}, tokens: -1 };
        expect(leastTokens(body, enough)).toBeLessThanOrEqual(tokens);
      }),
      { numRuns: 500 },
    );
  });

  test("words count one each, whatever parts them", () => {
    expect(leastTokens({ prompt: "a b\nc\td\u3000e  f" }, 0)).toBe(6);
    expect(leastTokens(chat("a b", [{ type: "text", text: "c d" }]), 0)).toBe(4);
    const parts = ["se", "ver", "al in a row"].map((text) => ({ type: "text", text }));
    expect(leastTokens(chat(parts), 0)).toBe(4);
  });

  test.each([
    { name: "token ids", body: { prompt: [1, 2, 3] }, tokens: 3 },
    { name: "token ids of an input", body: { input: [1, 2, 3, 4] }, tokens: 4 },
    { name: "the longest of lists of token ids", body: { prompt: [[1], [1, 2, 3, 4, 5], []] }, tokens: 5 },
  ])("$name are counted exactly, few or many", ({ body, tokens }) => {
    for (const enough of [-1, 0, 1_000_000]) expect(leastTokens(body, enough)).toBe(tokens);
  });

  test.each([
    { name: "a picture has no words", body: chat([image("data:image/png;base64,aaaa aaaa")]) },
    { name: "content of null", body: chat(null) },
    { name: "no content", body: { messages: [{ role: "assistant" }] } },
    { name: "blanks", body: { prompt: " \n\t " } },
    { name: "nothing", body: {} },
  ])("$name: 0", ({ body }) => {
    expect(leastTokens(body, 0)).toBe(0);
  });

  test("a row of one sign, which vocabularies have as one token of 128, fits where its tokens do", () => {
    expect(leastTokens({ prompt: "-".repeat(128 * 100) }, 0)).toBeLessThanOrEqual(100);
  });

  test("short texts may hold as many words as letters", () => {
    expect(leastTokens(chat("a", "b", "c"), 2)).toBe(3);
  });

  test("what is not worth counting is 0, and never when there might be enough", () => {
    const text = fc.array(fc.constantFrom("a", "b", " ", "\n"), { maxLength: 60 }).map((letters) => letters.join(""));
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 4 }), fc.integer({ min: 1, max: 40 }), (texts, enough) => {
        const exact = leastTokens(chat(...texts), 0);
        expect([0, exact]).toContain(leastTokens(chat(...texts), enough));
        // The gateway refuses what is more than enough, so only that must be told.
        if (exact > enough) expect(leastTokens(chat(...texts), enough)).toBe(exact);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a prompt of a megabyte is looked at once", () => {
  const matchAll = vi.spyOn(String.prototype, "matchAll");
  afterEach(() => {
    matchAll.mockClear();
  });
  const MEGABYTE = 1024 * 1024;
  const lookedAt = (): number => matchAll.mock.contexts.reduce<number>((sum, text) => sum + String(text).length, 0);

  test.each([
    { name: "words", body: { prompt: "word ".repeat(MEGABYTE / 5) } },
    { name: "one word", body: { prompt: "a".repeat(MEGABYTE) } },
    { name: "many prompts", body: { prompt: Array(1_024).fill("word ".repeat(200)) } },
    { name: "many messages", body: chat(...Array(1_024).fill("word ".repeat(200))) },
  ])("$name", ({ body }) => {
    leastTokens(body, 100);
    expect(lookedAt()).toBeGreaterThan(0);
    expect(lookedAt()).toBeLessThanOrEqual(MEGABYTE);
  });

  test("and not at all where it cannot fill the context", () => {
    leastTokens({ prompt: "word ".repeat(MEGABYTE / 5) }, MEGABYTE);
    expect(lookedAt()).toBe(0);
  });
});

describe("the likely number", () => {
  test.each([0, 1, 4, 5, 4_000])("%i bytes are a quarter of it in tokens", (bytes) => {
    expect(likelyTokens({ prompt: "x" }, bytes)).toBe(Math.ceil(bytes / 4));
  });

  test.each([
    { name: "an image", part: (url: string) => image(url) },
    { name: "an image by its URL alone", part: (url: string) => image(url, "text") },
    { name: "a video", part: (url: string) => ({ type: "video_url", video_url: { url } }) },
    { name: "a sound", part: (url: string) => ({ type: "audio_url", audio_url: { url } }) },
  ])("$name counts as one, however large", ({ part }) => {
    const sized = (bytes: number): number => {
      const body = chat([{ type: "text", text: "what is this?" }, part(`data:image/png;base64,${"A".repeat(bytes)}`)]);
      return likelyTokens(body, bytesOf(body));
    };
    expect(sized(900_000)).toBe(sized(400));
    expect(sized(400)).toBeGreaterThanOrEqual(1_024);
    expect(sized(400)).toBeLessThan(1_124);
  });

  test("two images count as two", () => {
    const body = chat([image("data:,a"), image("data:,b")]);
    expect(likelyTokens(body, bytesOf(body)) - likelyTokens(chat([]), bytesOf(chat([])))).toBeGreaterThanOrEqual(2_048);
  });

  test("never below what is there at least, for text", () => {
    fc.assert(
      fc.property(fc.array(fc.stringMatching(/^[a-z]{3,12}$/), { minLength: 1, maxLength: 200 }), (words) => {
        const body = chat(words.join(" "));
        expect(likelyTokens(body, bytesOf(body))).toBeGreaterThanOrEqual(leastTokens(body, 0));
      }),
    );
  });
});
