/**
 * A request whose body is a form with a recording (`multipart/form-data`), bounded in bytes and fields. What is
 * forwarded later is made anew from these values: neither the caller's bytes nor its names for things reach a host.
 */
import type { JsonObject } from "#src/json.ts";
import { type FormPart, readParts, textOf, wrongForm } from "./multipart.ts";

/** OpenAI's own bound on a recording, in bytes. */
export const MAX_FILE_BYTES = 25 * 1024 * 1024;

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
  const { parts, bytes } = await readParts(request, MAX_FILE_BYTES);
  return { ...fieldsOf(parts), bytes };
}

function fieldsOf(parts: readonly FormPart[]): { document: JsonObject; recording: Recording } {
  const fields = new Map<string, string | string[]>();
  let recording: Recording | null = null;
  for (const part of parts) {
    const name = part.name.replace(LISTS, "");
    if (part.filename !== null) {
      if (name !== "file" || recording !== null) throw wrongForm(name, "The form has one file, named file.");
      recording = recordingOf(part, part.filename);
      continue;
    }
    const before = fields.get(name);
    const isList = LISTS.test(part.name);
    if (before !== undefined && (!isList || !Array.isArray(before))) throw wrongForm(name, "A field stands twice.");
    const text = textOf({ ...part, name });
    fields.set(name, isList ? [...(before ?? []), text] : text);
  }
  if (recording === null) throw wrongForm("file", "The form has no file.");
  return { document: Object.fromEntries(fields), recording };
}

function recordingOf({ pieces, mediaType }: FormPart, filename: string): Recording {
  if (!pieces.some((piece) => piece.byteLength > 0)) throw wrongForm("file", "The file is empty.");
  const ending = /\.([a-z0-9]+)$/i.exec(filename)?.[1]?.toLowerCase() ?? "";
  const type = /^(audio|video)\/[\w.+-]{1,64}$/.test(mediaType) ? mediaType : "application/octet-stream";
  return { pieces, type, name: ENDINGS.includes(ending) ? `audio.${ending}` : "audio" };
}
