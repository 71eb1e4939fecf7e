import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_BODY_BYTES, parseDocument, readJson } from "#src/ingress/body.ts";
import { Problem } from "#src/problem.ts";

const utf8 = new TextEncoder();

/** The code of the problem, or what was read. */
function read(body: string | Uint8Array): unknown {
  try {
    return parseDocument(typeof body === "string" ? utf8.encode(body) : body);
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    return thrown.code;
  }
}

async function receive(request: Request): Promise<unknown> {
  try {
    return await readJson(request);
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    return thrown.code;
  }
}

function nested(depth: number): string {
  return `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
}

describe("documents that are taken", () => {
  test.each<{ name: string; body: string | Uint8Array; is: unknown }>([
    { name: "an object", body: '{"a":[1,"x",null,true]}', is: { a: [1, "x", null, true] } },
    { name: "an empty one", body: "{}", is: {} },
    { name: "white space around", body: ' \r\n\t{"a":1}\n', is: { a: 1 } },
    { name: "a byte order mark", body: "\ufeff{}", is: {} },
    { name: "two members of a name, deeper", body: '{"a":{"b":1,"b":2}}', is: { a: { b: 2 } } },
    { name: "brackets in a string", body: `{"a":"${"[{".repeat(200)}\\""}`, is: { a: `${"[{".repeat(200)}"` } },
    {
      name: "brackets after an escaped quote",
      body: `{"a":"\\"${"[".repeat(200)}"}`,
      is: { a: `"${"[".repeat(200)}` },
    },
    { name: "whole surrogate pairs, escaped or not", body: '{"a":"\\ud83d\\ude87🚇"}', is: { a: "🚇🚇" } },
    { name: "the largest double", body: '{"a":1.7976931348623157e308}', is: { a: Number.MAX_VALUE } },
    { name: "a number too small", body: '{"a":1e-999}', is: { a: 0 } },
  ])("$name", ({ body, is }) => {
    expect(read(body)).toEqual(is);
  });

  test("64 levels", () => {
    expect(read(nested(64))).toBeTypeOf("object");
  });

  test("a prompt of token ids as long as the longest context", () => {
    expect(read(JSON.stringify({ prompt: Array(131_072).fill(9_999) }))).toHaveProperty("prompt");
  });

  test("10,000 members", () => {
    expect(
      read(JSON.stringify(Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`m${at}`, 0])))),
    ).toBeTypeOf("object");
  });
});

describe("documents that are refused", () => {
  const bytes = (...values: number[]) => new Uint8Array(values);
  test.each<{ name: string; body: string | Uint8Array }>([
    { name: "empty", body: "" },
    { name: "white space", body: "  " },
    { name: "no JSON", body: "hello" },
    { name: "cut short", body: '{"a":' },
    { name: "more after the end", body: "{}{}" },
    { name: "a comma at the end", body: '{"a":1,}' },
    { name: "single quotes", body: "{'a':1}" },
    { name: "a comment", body: "{}//" },
    { name: "a list", body: "[]" },
    { name: "text", body: '"a"' },
    { name: "a number", body: "1" },
    { name: "null", body: "null" },
    { name: "NaN", body: '{"a":NaN}' },
    { name: "1e999", body: '{"a":1e999}' },
    { name: "-1e999, deep inside", body: '{"a":[{"b":-1e999}]}' },
    { name: "two members of a name", body: '{"model":"a","model":"b"}' },
    { name: "two members of a name, one escaped", body: '{"model":"a","mode\\u006c":"b"}' },
    { name: "NUL in a string", body: '{"a":"x\\u0000"}' },
    { name: "NUL in a name", body: '{"a\\u0000":1}' },
    { name: "a bare NUL", body: '{"a":"\0"}' },
    { name: "half a surrogate pair", body: '{"a":"\\ud83d"}' },
    { name: "the other half, in a name", body: '{"\\ude87":1}' },
    { name: "__proto__", body: '{"__proto__":{"admin":true}}' },
    { name: "__proto__, escaped and deep inside", body: '{"a":[{"\\u005f_proto__":1}]}' },
    { name: "invalid UTF-8", body: bytes(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d) },
    { name: "overlong UTF-8", body: bytes(0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d) },
    { name: "UTF-16", body: bytes(0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00) },
    { name: "65 levels", body: nested(65) },
    { name: "100,000 levels of lists", body: `{"a":${"[".repeat(100_000)}` },
    { name: "100,000 levels, closed", body: nested(100_000) },
    { name: "a million brackets in an odd string", body: `{"a":"\\\\"${"[".repeat(1_000_000)}` },
    {
      name: "10,001 members",
      body: JSON.stringify(Object.fromEntries(Array.from({ length: 10_001 }, (_, at) => [`m${at}`, 0]))),
    },
    { name: "200,001 elements", body: JSON.stringify({ a: Array(100_000).fill(0), b: Array(100_001).fill(0) }) },
  ])("$name", ({ body }) => {
    expect(read(body)).toBe("invalid_json");
  });
});

test("no document changes the prototype of objects", () => {
  for (const body of ['{"__proto__":{"admin":true}}', '{"constructor":{"prototype":{"admin":true}}}']) read(body);
  expect({}).not.toHaveProperty("admin");
});

test("what the parser takes of strict JSON comes out as it went in", () => {
  const member = fc.string().filter((name) => name !== "__proto__" && !name.includes("\0"));
  const leaf = fc.oneof(member, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null));
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: "small" }, leaf, fc.array(tie("value")), fc.dictionary(member, tie("value"))),
  }));
  fc.assert(
    fc.property(fc.dictionary(member, value), (document) => {
      const text = JSON.stringify(document);
      expect(read(text)).toEqual(JSON.parse(text));
    }),
  );
});

test("no bytes make it throw anything but a problem", () => {
  const texts = fc.string({ unit: fc.constantFrom(...'{}[]":,\\u0ae1-. \n'), maxLength: 60 });
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), texts), (body) => void read(body)),
    { numRuns: 2_000 },
  );
});

describe("how it is sent", () => {
  const post = (headers: Record<string, string>, body: BodyInit = "{}") =>
    new Request("http://x/", { method: "POST", headers, body });
  test.each<{ name: string; headers: Record<string, string>; is: unknown }>([
    { name: "JSON", headers: { "content-type": "application/json" }, is: { document: {}, bytes: 2 } },
    {
      name: "with a charset",
      headers: { "content-type": "application/json; charset=utf-8" },
      is: { document: {}, bytes: 2 },
    },
    { name: "in capitals", headers: { "content-type": "Application/JSON" }, is: { document: {}, bytes: 2 } },
    {
      name: "identity",
      headers: { "content-type": "application/json", "content-encoding": "identity" },
      is: { document: {}, bytes: 2 },
    },
    { name: "text", headers: { "content-type": "text/plain" }, is: "unsupported_media_type" },
    { name: "a form", headers: { "content-type": "application/x-www-form-urlencoded" }, is: "unsupported_media_type" },
    {
      name: "a type that begins like JSON",
      headers: { "content-type": "application/jsonp" },
      is: "unsupported_media_type",
    },
    { name: "JSON lines", headers: { "content-type": "application/json-seq" }, is: "unsupported_media_type" },
    {
      name: "gzip",
      headers: { "content-type": "application/json", "content-encoding": "gzip" },
      is: "unsupported_media_type",
    },
    {
      name: "two encodings",
      headers: { "content-type": "application/json", "content-encoding": "identity, gzip" },
      is: "unsupported_media_type",
    },
  ])("$name", async ({ headers, is }) => {
    expect(await receive(post(headers))).toEqual(is);
  });

  test("without a type, as curl users forget it", async () => {
    const request = new Request("http://x/", { method: "POST", body: utf8.encode("{}") });
    expect(request.headers.get("content-type")).toBeNull();
    expect(await receive(request)).toEqual({ document: {}, bytes: 2 });
  });

  test("without a body", async () => {
    expect(await receive(new Request("http://x/", { method: "POST" }))).toBe("invalid_json");
  });
});

describe("the bound of 1 MiB", () => {
  /** `{}` and white space, of so many bytes. */
  const padded = (bytes: number) => utf8.encode(`{}${" ".repeat(bytes - 2)}`);
  /** A body of unknown length, in pieces; it counts what is taken of it. */
  function chunked(bytes: number): { request: Request; takenBytes: () => number } {
    let takenBytes = 0;
    const whole = padded(bytes);
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      if (takenBytes >= bytes) controller.close();
      else controller.enqueue(whole.slice(takenBytes, takenBytes + 16_384));
      takenBytes = Math.min(bytes, takenBytes + 16_384);
    };
    const body = new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 });
    return { request: new Request("http://x/", { method: "POST", body }), takenBytes: () => takenBytes };
  }

  test.each<{ name: string; request: () => Request; is: unknown }>([
    {
      name: "at it, whole",
      request: () => new Request("http://x/", { method: "POST", body: padded(MAX_BODY_BYTES) }),
      is: { document: {}, bytes: MAX_BODY_BYTES },
    },
    {
      name: "one byte over, whole",
      request: () => new Request("http://x/", { method: "POST", body: padded(MAX_BODY_BYTES + 1) }),
      is: "request_too_large",
    },
    {
      name: "at it, in pieces",
      request: () => chunked(MAX_BODY_BYTES).request,
      is: { document: {}, bytes: MAX_BODY_BYTES },
    },
    { name: "one byte over, in pieces", request: () => chunked(MAX_BODY_BYTES + 1).request, is: "request_too_large" },
  ])("$name", async ({ request, is }) => {
    expect(await receive(request())).toEqual(is);
  });

  test("a declared length over it is believed, and nothing is read", async () => {
    const { request, takenBytes } = chunked(50);
    const declared = new Request(request, { headers: { "content-length": String(MAX_BODY_BYTES + 1) } });
    expect(await receive(declared)).toBe("request_too_large");
    expect(takenBytes()).toBe(0);
  });

  test.each([
    { name: "of a body made in JS", headers: {} },
    { name: "beside chunks", headers: { "transfer-encoding": "chunked" } },
  ])("a declared length under it is not believed, and the rest is left: one $name", async ({ headers }) => {
    const { request, takenBytes } = chunked(8 * MAX_BODY_BYTES);
    const lying = new Request(request, { headers: { "content-length": "2", ...headers } });
    expect(await receive(lying)).toBe("request_too_large");
    expect(takenBytes()).toBeLessThan(MAX_BODY_BYTES + 10 * 16_384);
  });
});
