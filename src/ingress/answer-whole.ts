/** A whole answer: one JSON document, late or in time. Its lease is settled exactly once, on every way out. */
import { isWorthKeeping, keep } from "#src/cache/store.ts";
import { Problem } from "#src/problem.ts";
import type { Attempt } from "#src/upstream/attempt.ts";
import { askWhole, type WholeAnswer } from "#src/upstream/exchange.ts";
import { hedged } from "#src/upstream/hedged.ts";
import { lateAnswer } from "#src/upstream/late-answer.ts";
import { tokensOf } from "#src/upstream/tally.ts";
import { before } from "#src/within.ts";
import {
  type Asking,
  askHosts,
  dialectFor,
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
import type { Wording } from "./wording.ts";

/** Answers with one JSON document. */
export async function answerWhole(asking: Asking): Promise<Response> {
  const { model, lease, headers, call, question } = asking;
  const left = leaving(call.request);
  lease.hold(() => ({}));
  const finished = askForWhole(asking, left.signal).then((asked) => finishWhole(asking, asked));
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
      model.heartbeat,
      question.wording.error,
    );
  const by = early?.by ?? null;
  return new Response(body, {
    headers: { ...headers, ...provenance(asking, by), "content-type": question.answerType },
  });
}

/**
 * Settles a whole answer and keeps it where it may be kept.
 *
 * @throws Problem when no host answered, after settling that
 */
function finishWhole(asking: Asking, { result, isHedged }: Asked): { text: string; by: Seat } {
  const { call, question, lease, model, keeping } = asking;
  if (result.kind !== "answered") throw unanswered(asking, result);
  const { document, tally } = result.answer;
  const said = inWords(question.wording, result.answer);
  const [outcome, unseenTokens] = said instanceof Problem ? ["upstream_error" as const, tokensOf(tally)] : DELIVERED;
  // What the slower of two hosts has made, it never told.
  const made = { by: result.by, attempts: result.attempts, wastedTokens: isHedged ? null : unseenTokens };
  // What a model says amiss is no failure of its host's: callers could have it taken for broken.
  release(asking, result.by, "complete", tally, null);
  settleBehind(call, lease, ended(asking, made, outcome, tally, null, model.storeContent ? wordsOf(document) : null));
  if (said instanceof Problem) throw said;
  // Another variant's answer is not kept for callers of this one.
  if (keeping !== null && !result.by.isFallback && isWorthKeeping(document)) {
    const totalTokens = (tally.promptTokens ?? 0) + (tally.completionTokens ?? 0);
    call.defer(
      keep(call.env.KV, keeping.key, { v: 1, scope: keeping.scope, body: document, totalTokens }, keeping.ttlS),
    );
  }
  return { text: said, by: result.by };
}

const DELIVERED = ["complete", 0] as const;

/** The answer's text in the caller's protocol, or why there are no words for it. */
function inWords(wording: Wording, { protocol, text, document }: WholeAnswer): string | Problem {
  // A host that speaks the caller's own protocol needs no wording.
  if (protocol === wording.protocol) return text;
  try {
    return JSON.stringify(wording.whole(document));
  } catch (cause) {
    return cause instanceof Problem ? cause : new Problem("upstream_error", { cause });
  }
}

type Asked = Awaited<ReturnType<typeof askForWhole>>;

/** Answers that are short enough to be asked of two hosts. */
const SHORT_TOKENS = 256;

/** Asks for the answer, and a second host where the catalog says so and the first takes longer than hosts mostly do. */
async function askForWhole(
  asking: Asking,
  left: AbortSignal,
): Promise<{ result: Attempt<Seat, WholeAnswer>; isHedged: boolean }> {
  const { model, draft, call } = asking;
  const tried: Seat[] = [];
  const way = { exchange: askWhole, dialect: dialectFor(asking), tried };
  const ask = (signal: AbortSignal, isSecond: boolean) =>
    askHosts<WholeAnswer>(asking, { ...way, kind: isSecond ? "second" : "first", left: signal });
  // Nobody waits for what is done in the background.
  const mayHedge = model.hedge && draft.completionTokens <= SHORT_TOKENS && call.isBackground !== true;
  if (!mayHedge) return { result: await ask(left, false), isHedged: false };
  const hedging = call.isolate.hedges.of(model.id);
  const afterMs = hedging.asked();
  const asked =
    afterMs === null
      ? { result: await ask(left, false), isHedged: false }
      : await hedged({
          ask,
          afterMs,
          // Who waits in line is not helped by waiting in two.
          mayAsk: () => asking.work.askedAtMs !== null && hedging.spend(),
          discard: ({ by, answer }) => release(asking, by, "client_left", answer.tally, null),
          left,
        });
  const { result } = asked;
  if (result.kind === "answered" && result.by.askedAtMs !== null) hedging.answered(Date.now() - result.by.askedAtMs);
  return asked;
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
