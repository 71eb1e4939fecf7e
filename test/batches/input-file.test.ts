import { describe, expect, test } from "vitest";
import { linesOf } from "#src/batches/file-store.ts";
import { checkFile } from "#src/batches/input-file.ts";

const ENDPOINT = "/v1/chat/completions";
const utf8 = new TextEncoder();

/** What is found in a file. */
function check(text: string | Uint8Array) {
  const bytes = [...linesOf(typeof text === "string" ? utf8.encode(text) : text)];
  return checkFile((line) => bytes[line - 1] ?? null, ENDPOINT);
}

const request = (changed: object = {}) => {
  return { custom_id: "a", method: "POST", url: ENDPOINT, body: { model: "m", messages: [] }, ...changed };
};
const json = (...lines: readonly object[]): string => lines.map((line) => JSON.stringify(line)).join("\n");

test.each<{ name: string; text: string; lines: unknown }>([
  { name: "a line", text: json(request()), lines: [{ line: 1, customId: "a", model: "m" }] },
  { name: "a line end at the end", text: `${json(request())}\n`, lines: [{ line: 1, customId: "a", model: "m" }] },
  {
    name: "blank lines, and line ends of Windows",
    text: `\r\n${json(request())}\r\n\n  \n${json(request({ custom_id: "b" }))}\r\n`,
    lines: [
      { line: 2, customId: "a", model: "m" },
      { line: 5, customId: "b", model: "m" },
    ],
  },
  { name: "a byte order mark", text: `\ufeff${json(request())}`, lines: [{ line: 1, customId: "a", model: "m" }] },
  {
    name: "no model: the request itself is refused later",
    text: json(request({ body: {} })),
    lines: [{ line: 1, customId: "a", model: "" }],
  },
  {
    name: "a model's name that is none is not kept: it may be as long as a line",
    text: json(request({ body: { model: "m".repeat(600_000) } })),
    lines: [{ line: 1, customId: "a", model: "" }],
  },
])("good: $name", ({ text, lines }) => {
  expect(check(text)).toEqual({ lines, errors: [] });
});

describe("bad", () => {
  test.each<{
    name: string;
    text: string | Uint8Array;
    errors: readonly (readonly [string, string | null, number | null])[];
  }>([
    { name: "nothing", text: "", errors: [["empty_file", null, null]] },
    { name: "only blank lines", text: "\n \n", errors: [["empty_file", null, null]] },
    {
      name: "a line that is longer than any body may be",
      text: json(request({ body: { model: "m".repeat(3_000_000) } }), request({ custom_id: "b" })),
      errors: [["line_too_long", null, 1]],
    },
    {
      name: "brackets without end",
      text: "[".repeat(10_000_000),
      errors: [["line_too_long", null, 1]],
    },
    { name: "no JSON", text: "{", errors: [["invalid_json_line", null, 1]] },
    { name: "a list", text: "[]", errors: [["invalid_json_line", null, 1]] },
    { name: "no UTF-8", text: new Uint8Array([0xff, 0xfe]), errors: [["invalid_json_line", null, 1]] },
    {
      name: "a member twice",
      text: `{"custom_id":"a","custom_id":"b","method":"POST","url":"${ENDPOINT}","body":{}}`,
      errors: [["invalid_json_line", null, 1]],
    },
    {
      name: "a member of the body twice",
      text: `{"custom_id":"a","method":"POST","url":"${ENDPOINT}","body":{"n":1,"n":2}}`,
      errors: [["invalid_json_line", null, 1]],
    },
    {
      name: "no custom_id",
      text: json(request({ custom_id: undefined })),
      errors: [["invalid_request_line", "custom_id", 1]],
    },
    {
      name: "a custom_id of another type",
      text: json(request({ custom_id: 7 })),
      errors: [["invalid_request_line", "custom_id", 1]],
    },
    {
      name: "an endless custom_id",
      text: json(request({ custom_id: "x".repeat(513) })),
      errors: [["invalid_request_line", "custom_id", 1]],
    },
    { name: "another method", text: json(request({ method: "GET" })), errors: [["invalid_request_line", "method", 1]] },
    { name: "no url", text: json(request({ url: undefined })), errors: [["invalid_request_line", "url", 1]] },
    {
      name: "another endpoint's url",
      text: json(request({ url: "/v1/embeddings" })),
      errors: [["mismatched_url", "url", 1]],
    },
    { name: "no body", text: json(request({ body: undefined })), errors: [["invalid_request_line", "body", 1]] },
    { name: "a body that is text", text: json(request({ body: "x" })), errors: [["invalid_request_line", "body", 1]] },
    { name: "an unknown member", text: json(request({ headers: {} })), errors: [["invalid_request_line", null, 1]] },
    {
      name: "a stream",
      text: json(request({ body: { stream: true } })),
      errors: [["stream_not_supported", "body.stream", 1]],
    },
    {
      name: "several, each with its line",
      text: `${json(request(), request(), request({ custom_id: "c", method: "PUT" }))}\nx\n`,
      errors: [
        ["duplicate_custom_id", "custom_id", 2],
        ["invalid_request_line", "method", 3],
        ["invalid_json_line", null, 4],
      ],
    },
  ])("$name", ({ text, errors }) => {
    expect(check(text).errors.map(({ code, param, line }) => [code, param, line])).toEqual(errors);
  });

  test("no more than a hundred errors are told", () => {
    expect(check("x\n".repeat(5_000)).errors).toHaveLength(100);
  });
});
