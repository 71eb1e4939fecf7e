import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { duplicateMember } from "#src/strict-json.ts";

/** A document before it is text: an object is a list of members, in which a name may stand twice. */
type Tree =
  | { readonly kind: "value"; readonly value: string | number | boolean | null }
  | { readonly kind: "array"; readonly items: readonly Tree[] }
  | { readonly kind: "object"; readonly members: readonly (readonly [name: string, value: Tree])[] };

/** The first name that stands twice, in the order of the text, by plain recursion. */
function oracle(tree: Tree, maxDepth: number, depth = 1): string | null {
  if (tree.kind === "value") return null;
  if (tree.kind === "array") return first(tree.items.map((item) => () => oracle(item, maxDepth, depth + 1)));
  const seen = new Set<string>();
  return first(
    tree.members.flatMap(([name, value]) => [
      () => {
        const isTwice = depth <= maxDepth && seen.has(name);
        seen.add(name);
        return isTwice ? name : null;
      },
      () => oracle(value, maxDepth, depth + 1),
    ]),
  );
}

function first(looks: readonly (() => string | null)[]): string | null {
  for (const look of looks) {
    const found = look();
    if (found !== null) return found;
  }
  return null;
}

/** Names that are alike, escape differently, or look like syntax. */
const name = fc.constantFrom(
  "a",
  "b",
  "",
  "é",
  '"',
  "\\",
  "{",
  "}:",
  "[,",
  "__proto__",
  "\u0000",
  "🚇",
  "a b",
  "\\u0061",
);
const value = fc.oneof(
  name,
  fc.string(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.boolean(),
  fc.constant(null),
);
const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "medium", withCrossShrink: true },
    fc.record({ kind: fc.constant("value" as const), value }),
    fc.record({ kind: fc.constant("array" as const), items: fc.array(tie("tree"), { maxLength: 3 }) }),
    fc.record({
      kind: fc.constant("object" as const),
      members: fc.array(fc.tuple(name, tie("tree")), { maxLength: 4 }),
    }),
  ),
}));

/** One of the ways to write it: with other spaces and other escapes each time. */
function written(document: Tree, next: () => number): string {
  const space = (): string => ["", "", " ", "\n\t", "\r"][next() % 5] ?? "";
  const quoted = (text: string): string =>
    next() % 2 === 0
      ? JSON.stringify(text)
      : `"${Array.from({ length: text.length }, (_, at) => `\\u${text.charCodeAt(at).toString(16).padStart(4, "0")}`).join("")}"`;
  const of = (part: Tree): string => {
    if (part.kind === "value") return typeof part.value === "string" ? quoted(part.value) : JSON.stringify(part.value);
    const inner =
      part.kind === "array"
        ? part.items.map((item) => `${space()}${of(item)}${space()}`)
        : part.members.map(([key, item]) => `${space()}${quoted(key)}${space()}:${space()}${of(item)}${space()}`);
    return part.kind === "array" ? `[${inner.join(",") || space()}]` : `{${inner.join(",") || space()}}`;
  };
  return `${space()}${of(document)}${space()}`;
}

test("finds what plain recursion finds, however it is written, to any depth", () => {
  const ways = fc.array(fc.nat(9), { minLength: 1, maxLength: 40 });
  const depths = fc.constantFrom(1, 2, 3, Number.POSITIVE_INFINITY);
  let duplicates = 0;
  fc.assert(
    fc.property(tree, ways, depths, (document, way, maxDepth) => {
      let at = 0;
      const text = written(document, () => way[at++ % way.length] ?? 0);
      JSON.parse(text);
      const expected = oracle(document, maxDepth);
      if (expected !== null) duplicates++;
      expect(duplicateMember(text, maxDepth)).toBe(expected);
    }),
    { numRuns: 3_000 },
  );
  // Else the property would be an empty one.
  expect(duplicates).toBeGreaterThan(200);
});

test("a document that JSON.stringify wrote has none", () => {
  fc.assert(
    fc.property(fc.json(), (json) => {
      expect(duplicateMember(json)).toBeNull();
    }),
  );
});

describe("by example", () => {
  test.each<{ json: string; maxDepth?: number; found: string | null }>([
    { json: '{"a":1,"a":1}', found: "a" },
    { json: '{"a":1,"\\u0061":2}', found: "a" },
    { json: '{"a":"a","b":"a"}', found: null },
    { json: '{"a":{"a":1}}', found: null },
    { json: '[{"a":1},{"a":1}]', found: null },
    { json: '{"a":["a","a"],"b":"a:"}', found: null },
    { json: '{"a":"\\"","a":1}', found: "a" },
    { json: '{"a":"\\\\","a":1}', found: "a" },
    { json: '{"x":{"a":1,"a":2},"x":1}', found: "a" },
    { json: '{"x":{"a":1,"a":2},"x":1}', maxDepth: 1, found: "x" },
    { json: '{"__proto__":1,"__proto__":2}', found: "__proto__" },
    { json: '{"":1,"":2}', found: "" },
    { json: '"a"', found: null },
  ])("$json: $found", ({ json, maxDepth, found }) => {
    expect(duplicateMember(json, maxDepth)).toBe(found);
  });

  test("a million levels need no stack", () => {
    expect(duplicateMember(`${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}`)).toBeNull();
  });
});
