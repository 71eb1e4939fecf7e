import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cacheability, canonical, fingerprint } from "#src/cache/fingerprint.ts";
import { parseCatalog } from "#src/catalog/schema.ts";
import type { JsonObject } from "#src/json.ts";

const parsed = parseCatalog({
  hosts: [{ id: "h", engine: "vllm", reach: { via: "direct", url: "http://h" } }],
  models: [
    { id: "open", served: [{ host: "h", as: "m" }], cache: { ttl: 60, scope: "user" } },
    { id: "closed", served: [{ host: "h", as: "m" }] },
  ],
});
const [OPEN, CLOSED] = parsed.kind === "valid" ? parsed.catalog.models : [];
const MESSAGES = [{ role: "user", content: "hi" }];

describe("what may be cached", () => {
  test.each<{ name: string; body?: JsonObject; cacheControl?: string; model?: typeof OPEN | undefined; is: string }>([
    { name: "a plain question", is: "cacheable" },
    { name: "a model the operator did not open", model: CLOSED, is: "bypass" },
    { name: "a stream", body: { stream: true }, is: "bypass" },
    { name: "stream: false", body: { stream: false }, is: "cacheable" },
    { name: "no-store", cacheControl: "no-store", is: "bypass" },
    { name: "no-cache among others, in capitals", cacheControl: "max-age=0, No-Cache", is: "bypass" },
    { name: "max-age", cacheControl: "max-age=60", is: "cacheable" },
    { name: "tools", body: { tools: [] }, is: "bypass" },
    { name: "functions", body: { functions: [] }, is: "bypass" },
    { name: "several answers", body: { n: 2, temperature: 0 }, is: "bypass" },
    { name: "one answer", body: { n: 1 }, is: "cacheable" },
    { name: "temperature 0", body: { temperature: 0 }, is: "cacheable" },
    { name: "a temperature without a seed", body: { temperature: 0.1 }, is: "bypass" },
    { name: "a temperature with a seed", body: { temperature: 1, seed: 7 }, is: "cacheable" },
    { name: "a temperature with a seed of null", body: { temperature: 1, seed: null }, is: "bypass" },
  ])("$name: $is", ({ body = {}, cacheControl = null, model = OPEN, is }) => {
    if (model === undefined) throw new Error("the test's catalog is invalid");
    expect(cacheability(model, { model: model.id, messages: MESSAGES, ...body }, cacheControl)).toBe(is);
  });
});

/** JSON as it comes out of the parser: -0 is 0 there for every reader downstream. */
const json = fc.jsonValue({ maxDepth: 4 }).map((value): unknown => JSON.parse(JSON.stringify(value)));

/** The same document with the members of every object in another order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([name, inner]) => [name, reversed(inner)]),
  );
}

describe("canonical JSON", () => {
  test("does not depend on the order of members", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(canonical(reversed(value))).toBe(canonical(value));
      }),
    );
  });

  test("loses nothing, so that two documents share it only when they are equal", () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(JSON.parse(canonical(value))).toEqual(value);
      }),
    );
  });

  test.each<{ name: string; one: unknown; other: unknown; same: boolean }>([
    { name: "1 and 1.0", one: JSON.parse("1"), other: JSON.parse("1.0"), same: true },
    { name: '1 and "1"', one: 1, other: "1", same: false },
    { name: "null and missing", one: { a: null }, other: {}, same: false },
    { name: "false and null", one: { a: false }, other: { a: null }, same: false },
    { name: "a value and a list of it", one: { a: "x" }, other: { a: ["x"] }, same: false },
    { name: "the order of a list", one: [1, 2], other: [2, 1], same: false },
    { name: "composed and decomposed", one: "\u00e9", other: "e\u0301", same: false },
    { name: "a key that looks like a path", one: { "a.b": 1 }, other: { a: { b: 1 } }, same: false },
    { name: "__proto__ and none", one: JSON.parse('{"__proto__":1}'), other: {}, same: false },
    {
      name: "numbers as keys, in another order",
      one: { 2: 0, 1: 0, b: 0, a: 0 },
      other: { a: 0, b: 0, 1: 0, 2: 0 },
      same: true,
    },
  ])("$name: same is $same", ({ one, other, same }) => {
    expect(canonical(one) === canonical(other)).toBe(same);
  });
});

describe("the name", () => {
  const asked = {
    secret: "s".repeat(43),
    scope: "i|u" as string | null,
    route: "chat",
    revision: ["h:m"],
    body: { model: "m", messages: MESSAGES },
  };
  const nameOf = (changed: Partial<typeof asked>) => {
    const { secret, scope, route, revision, body } = { ...asked, ...changed };
    return fingerprint(secret, scope, route, revision, body);
  };

  test("is the same for the same question, and tells nothing of it", async () => {
    const name = await nameOf({});
    expect(name).toMatch(/^cache:[0-9a-f]{64}$/);
    expect(await nameOf({})).toBe(name);
    expect(await nameOf({ body: { messages: MESSAGES, model: "m" } })).toBe(name);
  });

  test.each<{ name: string; changed: Partial<typeof asked> }>([
    { name: "secret", changed: { secret: "t".repeat(43) } },
    { name: "scope", changed: { scope: "i|v" } },
    { name: "no scope", changed: { scope: null } },
    { name: "a scope named null", changed: { scope: "null" } },
    { name: "route", changed: { route: "completions" } },
    { name: "another name on the host", changed: { revision: ["h:m2"] } },
    { name: "one more host", changed: { revision: ["h:m", "g:m"] } },
    { name: "hosts joined otherwise", changed: { revision: ["h", "m"] } },
    { name: "model", changed: { body: { ...asked.body, model: "M" } } },
    {
      name: "system prompt",
      changed: { body: { ...asked.body, messages: [{ role: "system", content: "x" }, ...MESSAGES] } },
    },
  ])("changes with the $name", async ({ changed }) => {
    expect(await nameOf(changed)).not.toBe(await nameOf({}));
  });

  test("changes with any member of the body, known or not", async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ minLength: 1 }), json, async (member, value) => {
        fc.pre(!(member in asked.body) && member !== "__proto__");
        expect(await nameOf({ body: { ...asked.body, [member]: value } as typeof asked.body })).not.toBe(
          await nameOf({}),
        );
      }),
    );
  });
});
