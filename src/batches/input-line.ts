/** One line of an input file, checked as far as it can be before anything is run. Pure. */
import { z } from "zod";
import { duplicateMember } from "#src/strict-json.ts";
import type { LineError } from "./batch.ts";

export const ENDPOINTS = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] as const;
export type Endpoint = (typeof ENDPOINTS)[number];

export type InputLine = {
  readonly customId: string;
  /** The body's, for which nothing has been checked; "" when it names none, or none that can be one. */
  readonly model: string;
  /** The request's body, as JSON made anew. */
  readonly body: string;
};

const LONGEST_NAME = 512;

const shape = z.strictObject({
  custom_id: z.string().regex(new RegExp(`^.{1,${LONGEST_NAME}}$`, "su"), `1 to ${LONGEST_NAME} characters`),
  method: z.literal("POST", "must be POST"),
  url: z.string("must be the batch's endpoint"),
  body: z.record(z.string(), z.unknown(), "must be an object"),
});

/**
 * Reads a line.
 *
 * @param text without its line end
 * @param number from 1
 * @returns the line, or what is wrong with it in OpenAI's shape
 */
export function readLine(text: string, number: number, endpoint: Endpoint): InputLine | LineError {
  const wrong = (code: string, message: string, param: string | null = null): LineError => {
    return { code, message, param, line: number };
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return wrong("invalid_json_line", "This line is not valid JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return wrong("invalid_json_line", "This line is not a JSON object.");
  if (duplicateMember(text, 2) !== null) return wrong("invalid_json_line", "A member stands twice in this line.");
  const result = shape.safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    const param = issue?.code === "unrecognized_keys" ? null : (issue?.path.join(".") ?? null);
    const reason = issue?.code === "unrecognized_keys" ? "only custom_id, method, url and body are taken" : "";
    return wrong("invalid_request_line", `${param ?? "The line"}: ${reason || (issue?.message ?? "is wrong")}.`, param);
  }
  const { custom_id: customId, url, body } = result.data;
  if (url !== endpoint) return wrong("mismatched_url", `url: must be the batch's endpoint, ${endpoint}.`, "url");
  if (body.stream === true)
    return wrong("stream_not_supported", "body.stream: nobody is there to read.", "body.stream");
  // It is kept with the batch while the line runs.
  const model = typeof body.model === "string" && body.model.length <= LONGEST_NAME ? body.model : "";
  return { customId, model, body: JSON.stringify(body) };
}

export function isError(line: InputLine | LineError): line is LineError {
  return "code" in line;
}
