/** A form with one file as it travels (RFC 7578), without a copy of the file: its pieces are written as they are. Pure. */
import type { Recording } from "#src/ingress/form.ts";

export type Form = { readonly fields: readonly (readonly [name: string, value: string])[]; readonly file: Recording };

/**
 * Writes a form.
 *
 * @param form names of fields and of the file are the gateway's own, and hold nothing that would have to be quoted
 * @param boundary one that no caller can know, so that no value can hold it
 */
export function formBody({ fields, file }: Form, boundary: string): { type: string; body: ReadableStream<Uint8Array> } {
  const head = fields.map(([name, value]) => part(boundary, `name="${name}"`, value)).join("");
  const opening = `--${boundary}\r\n${disposition(`name="file"; filename="${file.name}"`)}content-type: ${file.type}\r\n\r\n`;
  const utf8 = new TextEncoder();
  const pieces = [utf8.encode(head + opening), ...file.pieces, utf8.encode(`\r\n--${boundary}--\r\n`)];
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  let at = 0;
  const source = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const piece = pieces[at++];
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
    },
    { highWaterMark: 0 },
  );
  // Its length is told, because not every server takes a body without.
  return { type: `multipart/form-data; boundary=${boundary}`, body: source.pipeThrough(new FixedLengthStream(bytes)) };
}

function part(boundary: string, name: string, value: string): string {
  return `--${boundary}\r\n${disposition(name)}\r\n${value}\r\n`;
}

function disposition(names: string): string {
  return `content-disposition: form-data; ${names}\r\n`;
}
