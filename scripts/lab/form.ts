// Reading a multipart form: its fields as a JSON body would have them, and its one file.
import { BadField, type Json } from "./fields.ts";

export interface LabFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: Buffer;
}

export interface Form {
  readonly fields: Json;
  readonly file: LabFile | null;
}

/** The form of a body; null where the content type is none of a form. @throws BadField when the body is no form */
export async function readForm(contentType: string | undefined, body: Buffer): Promise<Form | null> {
  if (contentType === undefined || !contentType.startsWith("multipart/form-data")) return null;
  const form = await new Response(new Uint8Array(body), { headers: { "content-type": contentType } })
    .formData()
    .catch(() => {
      throw new BadField("body", "There was an error parsing the body");
    });
  const fields: Record<string, unknown> = {};
  let file: LabFile | null = null;
  for (const [name, value] of form) {
    if (typeof value !== "string")
      file = { name: value.name, type: value.type, bytes: Buffer.from(await value.arrayBuffer()) };
    else if (name.endsWith("[]")) fields[name] = form.getAll(name);
    else fields[name] = value;
  }
  return { fields, file };
}
