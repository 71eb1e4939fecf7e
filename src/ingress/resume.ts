/**
 * The inference routes, and answers that outlive their caller's connection. A streamed question with the header
 * `x-causeway-resumable: true` is answered inside an object of its own (`resumable/resumable.do.ts`). Its answer names the
 * stream, its events have ids, and whoever comes back with the last id that it saw gets the rest, by
 * `GET /v1/streams/{id}` or by the same request again. Only the account that asked may.
 */
import { z } from "zod";
import type { Env } from "#src/env.ts";
import { Problem } from "#src/problem.ts";
import { parseDocument, readBody } from "./body.ts";
import type { KnownCall } from "./call.ts";
import { type CarriedCall, carriedOf } from "./carried-call.ts";
import { refuseRetired } from "./conduct.ts";
import { queryOf, wrongField } from "./fields.ts";
import { generate } from "./generate.ts";
import { readerOf } from "./questions.ts";
import { type Place, placeOf, streamOf } from "./resumable/event-id.ts";
import { follow } from "./resumable/follow.ts";
import type { Opened } from "./resumable/kept-stream.ts";
import { type LastWords, lastWordsOf } from "./resumable/last-words.ts";
import type { Begun } from "./resumable/resumable.do.ts";

const WISH = "x-causeway-resumable";
const LAST_SEEN = "last-event-id";
const UNREACHABLE_RETRY_AFTER_S = 2;
const CROWDED_RETRY_AFTER_S = 2;

/**
 * `POST` to an inference route.
 *
 * @throws Problem as `generate` does, `invalid_value` for a wish that cannot be met, and as `continueStream` does
 */
export async function ask(call: KnownCall): Promise<Response> {
  const { headers } = call.request;
  const wish = headers.get(WISH);
  if (wish === null || wish === "false") return generate(call, readerOf(call));
  if (wish !== "true") throw wrongField(WISH, "true or false");
  const seen = headers.get(LAST_SEEN);
  if (seen === null || seen === "") return begin(call);
  const place = placeOf(seen, null);
  if (place === null) throw wrongField("Last-Event-ID", "the id of an event of a stream");
  // This route hears of a revoked key with its lease, and there is none here.
  await refuseRetired(call.env, call.principal);
  return resume(call, place);
}

const query = z.strictObject({ after: z.string().optional() });

/**
 * `GET /v1/streams/{id}`: what comes behind the event in `Last-Event-ID`, else in `?after=`, else from the beginning.
 *
 * @throws Problem `stream_not_found`, also for another caller's; `stream_events_gone`; `invalid_value` for an id that is
 *   none of this stream's; `rate_limit_exceeded` when too many read it; `unavailable`
 */
export async function continueStream(call: KnownCall, id: string): Promise<Response> {
  const { after } = queryOf(query, call.request.url);
  const stream = streamOf(id);
  if (stream === null) throw new Problem("stream_not_found");
  // What a client has seen since it was given the URL is newer than the URL.
  const header = call.request.headers.get(LAST_SEEN) || undefined;
  const place = placeOf(header ?? after ?? "0", stream);
  if (place === null)
    throw wrongField(header === undefined ? "after" : "Last-Event-ID", "the id of an event of this stream");
  return resume(call, place);
}

/** `DELETE /v1/streams/{id}`: gives the answer up where it is still being made, and forgets it. */
export async function endStream(call: KnownCall, id: string): Promise<Response> {
  const stream = streamOf(id);
  const ended = stream === null ? "unknown" : await reached(objectOf(call.env, stream).end(call.principal.accountId));
  if (stream === null || ended !== "ended") throw notFound(ended === "anothers");
  return Response.json({ id: stream, object: "stream", deleted: true });
}

async function begin(call: KnownCall): Promise<Response> {
  const body = await readBody(call.request);
  const { stream, wording } = readerOf(call)(parseDocument(body));
  if (!stream) throw wrongField("stream", "only a stream can be resumable");
  const words = lastWordsOf(wording);
  const { env, requestId, principal, request, defer } = call;
  const leave = (): void => {
    const ended = objectOf(env, requestId).end(principal.accountId);
    defer(ended.then(noop, noop));
  };
  // Who leaves before it has heard of the stream cannot come back to it.
  request.signal.addEventListener("abort", leave);
  const beginning = objectOf(env, requestId).begin(carriedOf(call, body), words);
  const begun = await reached(beginning).finally(() => request.signal.removeEventListener("abort", leave));
  if (begun.kind === "refused") throw new Problem(begun.code, begun.facts);
  Object.assign(call.log, begun.log);
  const { response } = begun;
  if (response.body === null) throw new Problem("internal_error", { cause: "a stream without a body" });
  return streaming(call, { stream: requestId, n: 0 }, response.body, words.interrupted, response.headers);
}

async function resume(call: KnownCall, place: Place): Promise<Response> {
  const { stream, n } = place;
  const opened = await reached(objectOf(call.env, stream).open(call.principal.accountId, n));
  switch (opened.kind) {
    case "opened":
      return streaming(call, place, opened.body, opened.words.interrupted, new Headers(EVENT_STREAM));
    case "ahead":
      throw wrongField("Last-Event-ID", "an event that the stream does not have");
    case "gone":
      throw new Problem("stream_events_gone");
    case "crowded": {
      const message = "Too many connections read this stream.";
      throw new Problem("rate_limit_exceeded", { message, retryAfterS: CROWDED_RETRY_AFTER_S });
    }
    default:
      throw notFound(opened.kind === "anothers");
  }
}

const noop = (): void => undefined;

const EVENT_STREAM = { "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no" };

async function streaming(
  { env, principal, request }: KnownCall,
  { stream, n }: Place,
  body: ReadableStream<Uint8Array>,
  lastWords: Uint8Array,
  headers: Headers,
): Promise<Response> {
  const sent = new Headers(headers);
  sent.set("x-causeway-stream", stream);
  const reopen = async (after: number) => {
    const opened = await objectOf(env, stream).open(principal.accountId, after);
    return opened.kind === "opened" ? opened.body : null;
  };
  if (request.method !== "HEAD") return new Response(follow(body, n, reopen, lastWords), { headers: sent });
  await body.cancel();
  return new Response(null, { headers: sent });
}

/** What this needs of the object's stub. */
type Stub = {
  begin(carried: CarriedCall, words: LastWords): Promise<Begun>;
  open(account: string, after: number): Promise<Opened | { readonly kind: "unknown" }>;
  end(account: string): Promise<"ended" | "anothers" | "unknown">;
};

function objectOf({ RESUMABLE }: Env, stream: string): Stub {
  return RESUMABLE.getByName(stream);
}

async function reached<T>(asking: Promise<T>): Promise<T> {
  try {
    return await asking;
  } catch (cause) {
    throw new Problem("unavailable", { retryAfterS: UNREACHABLE_RETRY_AFTER_S, cause });
  }
}

/** Another's stream looks like one that is not there; the audit trail tells them apart. */
function notFound(isAnothers: boolean): Problem {
  return new Problem("stream_not_found", isAnothers ? { withheld: "/v1/streams" } : {});
}
