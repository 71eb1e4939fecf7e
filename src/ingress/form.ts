/**
 * A request whose body is a form with a recording (`multipart/form-data`), bounded in bytes and fields. What is
 * forwarded later is made anew from these values: neither the caller's bytes nor its names for things reach a host.
 *
 * The recording stays in the pieces that it came in: an isolate has 128 MB for all its requests, and the platform's own
 * `formData` takes seven times the size of a file (measured; see `upstream/form-body.ts`).
 */
import {
  getMultipartBoundary,
  MaxFileSizeExceededError,
  MaxTotalSizeExceededError,
  MultipartParseError,
  MultipartParser,
  type MultipartPart,
} from "@remix-run/multipart-parser";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

/** OpenAI's own bound on a recording, in bytes. */
export const MAX_FILE_BYTES = 25 * 1024 * 1024;
/** The form around it: fields, their names, and the lines that part them. */
const MAX_FORM_BYTES = MAX_FILE_BYTES + 64 * 1024;
const MAX_FIELDS = 32;

/** A recording as it goes to a host: of a type and with an ending that are known, or with none that mean anything. */
export type Recording = { readonly pieces: readonly Uint8Array[]; readonly type: string; readonly name: string };

/** The formats that OpenAI documents. Engines go by the ending of the file's name. */
const ENDINGS = ["flac", "mp3", "mp4", "mpeg", "mpga", "m4a", "ogg", "wav", "webm"];

const LISTS = /\[\]$/;

/**
 * Reads the form.
 *
 * @returns its fields, a list where the name ends in `[]`, without the file; the recording; and the bytes of it all
 * @throws Problem `unsupported_media_type`, `request_too_large`, `invalid_value`
 */
export async function readForm(
  request: Request,
): Promise<{ document: JsonObject; bytes: number; recording: Recording }> {
  const type = request.headers.get("content-type") ?? "";
  const encoding = request.headers.get("content-encoding");
  const boundary = /^multipart\/form-data\s*;/i.test(type) ? getMultipartBoundary(type) : null;
  if (boundary === null || (encoding !== null && encoding.toLowerCase() !== "identity")) {
    const message = "The body must be sent as multipart/form-data, uncompressed.";
    throw new Problem("unsupported_media_type", { message });
  }
  if (Number(request.headers.get("content-length") ?? 0) > MAX_FORM_BYTES) throw tooLarge();
  const { parts, bytes } = await partsOf(request.body, boundary);
  return { ...fieldsOf(parts), bytes };
}

async function partsOf(
  body: ReadableStream<Uint8Array> | null,
  boundary: string,
): Promise<{ parts: readonly MultipartPart[]; bytes: number }> {
  const bounds = { maxFileSize: MAX_FILE_BYTES, maxTotalSize: MAX_FORM_BYTES, maxParts: MAX_FIELDS };
  const parser = new MultipartParser(boundary, bounds);
  const parts: MultipartPart[] = [];
  let bytes = 0;
  try {
    for await (const piece of body ?? []) {
      bytes += piece.byteLength;
      if (bytes > MAX_FORM_BYTES) throw tooLarge();
      parts.push(...parser.write(piece));
    }
    parser.finish();
  } catch (cause) {
    if (cause instanceof MaxFileSizeExceededError || cause instanceof MaxTotalSizeExceededError) throw tooLarge();
    if (cause instanceof MultipartParseError) throw wrong(null, "The body is no multipart/form-data.", cause);
    throw cause;
  }
  return { parts, bytes };
}

function fieldsOf(parts: readonly MultipartPart[]): { document: JsonObject; recording: Recording } {
  const fields = new Map<string, string | string[]>();
  let recording: Recording | null = null;
  for (const part of parts) {
    const name = (part.name ?? "").replace(LISTS, "");
    if (part.filename !== undefined) {
      if (name !== "file" || recording !== null) throw wrong(name, "The form has one file, named file.");
      recording = recordingOf(part, part.filename);
      continue;
    }
    const before = fields.get(name);
    const isList = LISTS.test(part.name ?? "");
    if (before !== undefined && (!isList || !Array.isArray(before))) throw wrong(name, "A field stands twice.");
    const text = textOf(part, name);
    fields.set(name, isList ? [...(before ?? []), text] : text);
  }
  if (recording === null) throw wrong("file", "The form has no file.");
  return { document: Object.fromEntries(fields), recording };
}

function textOf({ bytes }: MultipartPart, name: string): string {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch (cause) {
    throw wrong(name, "A field is not UTF-8.", cause);
  }
  throw wrong(name, "A field holds a NUL.");
}

function recordingOf({ content, mediaType = "" }: MultipartPart, filename: string): Recording {
  if (!content.some((piece) => piece.byteLength > 0)) throw wrong("file", "The file is empty.");
  const ending = /\.([a-z0-9]+)$/i.exec(filename)?.[1]?.toLowerCase() ?? "";
  const type = /^(audio|video)\/[\w.+-]{1,64}$/.test(mediaType) ? mediaType : "application/octet-stream";
  return { pieces: content, type, name: ENDINGS.includes(ending) ? `audio.${ending}` : "audio" };
}

function tooLarge(): Problem {
  return new Problem("request_too_large", {
    param: "file",
    message: `The file is larger than ${MAX_FILE_BYTES} bytes.`,
  });
}

function wrong(param: string | null, message: string, cause?: unknown): Problem {
  return new Problem("invalid_value", { param, message, cause });
}
