/**
 * A request whose body is a form with a recording (`multipart/form-data`), bounded in bytes and fields. What is
 * forwarded later is made anew from these values: neither the caller's bytes nor its names for things reach a host.
 */
import { readBounded } from "#src/bytes.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

/** OpenAI's own bound on a recording, in bytes. */
export const MAX_FILE_BYTES = 25 * 1024 * 1024;
/** The form around it: fields, their names, and the lines that part them. */
const MAX_FORM_BYTES = MAX_FILE_BYTES + 64 * 1024;
const MAX_FIELDS = 32;

/** A recording as it goes to a host: in a type and with an ending of this list, or with none that means anything. */
export type Recording = { readonly bytes: Blob; readonly name: string };

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
  if (!/^multipart\/form-data\s*;/i.test(type) || (encoding !== null && encoding.toLowerCase() !== "identity")) {
    const message = "The body must be sent as multipart/form-data, uncompressed.";
    throw new Problem("unsupported_media_type", { message });
  }
  const declaredBytes = Number(request.headers.get("content-length") ?? 0);
  const bytes = declaredBytes > MAX_FORM_BYTES ? null : await readBounded(request.body, MAX_FORM_BYTES);
  if (bytes === null) throw tooLarge();
  const form = await new Response(bytes, { headers: { "content-type": type } }).formData().catch((cause: unknown) => {
    throw new Problem("invalid_value", { message: "The body is no multipart/form-data.", cause });
  });
  return { ...fieldsOf(form), bytes: bytes.byteLength };
}

function fieldsOf(form: FormData): { document: JsonObject; recording: Recording } {
  const entries = [...form];
  if (entries.length > MAX_FIELDS) throw wrong(null, `The form has more than ${MAX_FIELDS} fields.`);
  const fields = new Map<string, string | string[]>();
  let recording: Recording | null = null;
  for (const [written, value] of entries) {
    const name = written.replace(LISTS, "");
    if (typeof value !== "string") {
      if (name !== "file" || recording !== null) throw wrong(name, "The form has one file, named file.");
      recording = recordingOf(value);
      continue;
    }
    if (!value.isWellFormed() || value.includes("\0")) throw wrong(name, "A field holds a NUL or is not UTF-8.");
    const before = fields.get(name);
    if (before !== undefined && !Array.isArray(before)) throw wrong(name, "A field stands twice in the form.");
    if (!LISTS.test(written)) {
      if (before !== undefined) throw wrong(name, "A field stands twice in the form.");
      fields.set(name, value);
    } else fields.set(name, [...(before ?? []), value]);
  }
  if (recording === null) throw wrong("file", "The form has no file.");
  return { document: Object.fromEntries(fields), recording };
}

function recordingOf(file: File): Recording {
  if (file.size === 0) throw wrong("file", "The file is empty.");
  if (file.size > MAX_FILE_BYTES) throw tooLarge();
  const ending = /\.([a-z0-9]+)$/i.exec(file.name)?.[1]?.toLowerCase() ?? "";
  const type = /^(audio|video)\/[\w.+-]{1,64}$/.test(file.type) ? file.type : "application/octet-stream";
  return { bytes: file.slice(0, file.size, type), name: ENDINGS.includes(ending) ? `audio.${ending}` : "audio" };
}

function tooLarge(): Problem {
  return new Problem("request_too_large", {
    param: "file",
    message: `The file is larger than ${MAX_FILE_BYTES} bytes.`,
  });
}

function wrong(param: string | null, message: string): Problem {
  return new Problem("invalid_value", { param, message });
}
