/**
 * URLs in a question's content. Hosts fetch them, from inside their network, and engines differ in how they read a URL:
 * so one passes only in the very letters that the URL standard writes it in, and only to an origin that the catalog
 * names. What is in the question itself (`data:`) always passes. Pure.
 */
import { isObject, type JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

/** Members that hold a URL or a path and nothing else, in the parts of OpenAI's, vLLM's and llama.cpp's content. */
const URL_MEMBER = /(^|_)(ur[li]|path)$/;
/** Members that hold base64, a `data:` URL or, in some engines, a URL. */
const MEDIA_MEMBERS = new Set([
  "data",
  "file",
  "file_data",
  "image",
  "image_pil",
  "audio",
  "video",
  "input_image",
  "input_audio",
  "input_video",
]);
/** Base64 in both alphabets. */
const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/**
 * Refuses what a host would fetch and may not.
 *
 * @param allowed the origins that the model's entry in the catalog names
 * @throws Problem `invalid_value`, with `param` naming the member
 */
export function refuseRemote({ messages }: JsonObject, allowed: readonly string[]): void {
  if (!Array.isArray(messages)) return;
  for (const [at, message] of messages.entries()) {
    if (isObject(message)) inspect(message.content, `messages.${at}.content`, "", allowed);
  }
}

/** @param member the name under which a string stands, also within lists: that of the nearest object */
function inspect(value: unknown, path: string, member: string, allowed: readonly string[]): void {
  if (typeof value === "string") {
    const reason = objection(value, member, allowed);
    if (reason !== null) throw new Problem("invalid_value", { param: path, message: `${path}: ${reason}` });
  } else if (Array.isArray(value)) {
    for (const [at, inner] of value.entries()) inspect(inner, `${path}.${at}`, member, allowed);
  } else if (isObject(value)) {
    for (const [name, inner] of Object.entries(value)) {
      // `image_url: {url}` and `image_url: "…"` are one field to callers, and named so.
      const inside = name === "url" && URL_MEMBER.test(member) ? path : `${path}.${name}`;
      inspect(inner, inside, name.toLowerCase(), allowed);
    }
  }
}

function objection(text: string, member: string, allowed: readonly string[]): string | null {
  // A file that somebody uploaded to the operator's account with a service: whose it is cannot be told here.
  if (member === "file_id") return "files are not kept here; send the data itself";
  const isUrl = URL_MEMBER.test(member);
  if (!isUrl && !MEDIA_MEMBERS.has(member)) return null;
  if (text.startsWith("data:") || (!isUrl && BASE64.test(text))) return null;
  if (allowed.length === 0) return "only data: URLs are taken";
  return isAllowed(text, allowed) ? null : `only data: URLs and those below ${allowed.join(", ")} are taken`;
}

function isAllowed(text: string, allowed: readonly string[]): boolean {
  if (!URL.canParse(text)) return false;
  const { href, origin } = new URL(text);
  // Any other spelling (a backslash, a user before the name, a dot segment, an escape) might lead elsewhere there.
  return href === text && allowed.some((one) => one === origin && text.startsWith(`${one}/`));
}
