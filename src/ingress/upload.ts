/** The input file of batches that a request brings, in a form. */
import { LARGEST_FILE_BYTES, linesOf, MOST_LINES } from "#src/batches/file-store.ts";
import { concat } from "#src/bytes.ts";
import { wrongField } from "./fields.ts";
import { type FormPart, readParts, textOf } from "./multipart.ts";

const LONGEST_FILENAME = 255;

export type Upload = { readonly filename: string; readonly bytes: Uint8Array };

/**
 * Reads the form.
 *
 * @throws Problem `unsupported_media_type`, `request_too_large`, or `invalid_value` naming the field
 */
export async function uploadOf(request: Request): Promise<Upload> {
  const { parts } = await readParts(request, LARGEST_FILE_BYTES);
  const fields = new Map<string, FormPart>();
  for (const part of parts) {
    const { name } = part;
    if (name !== "file" && name !== "purpose") throw wrongField(name, "there is no such field");
    if (fields.has(name)) throw wrongField(name, "is repeated");
    fields.set(name, part);
  }
  const purpose = fields.get("purpose");
  if (purpose === undefined || purpose.filename !== null || textOf(purpose) !== "batch")
    throw wrongField("purpose", "must be batch");
  const file = fields.get("file");
  if (file === undefined || file.filename === null) throw wrongField("file", "must be a file");
  const bytes = concat(file.pieces);
  refuseManyLines(bytes);
  return { filename: file.filename.slice(0, LONGEST_FILENAME).toWellFormed(), bytes };
}

function refuseManyLines(bytes: Uint8Array): void {
  let lines = 0;
  for (const _line of linesOf(bytes)) {
    lines += 1;
    if (lines > MOST_LINES) throw wrongField("file", `has more than ${MOST_LINES} lines`);
  }
  if (lines === 0) throw wrongField("file", "is empty");
}
