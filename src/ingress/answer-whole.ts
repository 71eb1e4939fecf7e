/** A whole answer: one JSON document, late or in time. Its lease is settled exactly once, on every way out. */
import { isWorthKeeping, keep } from "#src/cache/store.ts";
import { Problem } from "#src/problem.ts";
import type { Attempt } from "#src/upstream/attempt.ts";
import { askWhole, type WholeAnswer } from "#src/upstream/exchange.ts";
import { lateAnswer } from "#src/upstream/late-answer.ts";
import { counts, NOTHING_YET, type Tally } from "#src/upstream/tally.ts";
import {
  type Asking,
  askHosts,
  before,
  ended,
  LEASE_NOT_DURABLE,
  leaving,
  provenance,
  release,
  unanswered,
} from "./ask-hosts.ts";
import type { Seat } from "./choose-host.ts";
import { wordsOf } from "./content.ts";
import { settleBehind } from "./settle.ts";

/** Answers with one JSON document. */
export async function answerWhole(asking: Asking): Promise<Response> {
  const { model, lease, headers, call } = asking;
  const left = leaving(call.request);
  const asked = askHosts<WholeAnswer>(asking, askWhole, model.deadlines.total, left.signal);
  lease.hold(() => ({}));
  const finished = asked.then((result) => finishWhole(asking, result));
  // Anchored, and looked at by someone, whatever becomes of the response.
  call.defer(finished.then(noop, noop));
  const early = await beforeCommitted(asking, finished);
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
function finishWhole(asking: Asking, result: Attempt<Seat, WholeAnswer>): { text: string; by: Seat } {
  const { call, question, lease, model, keeping } = asking;
  if (result.kind !== "answered") throw unanswered(asking, result);
  const { document, text } = result.answer;
  const tally = tallyOf(document);
  release(asking, result.by, "complete", tally, null);
  settleBehind(
    call,
    lease,
    ended(asking, result, "complete", tally, null, model.storeContent ? wordsOf(document) : null),
  );
  // Another variant's answer is not kept for callers of this one.
  if (keeping !== null && !result.by.isFallback && isWorthKeeping(document)) {
    const totalTokens = (tally.promptTokens ?? 0) + (tally.completionTokens ?? 0);
    call.defer(
      keep(call.env.KV, keeping.key, { v: 1, scope: keeping.scope, body: document, totalTokens }, keeping.ttlS),
    );
  }
  const { protocol, whole } = question.wording;
  return { text: protocol === "openai" ? text : JSON.stringify(whole(document)), by: result.by };
}

/** Proxies give up on a silent connection after 100 s. */
const LINED_AT_MOST_MS = 60_000;

/**
 * What has come before the response must begin: in the time of a first token, and not while it waits in line, because
 * who is turned away from there is to hear it by its status.
 */
async function beforeCommitted<T>({ model, work }: Asking, finished: Promise<T>): Promise<T | null> {
  const untilMs = Date.now() + LINED_AT_MOST_MS;
  for (;;) {
    const early = await before(model.deadlines.firstToken, finished);
    if (early !== null || work.askedAtMs !== null || Date.now() >= untilMs) return early;
  }
}

const noop = (): void => undefined;

function tallyOf(document: Record<string, unknown>): Tally {
  const [choice] = Array.isArray(document.choices) ? document.choices : [];
  const finishReason = typeof choice?.finish_reason === "string" ? choice.finish_reason : null;
  return { ...NOTHING_YET, ...counts(document), finishReason };
}
