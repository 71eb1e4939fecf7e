import { describe, expect, test } from "vitest";
import { concat } from "#src/bytes.ts";
import { MAX_FILE_BYTES, readForm } from "#src/ingress/form.ts";
import { Problem } from "#src/problem.ts";

const SOUND = new Uint8Array([0x52, 0x49, 0x46, 0x46, 0xff, 0x00, 0x80]);

function formOf(fields: readonly (readonly [string, string | File])[]): FormData {
  const form = new FormData();
  for (const [name, value] of fields) form.append(name, value);
  return form;
}
const file = (name = "speech.mp3", type = "audio/mpeg", bytes: Uint8Array | string = SOUND): [string, File] => [
  "file",
  new File([bytes], name, { type }),
];
const read = (body: BodyInit, headers: Record<string, string> = {}) =>
  readForm(new Request("http://x", { method: "POST", body, headers }));

/** `code param` of the refusal. */
async function refusal(body: BodyInit, headers?: Record<string, string>): Promise<string> {
  try {
    await read(body, headers);
    return "taken";
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    return `${thrown.code} ${thrown.facts.param ?? null}`;
  }
}

test("fields, lists and the recording to the byte, under a name that tells nothing but its format", async () => {
  const { document, recording, bytes } = await read(
    formOf([
      ["model", "m"],
      ["prompt", "über"],
      ["timestamp_granularities[]", "word"],
      file('../../etc/x";evil="1.MP3'),
      ["timestamp_granularities[]", "segment"],
    ]),
  );
  expect(document).toEqual({ model: "m", prompt: "über", timestamp_granularities: ["word", "segment"] });
  expect(recording.name).toBe("audio.mp3");
  expect(recording.type).toBe("audio/mpeg");
  expect(concat(recording.pieces)).toEqual(SOUND);
  expect(bytes).toBeGreaterThan(SOUND.byteLength);
});

test("a form is read the same wherever it was cut on its way", async () => {
  const head = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n';
  const block = new Uint8Array(70_000).fill(0x61);
  const whole = concat([new TextEncoder().encode(head), block, new TextEncoder().encode("\r\n--b--\r\nnobody's\r\n")]);
  // Around what ends the form; what comes before is more than what is gathered up.
  for (let at = whole.byteLength - 25; at <= whole.byteLength; at++) {
    const cut = [whole.slice(0, at), whole.slice(at)];
    const body = new ReadableStream({
      pull(controller) {
        const piece = cut.shift();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    });
    const { recording } = await read(body, { "content-type": "multipart/form-data; boundary=b" });
    expect(concat(recording.pieces)).toEqual(block);
  }
});

test.each([
  { name: "a.wav", type: "audio/wav", as: "audio.wav", of: "audio/wav" },
  { name: "a.webm", type: "video/webm", as: "audio.webm", of: "video/webm" },
  { name: "a.php", type: "application/x-php", as: "audio", of: "application/octet-stream" },
  { name: "blob", type: "", as: "audio", of: "application/octet-stream" },
])("$name of $type goes as $as of $of", async ({ name, type, as, of }) => {
  const { recording } = await read(formOf([file(name, type)]));
  expect([recording.name, recording.type]).toEqual([as, of]);
});

describe("refused", () => {
  const type = { "content-type": "multipart/form-data; boundary=b" };
  test.each<{ name: string; body: BodyInit; headers?: Record<string, string>; problem: string }>([
    {
      name: "JSON",
      body: "{}",
      headers: { "content-type": "application/json" },
      problem: "unsupported_media_type null",
    },
    { name: "another form", body: new URLSearchParams({ model: "m" }), problem: "unsupported_media_type null" },
    {
      name: "no boundary",
      body: "x",
      headers: { "content-type": "multipart/form-data" },
      problem: "unsupported_media_type null",
    },
    {
      name: "compressed",
      body: "x",
      headers: { ...type, "content-encoding": "gzip" },
      problem: "unsupported_media_type null",
    },
    { name: "no form at all", body: "hello", headers: type, problem: "invalid_value null" },
    {
      name: "half a form",
      body: '--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm',
      headers: type,
      problem: "invalid_value null",
    },
    { name: "nothing", body: "", headers: type, problem: "invalid_value null" },
    {
      name: "a name of a file that is not UTF-8",
      body: concat([
        new TextEncoder().encode('--b\r\ncontent-disposition: form-data; name="file"; filename="'),
        new Uint8Array([0xfc]),
        new TextEncoder().encode('.mp3"\r\n\r\nx\r\n--b--\r\n'),
      ]),
      headers: type,
      problem: "invalid_value null",
    },
    {
      name: "a field as long as a file",
      body: formOf([["model", "m".repeat(100_000)], file()]),
      problem: "invalid_value model",
    },
    { name: "no file", body: formOf([["model", "m"]]), problem: "invalid_value file" },
    { name: "an empty file", body: formOf([file("a.mp3", "audio/mpeg", "")]), problem: "invalid_value file" },
    { name: "a file by its words", body: formOf([["file", "words"]]), problem: "invalid_value file" },
    { name: "two files", body: formOf([file(), file()]), problem: "invalid_value file" },
    { name: "another file", body: formOf([file(), ["image", new File(["x"], "x")]]), problem: "invalid_value image" },
    { name: "a field twice", body: formOf([["model", "a"], ["model", "b"], file()]), problem: "invalid_value model" },
    { name: "a field and a list", body: formOf([["a", "1"], ["a[]", "2"], file()]), problem: "invalid_value a" },
    { name: "a list and a field", body: formOf([["a[]", "1"], ["a", "2"], file()]), problem: "invalid_value a" },
    { name: "a NUL", body: formOf([["model", "a\0b"], file()]), problem: "invalid_value model" },
    {
      name: "fields without end",
      body: formOf(Array.from({ length: 40 }, (_, at) => [`f${at}`, "x"] as const)),
      problem: "invalid_value null",
    },
    {
      name: "a file over the bound",
      body: formOf([file("a.mp3", "audio/mpeg", new Uint8Array(MAX_FILE_BYTES + 1))]),
      problem: "request_too_large file",
    },
    {
      name: "a body over the bound",
      body: formOf([file("a.mp3", "audio/mpeg", new Uint8Array(MAX_FILE_BYTES + 100_000))]),
      problem: "request_too_large file",
    },
  ])("$name", async ({ body, headers, problem }) => {
    expect(await refusal(body, headers)).toBe(problem);
  });

  test("a body without end is let go", async () => {
    let seenBytes = 0;
    const opening = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.mp3"\r\n\r\n';
    const endless = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(opening));
      },
      pull(controller) {
        seenBytes += 1024 * 1024;
        controller.enqueue(new Uint8Array(1024 * 1024));
      },
    });
    expect(await refusal(endless, type)).toBe("request_too_large file");
    expect(seenBytes).toBeLessThan(MAX_FILE_BYTES + 5 * 1024 * 1024);
  });

  test("a name that is a prototype's is a field like any other", async () => {
    const { document } = await read(formOf([["__proto__", "x"], file()]));
    expect(Object.hasOwn(document, "__proto__")).toBe(true);
    expect(Object.getPrototypeOf(document)).toBe(Object.prototype);
  });
});
