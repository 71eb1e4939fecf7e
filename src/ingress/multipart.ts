/**
 * A form (`multipart/form-data`, RFC 7578) in parts, bounded in bytes and parts while it is read.
 *
 * Files stay in the pieces that they came in: an isolate has 128 MB for all its requests, and the platform's own
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
import { Blocks, concat, UTF8 } from "#src/bytes.ts";
import { Problem } from "#src/problem.ts";

/** All of a form but its file: fields, their names, and the lines that part them. */
const AROUND_BYTES = 64 * 1024;
const MOST_PARTS = 32;

export type FormPart = {
  readonly name: string;
  /** Null for a field, which is no file. */
  readonly filename: string | null;
  /** As the caller has it; "" for none. */
  readonly mediaType: string;
  readonly pieces: readonly Uint8Array[];
};

/**
 * Reads a form.
 *
 * @param maxFileBytes of its file, or of all its files together
 * @returns its parts in their order, and the bytes of the whole body
 * @throws Problem `unsupported_media_type`, `request_too_large`, `invalid_value`
 */
export async function readParts(
  request: Request,
  maxFileBytes: number,
): Promise<{ parts: readonly FormPart[]; bytes: number }> {
  const type = request.headers.get("content-type") ?? "";
  const encoding = request.headers.get("content-encoding") ?? "identity";
  const boundary = /^multipart\/form-data\s*;/i.test(type) ? getMultipartBoundary(type) : null;
  if (boundary === null || encoding.toLowerCase() !== "identity") {
    const message = "The body must be sent as multipart/form-data, uncompressed.";
    throw new Problem("unsupported_media_type", { message });
  }
  if (Number(request.headers.get("content-length") ?? 0) > maxFileBytes + AROUND_BYTES) throw tooLarge(maxFileBytes);
  try {
    return await parsed(request.body, boundary, maxFileBytes);
  } catch (cause) {
    if (cause instanceof MaxFileSizeExceededError || cause instanceof MaxTotalSizeExceededError)
      throw tooLarge(maxFileBytes);
    if (cause instanceof MultipartParseError) throw wrongForm(null, "The body is no multipart/form-data.", cause);
    throw cause;
  }
}

async function parsed(body: ReadableStream<Uint8Array> | null, boundary: string, maxFileBytes: number) {
  const maxBytes = maxFileBytes + AROUND_BYTES;
  const bounds = { maxFileSize: maxFileBytes, maxTotalSize: maxBytes, maxParts: MOST_PARTS };
  const parser = new MultipartParser(boundary, bounds);
  const parts: FormPart[] = [];
  const write = (block: Uint8Array): void => {
    try {
      for (const part of parser.write(block)) parts.push(partOf(part));
    } catch (cause) {
      // What comes behind the last boundary is to be ignored (RFC 2046, 5.1.1), and be it the line end of nearly every form.
      if (!(cause instanceof MultipartParseError && isFinished(parser))) throw cause;
    }
  };
  const blocks = new Blocks();
  let bytes = 0;
  // A form that is refused is left to the platform as well (`Rest`).
  for await (const piece of body?.values({ preventCancel: true }) ?? []) {
    bytes += piece.byteLength;
    if (bytes > maxBytes) throw tooLarge(maxFileBytes);
    const block = blocks.take(piece);
    if (block !== null) write(block);
  }
  write(blocks.rest());
  parser.finish();
  return { parts, bytes };
}

function isFinished(parser: MultipartParser): boolean {
  try {
    parser.finish();
    return true;
  } catch {
    return false;
  }
}

function partOf(part: MultipartPart): FormPart {
  try {
    const { name = "", filename = null, mediaType = "", content } = part;
    return { name, filename, mediaType, pieces: content };
  } catch (cause) {
    // The parser decodes what it is asked for, and says no more than that it cannot.
    throw wrongForm(null, "The header of a part is not UTF-8.", cause);
  }
}

/**
 * The text of a field.
 *
 * @throws Problem `invalid_value` for what is too long, no UTF-8, or holds a NUL
 */
export function textOf({ name, pieces }: FormPart): string {
  const bytes = concat(pieces);
  if (bytes.byteLength > AROUND_BYTES) throw wrongForm(name, "A field is too long.");
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch (cause) {
    throw wrongForm(name, "A field is not UTF-8.", cause);
  }
  if (text.includes("\0")) throw wrongForm(name, "A field holds a NUL.");
  return text;
}

/** What is wrong with a form. @param param the field at fault; null for the form itself */
export function wrongForm(param: string | null, message: string, cause?: unknown): Problem {
  return new Problem("invalid_value", { param, message, cause });
}

function tooLarge(maxFileBytes: number): Problem {
  return new Problem("request_too_large", {
    param: "file",
    message: `The file is larger than ${maxFileBytes} bytes.`,
  });
}
