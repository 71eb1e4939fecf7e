/**
 * `GET /stream/chat/{model}?message=...`: one question in a URL, and its answer as chat completions stream it, for
 * `EventSource`, which can send neither a body nor a header.
 *
 * An EventSource asks again by itself when an answer ends. So its last event, named `end`, is for the page to close it;
 * and a page that does not is answered 204, which stops it (WHATWG HTML, 9.2.3), instead of paying for a second answer.
 */
import { z } from "zod";
import { Problem } from "#src/problem.ts";
import type { Call, ProvenCall } from "./call.ts";
import { queryOf } from "./fields.ts";
import { generate } from "./generate.ts";
import { questionOf } from "./question.ts";
import { placeOf } from "./region.ts";

const number = z
  .string()
  .regex(/^-?\d{1,12}(\.\d{1,6})?$/, "a number")
  .transform(Number)
  .optional();
const query = z.strictObject({
  message: z.string().min(1),
  system: z.string().min(1).optional(),
  max_tokens: number,
  temperature: number,
  top_p: number,
  seed: number,
  /** Looked at by the door. */
  ticket: z.string().optional(),
});

/** An EventSource that comes back: it sends the id of the answer that it had (see `framed`). */
export function comesBack({ request }: Call): Response | null {
  const seen = request.headers.get("last-event-id");
  return seen === null || seen === "" ? null : new Response(null, { status: 204 });
}

/**
 * Answers one question with an event stream.
 *
 * @param model a model's name, or an alias
 * @throws Problem as `generate` does, and `method_not_allowed` for HEAD, which would pay for an answer and not see it
 */
export async function streamChat(call: ProvenCall, model: string): Promise<Response> {
  const { request, requestId } = call;
  if (request.method !== "GET") throw new Problem("method_not_allowed", { headers: { allow: "GET" } });
  const { message, system, ticket: _ticket, ...options } = queryOf(query, request.url);
  const user = { role: "user", content: message };
  const messages = system === undefined ? [user] : [{ role: "system", content: system }, user];
  const headers = new Headers(request.headers);
  headers.set("content-type", "application/json");
  // What the request says of its own body, which it has not.
  for (const framing of ["content-length", "transfer-encoding", "content-encoding"]) headers.delete(framing);
  const asked = new Request(new URL("/v1/chat/completions", request.url), {
    method: "POST",
    headers,
    body: JSON.stringify({ ...options, model, messages, stream: true }),
    signal: request.signal,
    cf: { ...placeOf(request) },
  });
  const answer = await generate({ ...call, request: asked }, (document) => questionOf("chat", document));
  return new Response(answer.body === null ? null : framed(answer.body, requestId), answer);
}

/**
 * An answer for an EventSource: before it the id that it will come back with, an event of no data that no page sees, and
 * behind it the event `end`. Nothing is read before it is asked for, and who leaves has left the answer.
 */
export function framed(answer: ReadableStream<Uint8Array>, requestId: string): ReadableStream<Uint8Array> {
  const reader = answer.getReader();
  const utf8 = new TextEncoder();
  let hasBegun = false;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!hasBegun) {
          hasBegun = true;
          controller.enqueue(utf8.encode(`id: ${requestId}\n\n`));
          return;
        }
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        controller.enqueue(utf8.encode(`event: end\ndata: ${JSON.stringify({ request_id: requestId })}\n\n`));
        controller.close();
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  );
}
