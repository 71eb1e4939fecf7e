/**
 * An admitted question put to the fleet, and what its end means for the ledger: shared by whole and streamed answers.
 */
import type { Model } from "#src/catalog/schema.ts";
import { weightOf } from "#src/fleet/line.ts";
import type { Outcome } from "#src/fleet/outcome.ts";
import type { Lease } from "#src/limits/admission.ts";
import { Problem } from "#src/problem.ts";
import { type Attempt, attempt, type Reply } from "#src/upstream/attempt.ts";
import { dialectOf } from "#src/upstream/dialect.ts";
import { reach } from "#src/upstream/reach.ts";
import { NOTHING_YET, type Tally } from "#src/upstream/tally.ts";
import { type Ending, endingOf } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { type KnownCall, plainHeader } from "./call.ts";
import { hostsFor, type Seat } from "./choose-host.ts";
import { contentOf, keepingText } from "./content.ts";
import type { Question } from "./question.ts";
import { settleBehind } from "./settle.ts";

export type Asking = {
  readonly call: KnownCall;
  readonly question: Question;
  readonly model: Model;
  readonly lease: Lease;
  readonly draft: InferenceEvent;
  /** Nobody in the cloud may be asked. */
  readonly onlyOnPrem: boolean;
  readonly keeping: { readonly key: string; readonly scope: string | null; readonly ttlS: number } | null;
  readonly headers: Record<string, string>;
  /** Written down on the way. */
  readonly work: {
    /** When the host that was asked last was asked. */
    askedAtMs: number | null;
    /** Waited in line, for all hosts together; null while there was none to wait in. */
    linedMs: number | null;
    /** Who chose the host, or said that there is none. */
    placedBy: InferenceEvent["placedBy"];
  };
};

type Exchange<T> = (
  ask: ReturnType<typeof reach>,
  dialect: ReturnType<typeof dialectOf>,
  trace: { requestId: string; traceparent: string | null },
  signal: AbortSignal,
) => Promise<Reply<T>>;

/** The first byte leaves only when the lease is durable: an answered request is in the ledger, whatever dies. */
export const LEASE_NOT_DURABLE = { retryAfterS: 2, cause: "the lease is not durable" };

/** The fleet's order for this model, asked one after the other. */
export async function askHosts<T>(
  asking: Asking,
  exchange: Exchange<T>,
  withinMs: number,
  left: AbortSignal,
): Promise<Attempt<Seat, T>> {
  const { call, question, model } = asking;
  const { env, requestId } = call;
  const trace = { requestId, traceparent: plainHeader(call.request, "traceparent") };
  const ask = ({ host, served }: Seat, signal: AbortSignal): Promise<Reply<T>> => {
    const dialect = dialectOf(host, model, served, question, requestId, call.arrivedAtMs);
    asking.work.askedAtMs = Date.now();
    return exchange(reach(host, env, fetch), model.storeContent ? keepingText(dialect) : dialect, trace, signal);
  };
  return attempt(hostsFor(asking, left), ask, { answerWithinMs: withinMs, left });
}

/** What work yields within this time; null when it is still under way. Rejects as the work does. */
export async function before<T>(ms: number, work: Promise<T>): Promise<T | null> {
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

/** Settles a question that nobody answered, and says why. */
export function unanswered(asking: Asking, result: Exclude<Attempt<Seat, unknown>, { kind: "answered" }>): Problem {
  const outcome = result.kind === "failed" ? (wasShed(result) ? "shed" : "upstream_error") : result.kind;
  settleBehind(
    asking.call,
    asking.lease,
    ended(asking, result, outcome, workedUnseen(result) ? NOTHING_YET : null, null, null),
  );
  if (result.kind === "client_left") return new Problem("upstream_error", { cause: "the caller left" });
  const { problem } = result;
  // Hosts have worked for it already, and would again: an SDK that comes back by itself would have it paid three times.
  if (workedUnseen(result))
    return new Problem(problem.code, { ...problem.facts, headers: { ...problem.facts.headers, ...BURNS } });
  return problem;
}

/** No host was asked, because none had room. */
export function wasShed({ by, problem }: Extract<Attempt<Seat, unknown>, { kind: "failed" | "rejected" }>): boolean {
  return by === null && (problem.code === "host_busy" || problem.code === "rate_limit_exceeded");
}

const BURNS = { "x-should-retry": "false" };

/** A host took the question and was cut off before it said what it had made: what it cost can only be estimated. */
export function workedUnseen(result: Exclude<Attempt<Seat, unknown>, { kind: "answered" }>): boolean {
  if (result.by === null) return false;
  return result.kind === "client_left" || result.problem.code === "upstream_timeout";
}

/** The event of a question that has ended. */
export function ended(
  { draft, model, work, question }: Asking,
  result: Attempt<Seat, unknown>,
  outcome: Ending["outcome"],
  counted: Tally | null,
  firstContentAtMs: number | null,
  response: string | null,
): InferenceEvent {
  const event = endingOf(draft, model.price, {
    outcome,
    host: result.by?.host.id ?? null,
    servedAs: result.by?.served.as ?? null,
    pricedHost: result.by?.host ?? null,
    askedAtMs: work.askedAtMs,
    attempts: result.attempts,
    counted,
    firstContentAtMs,
    nowMs: Date.now(),
  });
  const placed = { ...event, queueWaitMs: work.linedMs, placedBy: work.placedBy };
  return model.storeContent ? { ...placed, content: contentOf(question, response ?? "") } : placed;
}

/**
 * Gives the slot of a host that answered back, with what its answer has shown.
 *
 * @param firstContentAtMs null where the answer came whole
 */
export function release(
  { draft, work }: Asking,
  { ticket }: Seat,
  how: "complete" | "client_left" | "upstream_error",
  counted: Tally,
  firstContentAtMs: number | null,
): void {
  const promptTokens = counted.promptTokens ?? draft.promptTokens;
  const completionTokens = counted.completionTokens ?? counted.contentPieces;
  ticket.finish(outcomeOf(), weightOf(promptTokens, completionTokens));

  function outcomeOf(): Outcome {
    if (how === "upstream_error") return { kind: "failed" };
    if (how === "client_left" || work.askedAtMs === null) return { kind: "neither" };
    const ttftMs = firstContentAtMs === null ? null : firstContentAtMs - work.askedAtMs;
    // Of a whole answer the time before the first token is part of it: it is all that can be seen.
    const spentMs = Date.now() - (firstContentAtMs ?? work.askedAtMs);
    const tokensPerS = completionTokens > 1 && spentMs > 0 ? (1_000 * completionTokens) / spentMs : null;
    return { kind: "ok", ttftMs, tokensPerS };
  }
}

/** Where an answer comes from, for the caller and the log. */
export function provenance({ draft, call }: Asking, by: Seat | null): Record<string, string> {
  call.log.cache = draft.cache;
  call.log.host = by?.host.id ?? null;
  return { "x-causeway-cache": draft.cache, ...(by === null ? {} : { "x-causeway-host": by.host.id }) };
}

/** Aborted when the caller leaves before the answer begins, or by the relay afterwards. */
export function leaving(request: Request): AbortController {
  const left = new AbortController();
  if (request.signal.aborted) left.abort();
  request.signal.addEventListener("abort", () => left.abort());
  return left;
}
