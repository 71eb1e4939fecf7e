/**
 * A file in a form (`multipart/form-data`, RFC 7578), bounded before it is parsed: the body is read no further than the
 * largest file and a little for the form around it.
 */
import { LARGEST_FILE_BYTES, linesOf, MOST_LINES } from "#src/batches/file-store.ts";
import { readBounded } from "#src/bytes.ts";
import { Problem } from "#src/problem.ts";
import { wrongField } from "./fields.ts";

/** Boundaries, part headers and the purpose. */
const FORM_BYTES = 64 * 1024;
const LONGEST_FILENAME = 255;

export type Upload = { readonly filename: string; readonly bytes: Uint8Array };

/**
 * The input file of batches that a request brings.
 *
 * @throws Problem `unsupported_media_type`, `request_too_large`, or `invalid_value` naming the field
 */
export async function uploadOf(request: Request): Promise<Upload> {
  const form = await formOf(request);
  for (const field of form.keys()) {
    if (field !== "file" && field !== "purpose") throw wrongField(field, "there is no such field");
    if (form.getAll(field).length > 1) throw wrongField(field, "is repeated");
  }
  if (form.get("purpose") !== "batch") throw wrongField("purpose", "must be batch");
  const file = form.get("file");
  if (file === null || typeof file === "string") throw wrongField("file", "must be a file");
  if (file.size > LARGEST_FILE_BYTES) throw tooLarge();
  const bytes = new Uint8Array(await file.arrayBuffer());
  refuseManyLines(bytes);
  return { filename: file.name.slice(0, LONGEST_FILENAME).toWellFormed(), bytes };
}

async function formOf(request: Request): Promise<FormData> {
  const type = request.headers.get("content-type") ?? "";
  const encoding = request.headers.get("content-encoding") ?? "identity";
  if (!/^multipart\/form-data\s*;/i.test(type) || encoding.toLowerCase() !== "identity") {
    const message = "The body must be sent as multipart/form-data, uncompressed.";
    throw new Problem("unsupported_media_type", { message });
  }
  const mostBytes = LARGEST_FILE_BYTES + FORM_BYTES;
  const declaredBytes = Number(request.headers.get("content-length") ?? 0);
  const bytes = declaredBytes > mostBytes ? null : await readBounded(request.body, mostBytes);
  if (bytes === null) throw tooLarge();
  try {
    return await new Response(bytes, { headers: { "content-type": type } }).formData();
  } catch (cause) {
    throw new Problem("invalid_value", { message: "The body is no valid multipart form.", cause });
  }
}

function refuseManyLines(bytes: Uint8Array): void {
  let lines = 0;
  for (const _line of linesOf(bytes)) {
    lines += 1;
    if (lines > MOST_LINES) throw wrongField("file", `has more than ${MOST_LINES} lines`);
  }
  if (lines === 0) throw wrongField("file", "is empty");
}

function tooLarge(): Problem {
  return new Problem("request_too_large", { message: `The file is larger than ${LARGEST_FILE_BYTES} bytes.` });
}
