/** `/v1/audio/transcriptions`: a form to a host, and its answer in the format that the caller asked for. Pure. */
import { z } from "zod";
import { audioTokens } from "#src/audio.ts";
import type { Host } from "#src/catalog/schema.ts";
import type { Recording } from "#src/ingress/form.ts";
import type { JsonObject } from "#src/json.ts";
import type { Form } from "./form-body.ts";
import { subtitles } from "./subtitles.ts";
import { counts, NOTHING_YET, type Tally } from "./tally.ts";

/** Whether the host writes texts and subtitles itself. vLLM answers JSON whatever it is asked for, and no subtitles. */
function writesTexts({ engine }: Pick<Host, "engine">): boolean {
  return engine === "openai";
}

/** Whether an answer may come as text and not as JSON. */
export function mayBeText(host: Pick<Host, "engine">, { response_format: format }: JsonObject): boolean {
  return writesTexts(host) && (format === "text" || format === "srt" || format === "vtt");
}

/** The form for a host: the checked fields under their own names, and the recording. */
export function transcriptionForm(host: Host, body: JsonObject, file: Recording, model: string): Form {
  const { model: _catalogs, timestamp_granularities: granularities, response_format: format, ...rest } = body;
  const fields: (readonly [string, string])[] = [
    ["model", model],
    ["response_format", askedFormat(host, String(format))],
  ];
  for (const [field, value] of Object.entries(rest)) if (value != null) fields.push([field, String(value)]);
  if (Array.isArray(granularities)) for (const one of granularities) fields.push(["timestamp_granularities[]", one]);
  return { fields, file };
}

function askedFormat(host: Host, format: string): string {
  if (writesTexts(host)) return format;
  return format === "json" || format === "text" ? "json" : "verbose_json";
}

const segment = z.looseObject({ start: z.number().nonnegative(), end: z.number().nonnegative(), text: z.string() });
const said = z.looseObject({ text: z.string(), segments: z.array(segment).nullish() });

/**
 * What the caller is to read.
 *
 * @throws Error when the host's answer does not hold it
 */
export function transcriptionText(
  host: Pick<Host, "engine">,
  { response_format: format }: JsonObject,
  document: JsonObject,
): string {
  const { text, segments } = said.parse(document);
  if (format !== "text" && format !== "srt" && format !== "vtt") return JSON.stringify(document);
  if (format === "text" || writesTexts(host)) return text.endsWith("\n") ? text : `${text}\n`;
  if (segments == null) throw new Error("the host told no segments");
  return subtitles(format, segments);
}

const count = z.number().int().nonnegative().optional().catch(undefined);
const usage = z.looseObject({
  input_tokens: count,
  output_tokens: count,
  seconds: z.number().nonnegative().optional().catch(undefined),
});
const counted = z.looseObject({
  text: z.string().catch(""),
  usage: usage.nullish().catch(null),
  /** whisper-1 writes it as a number, vLLM as text. */
  duration: z.coerce.number().nonnegative().nullish().catch(null),
});
/** English prose, as everywhere here. */
const CHARACTERS_PER_TOKEN = 4;

/** In tokens where the engine tells them; else the sound by its seconds, if those are told, and the words by their length. */
export function transcriptionTally(document: JsonObject): Tally {
  const known = counts(document);
  if (known !== null) return { ...NOTHING_YET, ...known };
  const { text, usage: told, duration } = counted.parse(document);
  if (told?.input_tokens !== undefined) {
    return { ...NOTHING_YET, promptTokens: told.input_tokens, completionTokens: told.output_tokens ?? 0 };
  }
  const seconds = told?.seconds ?? duration ?? null;
  const contentPieces = Math.ceil(text.length / CHARACTERS_PER_TOKEN);
  return { ...NOTHING_YET, promptTokens: seconds === null ? null : audioTokens(seconds), contentPieces };
}
