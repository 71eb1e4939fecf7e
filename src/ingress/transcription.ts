/** What may be asked of a recording: OpenAI's fields for transcriptions, from a form, where everything is text. Pure. */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

export const FORMATS = ["json", "text", "srt", "verbose_json", "vtt"] as const;
export type Format = (typeof FORMATS)[number];

/** Content types of whole answers. */
const TYPES: Record<Format, string> = {
  json: "application/json",
  verbose_json: "application/json",
  text: "text/plain; charset=utf-8",
  srt: "application/x-subrip; charset=utf-8",
  vtt: "text/vtt; charset=utf-8",
};

/** Longer ones steer nothing: Whisper minds the last 224 tokens. */
const LONGEST_PROMPT = 4_096;

const fields = z.strictObject({
  model: z.string().min(1),
  /** ISO 639-1, or a longer tag. */
  language: z
    .string()
    .regex(/^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$/, "a language's code")
    .optional(),
  prompt: z.string().max(LONGEST_PROMPT).optional(),
  response_format: z.enum(FORMATS).default("json"),
  temperature: z.coerce.number().min(0).max(1).optional(),
  timestamp_granularities: z.array(z.enum(["word", "segment"])).optional(),
  stream: z.enum(["true", "false"]).optional(),
});

/** The checked fields, and the content type of the answer. */
export type Transcription = { readonly body: JsonObject & { readonly model: string }; readonly answerType: string };

/**
 * Checks the fields of a form.
 *
 * @throws Problem `invalid_value` or `unsupported_value`, with `param` naming the field
 */
export function transcriptionOf(document: JsonObject): Transcription {
  const result = fields.safeParse(document);
  if (!result.success) {
    const [issue] = result.error.issues;
    if (issue?.code === "unrecognized_keys") {
      const param = issue.keys[0] ?? null;
      throw new Problem("unsupported_value", { param, message: `${param} is not a field of this route.` });
    }
    const param = issue?.path.join(".") || null;
    throw new Problem("invalid_value", { param, message: `${param ?? "The form"}: ${issue?.message ?? "is wrong"}` });
  }
  const { stream, ...body } = result.data;
  if (stream === "true") {
    const message = "Transcriptions are not streamed here; leave stream out.";
    throw new Problem("unsupported_value", { param: "stream", message });
  }
  if (body.timestamp_granularities !== undefined && body.response_format !== "verbose_json") {
    const message = "timestamp_granularities needs the response_format verbose_json.";
    throw new Problem("invalid_value", { param: "timestamp_granularities", message });
  }
  return { body, answerType: TYPES[body.response_format] };
}
