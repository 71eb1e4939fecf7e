/**
 * The second half of the conductor: a host's answer to an admitted question, whole or streamed. Each function settles
 * its lease exactly once, on every way out.
 */
import { isWorthKeeping, keep } from "#src/cache/store.ts";
import type { Model } from "#src/catalog/schema.ts";
import { type Candidate, plan } from "#src/fleet/plan.ts";
import { fleetNow } from "#src/fleet/watch.ts";
import type { Lease } from "#src/limits/admission.ts";
import { Problem } from "#src/problem.ts";
import { type Attempt, attempt, type Reply } from "#src/upstream/attempt.ts";
import { dialectOf } from "#src/upstream/dialect.ts";
import { askWhole, openStream, type WholeAnswer } from "#src/upstream/exchange.ts";
import { HEARTBEAT_MS } from "#src/upstream/heartbeat.ts";
import { lateAnswer } from "#src/upstream/late-answer.ts";
import { reach } from "#src/upstream/reach.ts";
import { relay, type Source } from "#src/upstream/relay.ts";
import { counts, NOTHING_YET, type Tally } from "#src/upstream/tally.ts";
import { type Ending, endingOf } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { type KnownCall, plainHeader } from "./call.ts";
import type { Question } from "./question.ts";
import { settleBehind } from "./settle.ts";

export type Asking = {
  readonly call: KnownCall;
  readonly question: Question;
  readonly model: Model;
  readonly lease: Lease;
  readonly draft: InferenceEvent;
  readonly keeping: { readonly key: string; readonly scope: string | null; readonly ttlS: number } | null;
  readonly headers: Record<string, string>;
};

type Exchange<T> = (
  ask: ReturnType<typeof reach>,
  dialect: ReturnType<typeof dialectOf>,
  trace: { requestId: string; traceparent: string | null },
  signal: AbortSignal,
) => Promise<Reply<T>>;

/** A silent host commits the stream after one heartbeat, so that a caller who has left is noticed from then on. */
const COMMIT_AFTER_MS = HEARTBEAT_MS;

/** The first byte leaves only when the lease is durable: an answered request is in the ledger, whatever dies. */
export const LEASE_NOT_DURABLE = { retryAfterS: 2, cause: "the lease is not durable" };

/** Answers with one JSON document. */
export async function answerWhole(asking: Asking): Promise<Response> {
  const { model, lease, headers, call } = asking;
  const left = leaving(call.request);
  const asked = askHosts<WholeAnswer>(asking, askWhole, model.deadlines.total, left.signal);
  const finished = asked.then((result) => finishWhole(asking, result));
  // Anchored, and looked at by someone, whatever becomes of the response.
  call.defer(finished.then(noop, noop));
  const early = await before(model.deadlines.firstToken, finished);
  if (!(await lease.confirmed)) {
    left.abort();
    throw new Problem("limits_unavailable", LEASE_NOT_DURABLE);
  }
  const body =
    early?.text ??
    lateAnswer(
      finished.then(({ text }) => text),
      () => left.abort(),
    );
  const by = early?.by ?? null;
  return new Response(body, { headers: { ...headers, ...provenance(asking, by), "content-type": "application/json" } });
}

/**
 * Settles a whole answer and keeps it where it may be kept.
 *
 * @throws Problem when no host answered, after settling that
 */
function finishWhole(asking: Asking, result: Attempt<Candidate, WholeAnswer>): { text: string; by: Candidate } {
  const { call, lease, keeping } = asking;
  if (result.kind !== "answered") throw unanswered(asking, result);
  const { document, text } = result.answer;
  const tally = tallyOf(document);
  settleBehind(call, lease, ended(asking, result, "complete", tally, null));
  if (keeping !== null && isWorthKeeping(document)) {
    const totalTokens = (tally.promptTokens ?? 0) + (tally.completionTokens ?? 0);
    call.defer(
      keep(call.env.KV, keeping.key, { v: 1, scope: keeping.scope, body: document, totalTokens }, keeping.ttlS),
    );
  }
  return { text, by: result.by };
}

/** Answers with an event stream. */
export async function answerStreamed(asking: Asking): Promise<Response> {
  const { call, model, lease, headers } = asking;
  const left = leaving(call.request);
  const { firstToken, betweenTokens, total } = model.deadlines;
  const asked = askHosts<Source>(asking, openStream, firstToken, left.signal);
  const early = await before(COMMIT_AFTER_MS, asked);
  if (early !== null && early.kind !== "answered") throw unanswered(asking, early);

  const {
    body,
    ended: end,
    firstContentAtMs,
  } = relay(asked.then(sourceOf), {
    deadlines: { firstTokenMs: firstToken, betweenTokensMs: betweenTokens, totalMs: total },
    hangUp: () => left.abort(),
    now: Date.now,
  });
  // Anchored before the response is returned: at a disconnect the platform tears down what is not.
  call.defer(
    end.then(async (how) => {
      const result = await asked;
      const tally = result.kind === "answered" ? result.answer.stream.tally : null;
      const outcome = how.kind === "upstream_error" && result.kind === "rejected" ? "rejected" : how.kind;
      const event = ended(asking, result, outcome, tally, firstContentAtMs());
      settleBehind(call, lease, event);
    }),
  );
  if (!(await lease.confirmed)) {
    await body.cancel();
    throw new Problem("limits_unavailable", LEASE_NOT_DURABLE);
  }
  const by = early?.kind === "answered" ? early.by : null;
  return new Response(body, {
    headers: {
      ...headers,
      ...provenance(asking, by),
      "content-type": "text/event-stream; charset=utf-8",
      "x-accel-buffering": "no",
    },
  });
}

/** The fleet's order for this model, asked one after the other. */
async function askHosts<T>(
  asking: Asking,
  exchange: Exchange<T>,
  withinMs: number,
  left: AbortSignal,
): Promise<Attempt<Candidate, T>> {
  const { call, question, model } = asking;
  const { env, catalog, requestId } = call;
  const { states } = await fleetNow(call.isolate.fleet, env, call.defer);
  const trace = { requestId, traceparent: plainHeader(call.request, "traceparent") };
  const ask = ({ host, served }: Candidate, signal: AbortSignal): Promise<Reply<T>> => {
    const dialect = dialectOf(host, model, served, question, requestId, call.arrivedAtMs);
    return exchange(reach(host, env, fetch), dialect, trace, signal);
  };
  return attempt(plan(catalog, model, states, Math.random), ask, { answerWithinMs: withinMs, left });
}

/** What work yields within this time; null when it is still under way. Rejects as the work does. */
async function before<T>(ms: number, work: Promise<T>): Promise<T | null> {
  const stop = new AbortController();
  const waited = scheduler.wait(ms, { signal: stop.signal }).then(
    () => null,
    () => null,
  );
  try {
    return await Promise.race([work, waited]);
  } finally {
    stop.abort();
  }
}

const noop = (): void => undefined;

function sourceOf(result: Attempt<Candidate, Source>): Source {
  if (result.kind === "answered") return result.answer;
  throw result.kind === "client_left" ? new Problem("upstream_error") : result.problem;
}

/** Settles a question that nobody answered, and says why. */
function unanswered(asking: Asking, result: Exclude<Attempt<Candidate, unknown>, { kind: "answered" }>): Problem {
  const outcome = result.kind === "failed" ? "upstream_error" : result.kind;
  settleBehind(asking.call, asking.lease, ended(asking, result, outcome, null, null));
  if (result.kind === "client_left") return new Problem("upstream_error", { cause: "the caller left" });
  const { problem } = result;
  if (problem.code !== "no_healthy_host") return problem;
  const waitMs = asking.call.isolate.fleet.snapshot.nextProbeAtMs - Date.now();
  return new Problem("no_healthy_host", { retryAfterS: Math.max(1, waitMs / 1000) });
}

function ended(
  { draft, model }: Asking,
  result: Attempt<Candidate, unknown>,
  outcome: Ending["outcome"],
  counted: Tally | null,
  firstContentAtMs: number | null,
): InferenceEvent {
  const host = result.by?.host.id ?? null;
  const servedAs = result.by?.served.as ?? null;
  const { attempts } = result;
  return endingOf(draft, model.price, {
    outcome,
    host,
    servedAs,
    attempts,
    counted,
    firstContentAtMs,
    nowMs: Date.now(),
  });
}

function tallyOf(document: Record<string, unknown>): Tally {
  const [choice] = Array.isArray(document.choices) ? document.choices : [];
  const finishReason = typeof choice?.finish_reason === "string" ? choice.finish_reason : null;
  return { ...NOTHING_YET, ...counts(document), finishReason };
}

function provenance({ draft, call }: Asking, by: Candidate | null): Record<string, string> {
  call.log.cache = draft.cache;
  call.log.host = by?.host.id ?? null;
  return { "x-causeway-cache": draft.cache, ...(by === null ? {} : { "x-causeway-host": by.host.id }) };
}

/** Aborted when the caller leaves before the answer begins, or by the relay afterwards. */
function leaving(request: Request): AbortController {
  const left = new AbortController();
  request.signal.addEventListener("abort", () => left.abort());
  return left;
}
