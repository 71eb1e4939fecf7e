import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isSolid, type Mark, TokenMarks } from "#src/upstream/token-marks.ts";

/** What a host says of these tokens that holds so many characters back, so many tokens at a time. */
function told(tokens: readonly string[], heldCharacters: number, atOnce = 1): { marks: Mark[]; text: string } {
  const marks = new TokenMarks();
  marks.holdsBack(heldCharacters);
  let text = "";
  for (let made = atOnce; made <= tokens.length; made += atOnce) {
    const characters = [...tokens.slice(0, made).join("")];
    const passed = characters.slice(0, Math.max(0, characters.length - heldCharacters)).join("");
    const piece = passed.slice(text.length);
    text = passed;
    if (piece !== "") marks.pass(piece, made);
  }
  return { marks: marks.marks(), text };
}

const WORDS = ["one", " two", "\n", " ", "three", " 🙂", " fo", "ur"];

describe("where tokens end", () => {
  test.each<{ name: string; tokens: string[]; held: number; atOnce?: number; marks: [number, number][] }>([
    { name: "nothing yet", tokens: [], held: 0, marks: [[0, 0]] },
    { name: "the last that can be written on", tokens: WORDS.slice(0, 2), held: 0, marks: [[7, 2]] },
    {
      name: "and white space after it",
      tokens: WORDS.slice(0, 4),
      held: 0,
      marks: [
        [7, 2],
        [8, 3],
        [9, 4],
      ],
    },
    { name: "several at once", tokens: WORDS.slice(0, 2), held: 0, atOnce: 2, marks: [[7, 2]] },
    {
      name: "held back: beyond the text, by as much",
      tokens: WORDS.slice(0, 2),
      held: 5,
      marks: [
        [0, 0],
        [7, 2],
      ],
    },
    {
      name: "until the text reaches it",
      tokens: WORDS.slice(0, 5),
      held: 5,
      marks: [
        [7, 2],
        [8, 3],
        [9, 4],
        [14, 5],
      ],
    },
    {
      name: "by characters, not their halves",
      tokens: ["🙂🙂", "🙂", "🙂🙂"],
      held: 1,
      marks: [
        [6, 2],
        [9, 3],
      ],
    },
    {
      name: "not in the middle of a character",
      tokens: ["a", "\ud83d"],
      held: 0,
      marks: [
        [1, 1],
        [2, 2],
      ],
    },
  ])("$name", ({ tokens, held, atOnce, marks }) => {
    expect(told(tokens, held, atOnce).marks).toEqual(marks.map(([reach, tokens]) => ({ reach, tokens })));
  });

  test("an answer that goes on from another's", () => {
    const marks = new TokenMarks("one two".length, { reach: 3, tokens: 1 });
    marks.pass(" three", 3);
    expect(marks.marks()).toEqual([{ reach: 13, tokens: 3 }]);
  });
});

test("a mark within the text is where that many tokens end, whatever is held back, and none is lost that is needed", () => {
  const token = fc.oneof(fc.constantFrom(...WORDS), fc.string({ unit: "grapheme", minLength: 1, maxLength: 9 }));
  fc.assert(
    fc.property(
      fc.array(token, { maxLength: 40 }),
      fc.nat({ max: 12 }),
      fc.integer({ min: 1, max: 3 }),
      (tokens, held, atOnce) => {
        const { marks, text } = told(tokens, held, atOnce);
        const ends = Array.from({ length: tokens.length + 1 }, (_, made) => tokens.slice(0, made).join("").length);
        const within = marks.filter(({ reach }) => reach <= text.length);
        for (const { reach, tokens: made } of within) expect(reach).toBe(ends[made]);
        // Of those that events told, none is missing from the last one on that can be written on.
        const length = (made: number): number => Math.max(0, [...tokens.slice(0, made).join("")].length - held);
        const isTold = (made: number): boolean => made % atOnce === 0 && length(made) > length(made - atOnce);
        const known = ends.flatMap((end, made) => (made > 0 && end <= text.length && isTold(made) ? made : []));
        const from = known.findLastIndex((made) => isSolid(text.slice(0, ends[made])));
        const needed = from === -1 ? [0, ...known] : known.slice(from);
        expect(within.map(({ tokens: made }) => made)).toEqual(needed);
      },
    ),
    { numRuns: 1_000 },
  );
});
