/**
 * The request's body to JSON, bounded in bytes, depth and members. What is forwarded later is made anew from this
 * value, never from the caller's bytes, so no hop reads the document differently.
 */
import { readBounded, UTF8 } from "#src/bytes.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { duplicateMember } from "#src/strict-json.ts";

export const MAX_BODY_BYTES = 1024 * 1024;
const MAX_DEPTH = 64;
const MAX_MEMBERS = 10_000;
/** A prompt of token ids fills the longest context there is today (131,072 tokens) and some. */
const MAX_ELEMENTS = 200_000;

/**
 * Reads and parses the body.
 *
 * @returns the document, an object, and its size in bytes
 * @throws Problem `unsupported_media_type`, `request_too_large`, `invalid_json`
 */
export async function readJson(
  request: Request,
  maxBytes = MAX_BODY_BYTES,
): Promise<{ document: JsonObject; bytes: number }> {
  const bytes = await readBody(request, maxBytes);
  return { document: parseDocument(bytes), bytes: bytes.byteLength };
}

/**
 * Reads the body of a request that carries JSON.
 *
 * @throws Problem `unsupported_media_type`, `request_too_large`
 */
export async function readBody(request: Request, maxBytes = MAX_BODY_BYTES): Promise<Uint8Array> {
  const type = request.headers.get("content-type");
  const encoding = request.headers.get("content-encoding");
  if (type !== null && !/^application\/json\s*(;|$)/i.test(type)) throw new Problem("unsupported_media_type");
  if (encoding !== null && encoding.toLowerCase() !== "identity") throw new Problem("unsupported_media_type");
  const bytes = await readBounded(request, maxBytes, "left");
  if (bytes === null) throw new Problem("request_too_large", { message: `The body is larger than ${maxBytes} bytes.` });
  return bytes;
}

/**
 * Strict JSON (RFC 8259, and RFC 7493 where it forbids what engines read differently).
 *
 * @throws Problem `invalid_json`
 */
export function parseDocument(bytes: Uint8Array): JsonObject {
  if (bytes.byteLength === 0) throw wrong("The body is empty; send a JSON object.");
  refuseDepth(bytes);
  let value: unknown;
  let text: string;
  try {
    text = UTF8.decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new Problem("invalid_json", { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw wrong("The body must be a JSON object.");
  // Of two members of one name a hop may take the first, and we would have checked the last.
  if (duplicateMember(text, 1) !== null) throw wrong("A member stands twice in the body.");
  inspect(value, { members: 0, elements: 0 });
  return value as JsonObject;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Before parsing: a hundred thousand brackets take the parser longer than this loop. */
function refuseDepth(bytes: Uint8Array): void {
  let depth = 0;
  for (let at = 0; at < bytes.byteLength; at++) {
    const byte = bytes[at];
    if (byte === QUOTE) at = closingQuote(bytes, at);
    else if (byte === OPEN_LIST || byte === OPEN_OBJECT) depth++;
    else if (byte === CLOSE_LIST || byte === CLOSE_OBJECT) depth--;
    if (depth > MAX_DEPTH) throw wrong(`The body is nested deeper than ${MAX_DEPTH} levels.`);
  }
}

/** Where a string ends; behind the last byte when it does not. Nearly all of a body is strings: they are not read byte by byte. */
function closingQuote(bytes: Uint8Array, opening: number): number {
  for (let at = bytes.indexOf(QUOTE, opening + 1); at !== -1; at = bytes.indexOf(QUOTE, at + 1)) {
    let slashes = 0;
    while (bytes[at - 1 - slashes] === BACKSLASH) slashes++;
    if (slashes % 2 === 0) return at;
  }
  return bytes.byteLength;
}

/** What JSON.parse lets through and an engine may not: NUL, lone surrogates, numbers beyond what a double holds. */
function inspect(value: unknown, seen: { members: number; elements: number }): void {
  if (typeof value === "string" && (!value.isWellFormed() || value.includes("\0"))) {
    throw wrong("A string holds a NUL or half a surrogate pair.");
  }
  if (typeof value === "number" && !Number.isFinite(value)) throw wrong("A number is too large.");
  if (typeof value !== "object" || value === null) return;
  if (Array.isArray(value)) {
    seen.elements += value.length;
    if (seen.elements > MAX_ELEMENTS) throw wrong(`The body has more than ${MAX_ELEMENTS} list elements.`);
    for (const element of value) inspect(element, seen);
    return;
  }
  for (const [name, inner] of Object.entries(value)) {
    seen.members++;
    if (seen.members > MAX_MEMBERS) throw wrong(`The body has more than ${MAX_MEMBERS} members.`);
    if (name === "__proto__") throw wrong("A member may not be named __proto__.");
    inspect(name, seen);
    inspect(inner, seen);
  }
}

function wrong(message: string): Problem {
  return new Problem("invalid_json", { message });
}
