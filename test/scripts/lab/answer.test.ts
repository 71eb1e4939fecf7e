// The answer as a pure function: tokens that split back, an answer cut anywhere goes on to the same text.

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answer } from "#scripts/lab/answer.ts";
import { ASSISTANT, render } from "#scripts/lab/template.ts";
import { countTokens, TokenIds, tokenize } from "#scripts/lab/tokens.ts";
import { WORDS } from "#scripts/lab/vocabulary.ts";

function all(prompt: string, more: { shift?: number; weights?: string; script?: string } = {}): string[] {
  const voice = answer(prompt, { weights: "lab", shift: 0, ...more });
  const tokens: string[] = [];
  for (let token = voice.next(); token !== null; token = voice.next()) tokens.push(token);
  return tokens;
}

const chat = (content: string): string =>
  render([{ role: "user", text: content }], { continueFinal: false, generationPrompt: true });
const question = fc.stringMatching(/^[a-z ?.]{1,40}$/);
const shift = fc.integer({ min: 0, max: 15 });

describe("tokens", () => {
  test("every word of the vocabulary is one token, with and without its space", () => {
    for (const word of WORDS)
      expect([word, countTokens(word), countTokens(` ${word}`)]).toEqual([word, 1, word === "\n" ? 2 : 1]);
    expect(WORDS.length).toBeGreaterThan(250);
  });

  test("tokens join to the text, ids decode to it, whatever the text", () => {
    const ids = new TokenIds();
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
        expect(tokenize(text).join("")).toBe(text);
        expect(ids.decode(ids.encode(text))).toBe(text);
        expect(ids.encode(text)).toHaveLength(countTokens(text));
      }),
    );
  });
});

describe("answers", () => {
  test("a chat answer cut at any character goes on to the same text and length", () => {
    fc.assert(
      fc.property(question, shift, fc.nat(), (content, at, cut) => {
        const prompt = chat(content);
        const tokens = all(prompt, { shift: at });
        const text = tokens.join("");
        const said = text.slice(0, cut % (text.length + 1));
        expect(said + all(prompt + said, { shift: at }).join("")).toBe(text);
        expect(countTokens(text)).toBe(tokens.length);
        expect(tokens.length).toBeGreaterThanOrEqual(16);
        expect(tokens.length).toBeLessThanOrEqual(96);
      }),
    );
  });

  test("a raw completion cut at any character goes on to the same text", () => {
    fc.assert(
      fc.property(question, shift, fc.nat(), (content, at, cut) => {
        const prompt = `${content} [[tokens=40]]:`;
        const tokens = all(prompt, { shift: at });
        expect(tokens).toHaveLength(40);
        const text = tokens.join("");
        const said = text.slice(0, cut % (text.length + 1));
        expect(said + all(prompt + said, { shift: at }).join("")).toBe(text);
      }),
    );
  });

  test("a raw prompt equal to a rendered chat has the chat's answer", () => {
    expect(chat("hello")).toBe(`<|user|>\nhello<|end|>\n${ASSISTANT}`);
    expect(all(`<|user|>\nhello<|end|>\n${ASSISTANT}`)).toEqual(all(chat("hello")));
  });

  test.each([
    ["[[echo]] say “this” back", "say “this” back"],
    ["a b [[echo]]", "a b"],
    ["[[echo]] one two three four [[tokens=2]]", "one two"],
  ])("%s", (content, expected) => {
    const tokens = all(chat(content));
    expect(tokens.join("")).toBe(expected);
    for (let cut = 0; cut <= tokens.length; cut += 1) {
      const said = tokens.slice(0, cut).join("");
      expect(said + all(chat(content) + said).join("")).toBe(expected);
    }
  });

  test("the last directive before the answer counts, not one in the answer itself", () => {
    const history = render(
      [
        { role: "user", text: "[[tokens=5]]" },
        { role: "assistant", text: "[[tokens=7]]" },
        { role: "user", text: "[[tokens=9]]" },
      ],
      { continueFinal: false, generationPrompt: true },
    );
    expect(all(history)).toHaveLength(9);
    expect(all(`${history}[[tokens=30]]`)).toHaveLength(9 - countTokens("[[tokens=30]]"));
  });

  test("other weights and other sampling choose other words; a script is said as it is", () => {
    const prompt = chat("hello [[tokens=30]]");
    expect(all(prompt, { weights: "other" })).not.toEqual(all(prompt));
    expect(all(prompt, { shift: 3 })).not.toEqual(all(prompt));
    const script = '{"city":"lab"}';
    expect(all(chat("hello"), { script }).join("")).toBe(script);
    expect(all(`${chat("hello")}{"city`, { script }).join("")).toBe('":"lab"}');
  });
});
