import { describe, expect, test } from "vitest";
import { z } from "zod";
import { limitField, membersOf, nameField, queryOf } from "#src/ingress/fields.ts";
import { Problem } from "#src/problem.ts";

const schema = z.strictObject({ name: nameField.optional(), limit: limitField(50, 200) });

function paramOf(work: () => unknown): unknown {
  try {
    return { passed: work() };
  } catch (thrown) {
    if (thrown instanceof Problem && thrown.code === "invalid_value") return thrown.facts.param;
    throw thrown;
  }
}

describe("a query", () => {
  test.each<{ query: string; found: unknown }>([
    { query: "", found: { passed: { limit: 50 } } },
    { query: "name=a%20b&limit=200", found: { passed: { name: "a b", limit: 200 } } },
    { query: "limit=201", found: "limit" },
    { query: "limit=0", found: "limit" },
    { query: "limit=01", found: "limit" },
    { query: "limit=1e2", found: "limit" },
    { query: "limit=", found: "limit" },
    { query: "limit=99999999999999999999", found: "limit" },
    { query: "name=", found: "name" },
    { query: "name=%00", found: "name" },
    { query: `name=${"x".repeat(513)}`, found: "name" },
    { query: "name=a&name=a", found: "name" },
    { query: "Name=a", found: "Name" },
    { query: "__proto__=a", found: "__proto__" },
    { query: "constructor=a", found: "constructor" },
    { query: `${"x".repeat(100)}=1`, found: "x".repeat(64) },
  ])("$query", ({ query, found }) => {
    expect(paramOf(() => queryOf(schema, `http://x/?${query}`))).toEqual(found);
  });
});

describe("a body", () => {
  test.each<{ document: Record<string, unknown>; found: unknown }>([
    { document: { name: "a" }, found: { passed: { name: "a", limit: 50 } } },
    { document: { name: 1 }, found: "name" },
    { document: { nested: { name: "a" } }, found: "nested" },
    { document: { [`${"🚇".repeat(40)}`]: 1 }, found: "🚇".repeat(32) },
  ])("$document", ({ document, found }) => {
    expect(paramOf(() => membersOf(schema, document))).toEqual(found);
  });
});
