/** The gateway's stream stage, cut off: the relay alone, and the relay with a host's events. */
import type { KnownCall } from "#src/ingress/call.ts";
import type { Prepared } from "#src/ingress/generate.ts";
import { AnswerStream } from "#src/upstream/answer-stream.ts";
import { dialectOf } from "#src/upstream/dialect.ts";
import { openStream } from "#src/upstream/exchange.ts";
import { reach } from "#src/upstream/reach.ts";
import { relay } from "#src/upstream/relay.ts";
import type { Source } from "#src/upstream/telling.ts";
import { putTo } from "./pass-on.ts";

/** Through the relay, as bytes: nothing of it is read. */
export async function relayed(call: KnownCall, { question, model }: Prepared): Promise<Response> {
  const { body } = await putTo(call.env, question.body);
  if (body === null) throw new Error("a stream without a body");
  const hangUp = new AbortController();
  return throughRelay(
    call,
    { question, model },
    { reader: body.getReader(), stream: new Unread(), head: null },
    hangUp,
  );
}

/** Through the relay, event by event. */
export async function tapped(call: KnownCall, { question, model }: Prepared): Promise<Response> {
  const { env, requestId, arrivedAtMs, catalog } = call;
  const [served] = model.served;
  const host = catalog.hosts.find(({ id }) => id === served?.host);
  if (served === undefined || host === undefined) throw new Error(`nobody serves ${model.id}`);
  const dialect = dialectOf(host, model, served, question, requestId, arrivedAtMs);
  const hangUp = new AbortController();
  const trace = { requestId, traceparent: null };
  const reply = await openStream(reach(host, env, fetch), dialect, trace, hangUp.signal, () => undefined);
  if (reply.kind !== "answer") throw new Error(`no answer: ${reply.kind}`);
  return throughRelay(call, { question, model }, reply.answer, hangUp);
}

function throughRelay(
  { arrivedAtMs, defer }: KnownCall,
  { question, model }: Pick<Prepared, "question" | "model">,
  source: Source,
  hangUp: AbortController,
): Response {
  const { body, ended } = relay(Promise.resolve(source), {
    deadlines: { betweenTokensMs: model.deadlines.betweenTokens, totalMs: model.deadlines.total },
    arrivedAtMs,
    heartbeatMs: model.heartbeat,
    voice: question.wording.voice(),
    carryOn: async () => null,
    hangUp: () => hangUp.abort(),
    now: Date.now,
  });
  defer(ended.then(() => undefined));
  // The header: without a standing `conduct` would ask the account for one.
  return new Response(body, { headers: { "content-type": "text/event-stream", ratelimit: "" } });
}

/** A host's stream that nobody reads: whatever comes is passed on, and its end is a good one. */
class Unread extends AnswerStream {
  protected readonly head = null;

  override push(chunk: Uint8Array): Uint8Array {
    return chunk;
  }

  finish(): Uint8Array {
    this.isWhole = true;
    return NOTHING;
  }

  protected take(event: Uint8Array): readonly Uint8Array[] {
    return [event];
  }
}

const NOTHING = new Uint8Array(0);
