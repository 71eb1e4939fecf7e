/**
 * One exchange with one host in its dialect: a stream that has begun, or a whole answer, or the host's refusal. What a
 * host sends is taken as hostile: wrong types, pages in HTML and bodies without end become refusals or errors here.
 */
import { readBounded } from "#src/bytes.ts";
import type { JsonObject } from "#src/json.ts";
import type { Reply } from "./attempt.ts";
import type { Dialect } from "./dialect.ts";
import { refusalOf } from "./engine-error.ts";
import type { Ask } from "./reach.ts";
import type { Source } from "./relay.ts";

/** A whole answer must fit an isolate many times over; a batch of embeddings is the largest honest one. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;

/** What travels to the host beside the body. */
export type Trace = { readonly requestId: string; readonly traceparent: string | null };

/** A whole answer: the document in OpenAI's shape, and the text to send on. */
export type WholeAnswer = { readonly document: JsonObject; readonly text: string };

/** Opens a stream. */
export async function openStream(
  ask: Ask,
  dialect: Dialect,
  trace: Trace,
  signal: AbortSignal,
): Promise<Reply<Source>> {
  const response = await post(ask, dialect, trace, "text/event-stream", signal);
  if (response.body === null || !isAnswer(response, "text/event-stream")) return refused(response);
  return { kind: "answer", answer: { body: response.body, stream: dialect.stream() } };
}

/** Asks for a whole answer and reads it to its end. */
export async function askWhole(
  ask: Ask,
  dialect: Dialect,
  trace: Trace,
  signal: AbortSignal,
): Promise<Reply<WholeAnswer>> {
  const response = await post(ask, dialect, trace, "application/json", signal);
  if (!isAnswer(response, "application/json")) return refused(response);
  const bytes = await readBounded(response.body, MAX_ANSWER_BYTES);
  if (bytes === null) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
  const text = new TextDecoder().decode(bytes);
  const document: unknown = JSON.parse(text);
  if (typeof document !== "object" || document === null || Array.isArray(document))
    throw new Error("the answer is not a JSON object");
  if (dialect.answer === null) return { kind: "answer", answer: { document: document as JsonObject, text } };
  const translated = dialect.answer(document as JsonObject);
  return { kind: "answer", answer: { document: translated, text: JSON.stringify(translated) } };
}

function post(ask: Ask, dialect: Dialect, trace: Trace, accept: string, signal: AbortSignal): Promise<Response> {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    accept,
    "x-request-id": trace.requestId,
  };
  if (trace.traceparent !== null) headers.traceparent = trace.traceparent;
  return ask(dialect.path, { method: "POST", headers, body: JSON.stringify(dialect.body), signal });
}

function isAnswer(response: Response, contentType: string): boolean {
  return response.status === 200 && (response.headers.get("content-type") ?? "").toLowerCase().startsWith(contentType);
}

async function refused(response: Response): Promise<Reply<never>> {
  const bytes = await readBounded(response.body, MAX_REFUSAL_BYTES);
  return refusalOf(response.status, response.headers, new TextDecoder().decode(bytes ?? new Uint8Array(0)), Date.now());
}
