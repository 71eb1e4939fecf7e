/**
 * One exchange with one host in its dialect: a stream that has begun, or a whole answer, or the host's refusal. What a
 * host sends is taken as hostile: wrong types, pages in HTML and bodies without end become refusals or errors here.
 */
import { concat, readBounded, UTF8 } from "#src/bytes.ts";
import type { Protocol } from "#src/ingress/wording.ts";
import type { JsonObject } from "#src/json.ts";
import type { AnswerStream } from "./answer-stream.ts";
import type { Reply } from "./attempt.ts";
import { SaidOtherwise } from "./continued-stream.ts";
import type { Dialect } from "./dialect.ts";
import { refusalOf } from "./engine-error.ts";
import { formBody } from "./form-body.ts";
import type { Ask } from "./reach.ts";
import { type Tally, tallyOf } from "./tally.ts";
import type { Source } from "./telling.ts";

/** A whole answer must fit an isolate many times over; a batch of embeddings is the largest honest one. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024;
const MAX_REFUSAL_BYTES = 64 * 1024;

/** What travels to the host beside the body. */
export type Trace = { readonly requestId: string; readonly traceparent: string | null };

/** A whole answer: the document in OpenAI's shape, the text to send on, in whose words that is, and what it has cost. */
export type WholeAnswer = {
  readonly document: JsonObject;
  readonly text: string;
  readonly protocol: Protocol;
  readonly tally: Tally;
};

/** What may come before the first content: roles, pings, comments. */
const MAX_HEAD_BYTES = 256 * 1024;

/**
 * Opens a stream and reads it up to its first content: until then another host can still take over, and nothing has
 * reached the caller.
 *
 * @param reached called with the headers
 */
export async function openStream(
  ask: Ask,
  dialect: Dialect,
  trace: Trace,
  signal: AbortSignal,
  reached: () => void,
): Promise<Reply<Source>> {
  const response = await post(ask, dialect, trace, "text/event-stream", signal);
  reached();
  if (response.body === null || !isAnswer(response, "text/event-stream")) return refused(response);
  const reader = response.body.getReader();
  const stream = dialect.stream();
  try {
    return { kind: "answer", answer: { reader, stream, head: await readHead(reader, stream) } };
  } catch (cause) {
    await reader.cancel().catch(() => undefined);
    const { otherwise } = dialect;
    if (!(cause instanceof SaidOtherwise) || otherwise === undefined) throw cause;
    return openStream(ask, otherwise(stream), trace, signal, reached);
  }
}

async function readHead(reader: Source["reader"], stream: AnswerStream): Promise<Uint8Array | null> {
  const head: Uint8Array[] = [];
  for (let seenBytes = 0; !stream.hasContent && !stream.endedWell; ) {
    const part = await reader.read();
    const out = part.done ? stream.finish() : stream.push(part.value);
    if (part.done && out === null) throw new Error("the host ended the stream before its answer");
    // What broke behind the first content is the relay's to tell: it has that content to pass on first.
    if (stream.broken !== null && !stream.hasContent) throw stream.broken;
    if (out !== null) head.push(out);
    seenBytes += part.value?.byteLength ?? 0;
    if (seenBytes > MAX_HEAD_BYTES && !stream.hasContent) throw new Error("the host talks without an answer");
  }
  return head.length === 0 ? null : concat(head);
}

/** Asks for a whole answer and reads it to its end. */
export async function askWhole(
  ask: Ask,
  dialect: Dialect,
  trace: Trace,
  signal: AbortSignal,
): Promise<Reply<WholeAnswer>> {
  const response = await post(ask, dialect, trace, "application/json", signal);
  const isText = dialect.isText === true && isAnswer(response, "text/");
  if (!isText && !isAnswer(response, "application/json")) return refused(response);
  const bytes = await readBounded(response, MAX_ANSWER_BYTES);
  if (bytes === null) throw new Error(`the answer is larger than ${MAX_ANSWER_BYTES} bytes`);
  // What is not UTF-8 is no answer: clients would read another text than was counted, or fall over it.
  const text = UTF8.decode(bytes);
  const document: unknown = isText ? { text } : JSON.parse(text);
  if (typeof document !== "object" || document === null || Array.isArray(document))
    throw new Error("the answer is not a JSON object");
  if (isError(document)) return refusalOf(502, response.headers, text, Date.now());
  if (dialect.answer === null) {
    if (!("choices" in document) && !("data" in document)) throw new Error("the document holds no answer");
    const whole = document as JsonObject;
    return { kind: "answer", answer: { document: whole, text, protocol: "openai", tally: tallyOf(whole) } };
  }
  const said = document as JsonObject;
  if (dialect.next !== undefined) return askWhole(ask, dialect.next(said), trace, signal);
  const translated = dialect.answer(said);
  const { protocol = "openai", say = JSON.stringify, tally = () => tallyOf(translated) } = dialect;
  const passed = protocol === "openai" ? say(translated) : text;
  return { kind: "answer", answer: { document: translated, text: passed, protocol, tally: tally(said) } };
}

/**
 * Puts a question to a host and waits for its headers.
 *
 * @param accept the type that is asked for
 * @throws whatever `ask` throws: the host cannot be reached, or the signal ended it
 */
export function post(
  ask: Ask,
  dialect: Pick<Dialect, "path" | "body" | "form">,
  trace: Trace,
  accept: string,
  signal: AbortSignal,
): Promise<Response> {
  const { type, body } = written(dialect);
  const headers: Record<string, string> = { "content-type": type, accept, "x-request-id": trace.requestId };
  if (trace.traceparent !== null) headers.traceparent = trace.traceparent;
  return ask(dialect.path, { method: "POST", headers, body, signal });
}

function written({ form, body }: Pick<Dialect, "form" | "body">): {
  type: string;
  body: string | ReadableStream<Uint8Array>;
} {
  if (form !== undefined) return formBody(form, crypto.randomUUID());
  return { type: "application/json", body: JSON.stringify(body) };
}

function isAnswer(response: Response, contentType: string): boolean {
  return response.status === 200 && (response.headers.get("content-type") ?? "").toLowerCase().startsWith(contentType);
}

/** Some proxies and engines report an error with status 200. */
function isError(document: object): boolean {
  return ("error" in document && document.error != null) || ("object" in document && document.object === "error");
}

async function refused(response: Response): Promise<Reply<never>> {
  const bytes = await readBounded(response, MAX_REFUSAL_BYTES);
  return refusalOf(response.status, response.headers, new TextDecoder().decode(bytes ?? new Uint8Array(0)), Date.now());
}
