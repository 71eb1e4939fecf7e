import { describe, expect, test } from "vitest";
import { refuseRemote } from "#src/ingress/remote-content.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { catalogOf, valid, wrongAt } from "#test/catalog/catalog-of.ts";

const ALLOWED = ["https://images.example.com", "https://cdn.example.com:8443"];
const DATA = "data:image/png;base64,iVBORw0KGgo=";

/** `param` of the refusal, or null where the content may pass. */
function refusedAt(part: unknown, allowed: readonly string[] = [], message: JsonObject = { role: "user" }) {
  try {
    const said = { role: "user", content: "first" };
    refuseRemote({ messages: [said, { ...message, content: Array.isArray(part) ? part : [part] }] }, allowed);
    return null;
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    expect(thrown.code).toBe("invalid_value");
    return thrown.facts.param;
  }
}
const image = (url: unknown) => ({ type: "image_url", image_url: { url } });

/** What leads somewhere that no caller may send a host, or is read in two ways by two parsers. */
const HOSTILE = [
  "http://images.example.com/a.png",
  "https://evil.example/a.png",
  "file:///etc/passwd",
  "FILE:///etc/passwd",
  "/etc/passwd",
  "../../etc/passwd",
  "a.png",
  "",
  "ftp://images.example.com/a",
  "gopher://127.0.0.1:6379/_INFO",
  "javascript:alert(1)",
  "blob:https://images.example.com/a",
  "//images.example.com/a.png",
  "https:images.example.com/a.png",
  "https:/images.example.com/a.png",
  "https:///images.example.com/a.png",
  "HTTPS://images.example.com/a.png",
  "https://IMAGES.example.com/a.png",
  "https://images.example.com",
  " https://images.example.com/a.png",
  "https://images.example.com/a.png\n",
  "https://images.exa\tmple.com/a.png",
  "https://images.example.com\\@127.0.0.1/a.png",
  "https://images.example.com\\.evil.example/a.png",
  "https://user@images.example.com/a.png",
  "https://user:secret@images.example.com/a.png",
  "https://images.example.com@127.0.0.1/a.png",
  "https://images.example.com#@evil.example/a.png",
  "https://images.example.com?@evil.example/a.png",
  "https://images.example.com.evil.example/a.png",
  "https://evilimages.example.com/a.png",
  "https://images.example.com./a.png",
  "https://images.example.com:443/a.png",
  "https://images.example.com:444/a.png",
  "https://cdn.example.com/a.png",
  "https://images.example.com/../a.png",
  "https://images.example.com/%2e%2e/a.png",
  "https://images。example。com/a.png",
  "https://ｉmages.example.com/a.png",
  "https://127.0.0.1/",
  "https://127.1/",
  "https://0x7f.1/",
  "https://0177.0.0.1/",
  "https://2130706433/",
  "https://0/",
  "https://localhost/",
  "https://10.0.0.1/",
  "https://192.168.0.1/",
  "https://169.254.169.254/latest/meta-data/",
  "https://metadata.google.internal/",
  "https://[::1]/",
  "https://[::ffff:127.0.0.1]/",
  "https://[::ffff:7f00:1]/",
  "https://[fe80::1%25eth0]/",
  "https://[64:ff9b::7f00:1]/",
  "DATA:image/png;base64,aaaa",
  " data:image/png;base64,aaaa",
  "data",
];

describe("refused, whatever the catalog allows", () => {
  test.each(HOSTILE)("%j", (url) => {
    expect(refusedAt(image(url))).toBe("messages.1.content.0.image_url");
    expect(refusedAt(image(url), ALLOWED)).toBe("messages.1.content.0.image_url");
  });
});

describe("wherever a URL may stand", () => {
  const url = "https://images.example.com/a.png";
  test.each<{ name: string; part: unknown; message?: JsonObject; at: string }>([
    { name: "as text", part: { type: "image_url", image_url: url }, at: "0.image_url" },
    { name: "a film", part: { type: "video_url", video_url: { url } }, at: "0.video_url" },
    { name: "a sound", part: { type: "audio_url", audio_url: { url } }, at: "0.audio_url" },
    {
      name: "a sound's data",
      part: { type: "input_audio", input_audio: { data: url, format: "wav" } },
      at: "0.input_audio.data",
    },
    { name: "a file's data", part: { type: "file", file: { file_data: url } }, at: "0.file.file_data" },
    { name: "a file's URL", part: { type: "file", file: { file_url: url } }, at: "0.file.file_url" },
    { name: "a file by its URL", part: { type: "input_file", file_url: url }, at: "0.file_url" },
    { name: "a file kept elsewhere", part: { type: "file", file: { file_id: "file-abc" } }, at: "0.file.file_id" },
    { name: "a picture by another name", part: { type: "input_image", input_image: url }, at: "0.input_image" },
    { name: "vLLM's short form", part: { type: "text", text: "x", image_url: url }, at: "0.image_url" },
    { name: "a list of URLs", part: { type: "image_url", image_url: { url: [DATA, url] } }, at: "0.image_url.1" },
    { name: "frames", part: { type: "video", video: [url] }, at: "0.video.0" },
    { name: "a path", part: { type: "image", path: "etc/passwd" }, at: "0.path" },
    { name: "in other letters", part: { type: "image_url", IMAGE_URL: { URL: url } }, at: "0.IMAGE_URL.URL" },
    { name: "behind a good one", part: [{ type: "text", text: "x" }, image(DATA), image(url)], at: "2.image_url" },
    {
      name: "in a tool's answer",
      part: image(url),
      message: { role: "tool", tool_call_id: "c" },
      at: "0.image_url",
    },
    {
      name: "in a part within a part",
      part: { type: "tool_result", content: [{ type: "image_url", image_url: { url } }] },
      at: "0.content.0.image_url",
    },
  ])("$name", ({ part, message, at }) => {
    expect(refusedAt(part, [], message)).toBe(`messages.1.content.${at}`);
  });
});

describe("taken", () => {
  test.each<{ name: string; part: unknown; allowed?: readonly string[] }>([
    { name: "what is in the question", part: image(DATA) },
    { name: "base64 of a sound", part: { type: "input_audio", input_audio: { data: "UklGRg+/-_==", format: "wav" } } },
    { name: "a file's data URL", part: { type: "file", file: { filename: "C:\\a.pdf", file_data: DATA } } },
    { name: "words that speak of a URL", part: { type: "text", text: "see file:///etc/passwd and http://10.0.0.1/" } },
    { name: "thoughts with a colon", part: { type: "thinking", thinking: "note: https://x/" } },
    { name: "an allowed origin", part: image("https://images.example.com/a.png?b=c"), allowed: ALLOWED },
    { name: "with its port", part: image("https://cdn.example.com:8443/a"), allowed: ALLOWED },
  ])("$name", ({ part, allowed }) => {
    expect(refusedAt(part, allowed)).toBeNull();
  });

  test("content that is text or missing, and questions without messages", () => {
    const none = { role: "assistant", content: null };
    refuseRemote({ messages: [{ role: "user", content: "https://10.0.0.1/" }, none, {}] }, []);
    refuseRemote({ prompt: "https://10.0.0.1/" }, []);
  });
});

describe("the catalog allows only origins of public names", () => {
  test.each([
    "http://images.example.com",
    "https://images.example.com/",
    "https://images.example.com/a",
    "https://images.example.com?a",
    "https://user@images.example.com",
    "https://images.example.com:443",
    "https://IMAGES.example.com",
    "https://images.example.com.",
    "https://images",
    "https://localhost",
    "https://a.localhost",
    "https://printer.local",
    "https://metadata.google.internal",
    "https://nas.home.arpa",
    "https://127.0.0.1",
    "https://0x7f.1",
    "https://93.184.216.34",
    "https://[2606:4700::1111]",
    "https://*.example.com",
    "images.example.com",
    "data:",
    "",
  ])("refused: %j", (origin) => {
    expect(wrongAt(catalogOf({ model: { remoteContent: [origin] } }))).toEqual(["models.0.remoteContent.0"]);
  });

  test("taken, and none unless it says so", () => {
    expect(valid(catalogOf({ model: { remoteContent: ALLOWED } })).models[0]?.remoteContent).toEqual(ALLOWED);
    expect(valid(catalogOf()).models[0]?.remoteContent).toEqual([]);
  });
});
