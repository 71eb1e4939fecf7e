/**
 * An admitted question put to the fleet, and what its end means for the ledger: shared by whole and streamed answers.
 */
import type { Model } from "#src/catalog/schema.ts";
import { weightOf } from "#src/fleet/line.ts";
import type { Outcome } from "#src/fleet/outcome.ts";
import type { Lease } from "#src/limits/admission.ts";
import { Problem, type ProblemCode } from "#src/problem.ts";
import { type Attempt, attempt, type Reply } from "#src/upstream/attempt.ts";
import { heldCharacters, MOST_KEPT_CHARACTERS, mayContinue } from "#src/upstream/continuation.ts";
import { type Dialect, dialectOf } from "#src/upstream/dialect.ts";
import type { Trace } from "#src/upstream/exchange.ts";
import { type Ask, reach } from "#src/upstream/reach.ts";
import { NOTHING_YET, type Tally, tokensOf } from "#src/upstream/tally.ts";
import { type Ending, endingOf } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { type KnownCall, plainHeader } from "./call.ts";
import { hostsFor, type Seat } from "./choose-host.ts";
import { contentOf, keepingText } from "./content.ts";
import type { Question } from "./question.ts";
import { releaseBehind, settleBehind } from "./settle.ts";

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
    /** How often it was a host's turn. */
    turns: number;
    /** When the host that was asked last was asked. */
    askedAtMs: number | null;
    /** Waited in line, for all hosts together; null while there was none to wait in. */
    linedMs: number | null;
    /** Who chose the host, or said that there is none. */
    placedBy: InferenceEvent["placedBy"];
  };
};

type Exchange<T> = (
  ask: Ask,
  dialect: Dialect,
  trace: Trace,
  signal: AbortSignal,
  reached: () => void,
) => Promise<Reply<T>>;

/** How hosts are asked. */
export type Way<T> = {
  readonly exchange: Exchange<T>;
  /** What is said to one; throws a `Problem` where it cannot do it. */
  readonly dialect: (seat: Seat) => Dialect;
  /** Of all that were asked already, none is asked again; those that are asked are added. */
  readonly tried: Seat[];
  /**
   * `next part`: an answer has begun; that costs no budget, because the work before is not lost. `second`: another host
   * has been asked already and may well answer; this one waits in no line.
   */
  readonly kind: "first" | "next part" | "second";
  /** Aborted when the caller has left. */
  readonly left: AbortSignal;
};

/** The first byte leaves only when the lease is durable: an answered request is in the ledger, whatever dies. */
export const LEASE_NOT_DURABLE = { retryAfterS: 2, cause: "the lease is not durable" };

/** The fleet's order for this model, asked one after the other. */
export function askHosts<T>(
  asking: Asking,
  { exchange, dialect, tried, kind, left }: Way<T>,
): Promise<Attempt<Seat, T>> {
  const { call, question, model, work } = asking;
  const { env, isolate, requestId, arrivedAtMs } = call;
  const trace = { requestId, traceparent: plainHeader(call.request, "traceparent") };
  const ask = (seat: Seat, signal: AbortSignal, reached: () => void): Promise<Reply<T>> => {
    const said = dialect(seat);
    seat.askedAtMs = Date.now();
    work.askedAtMs = seat.askedAtMs;
    return exchange(reach(seat.host, env, fetch), said, trace, signal, reached);
  };
  const { connect, firstToken, total } = model.deadlines;
  const budget = isolate.retries.of(model.id);
  if (kind === "first") budget.asked(Date.now());
  return attempt(hostsFor(asking, left, kind), ask, {
    // Of a whole answer neither its headers nor its first token can be told from its end.
    connectWithinMs: question.stream ? (connect ?? null) : null,
    beginWithinMs: question.stream ? firstToken : null,
    untilMs: arrivedAtMs + total,
    retries: {
      spend: () => kind === "next part" || (kind === "first" && budget.retry(Date.now())),
      refund: () => kind === "first" && budget.refund(Date.now()),
    },
    tried,
    left,
    now: Date.now,
  });
}

/** What is said to a host that is asked the whole question. */
export function dialectFor(asking: Asking): (seat: Seat) => Dialect {
  const { call, question, model } = asking;
  const forSeam = mayContinue(question, model) ? MOST_KEPT_CHARACTERS : 0;
  return ({ host, served }) => {
    const dialect = dialectOf(host, model, served, question, call.requestId, call.arrivedAtMs);
    return keepingText(dialect, {
      isStored: model.storeContent,
      forSeam,
      heldCharacters: heldCharacters(question, host),
    });
  };
}

/** Settles a question that nobody answered, and says why. */
export function unanswered(asking: Asking, result: Exclude<Attempt<Seat, unknown>, { kind: "answered" }>): Problem {
  const outcome = result.kind === "failed" ? (wasShed(result) ? "shed" : "upstream_error") : result.kind;
  const event = ended(asking, madeInVain(result), outcome, workedUnseen(result) ? NOTHING_YET : null, null, null);
  // What is done in the background comes back until there is room: the ledger would be full of its tries.
  const end = outcome === "shed" && asking.call.isBackground === true ? releaseBehind : settleBehind;
  end(asking.call, asking.lease, event);
  if (result.kind === "client_left") return new Problem("upstream_error", { cause: "the caller left" });
  const { problem } = result;
  // Hosts have worked for it already, and would again: an SDK that comes back by itself would have it paid three times.
  if (workedUnseen(result))
    return new Problem(problem.code, { ...problem.facts, headers: { ...problem.facts.headers, ...BURNS } });
  return problem;
}

/** Of what hosts did for an answer that never began. */
export function madeInVain(result: Exclude<Attempt<Seat, unknown>, { kind: "answered" }>): Made {
  return { by: result.by, attempts: result.attempts, wastedTokens: workedUnseen(result) ? null : 0 };
}

/** No host was asked, because none had room. */
export function wasShed({ by, problem }: Extract<Attempt<Seat, unknown>, { kind: "failed" | "rejected" }>): boolean {
  return by === null && (problem.code === "host_busy" || problem.code === "rate_limit_exceeded");
}

const BURNS = { "x-should-retry": "false" };

const TIMEOUTS: ReadonlySet<ProblemCode> = new Set(["connect_timeout", "first_token_timeout", "total_timeout"]);

/** A host took the question and was cut off before it said what it had made: what it cost can only be estimated. */
export function workedUnseen(result: Exclude<Attempt<Seat, unknown>, { kind: "answered" }>): boolean {
  if (result.by === null) return false;
  return result.kind === "client_left" || TIMEOUTS.has(result.problem.code);
}

/** Who made an answer, or was asked to. */
export type Made = {
  /** The last. */
  readonly by: Seat | null;
  readonly attempts: number;
  /** Those that made a part, where there were several. */
  readonly hosts?: string[];
  /** Tokens that hosts made and no caller got; null where nobody knows. */
  readonly wastedTokens: number | null;
};

/** The event of a question that has ended. */
export function ended(
  { draft, model, work, question }: Asking,
  result: Made,
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
    askedAtMs: result.by?.askedAtMs ?? null,
    attempts: result.attempts,
    counted,
    firstContentAtMs,
    nowMs: Date.now(),
  });
  const { hosts = result.by === null ? [] : [result.by.host.id], wastedTokens } = result;
  const placed = { ...event, queueWaitMs: work.linedMs, placedBy: work.placedBy, hosts, wastedTokens };
  return model.storeContent ? { ...placed, content: contentOf(question, response ?? "") } : placed;
}

/**
 * Gives the slot of a host that answered back, with what its answer has shown.
 *
 * @param firstContentAtMs null where the answer came whole
 */
export function release(
  { draft }: Asking,
  { ticket, askedAtMs }: Seat,
  how: "complete" | "client_left" | "upstream_error",
  counted: Tally,
  firstContentAtMs: number | null,
): void {
  const promptTokens = counted.promptTokens ?? draft.promptTokens;
  const completionTokens = tokensOf(counted);
  ticket.finish(outcomeOf(), weightOf(promptTokens, completionTokens));

  function outcomeOf(): Outcome {
    if (how === "upstream_error") return { kind: "failed" };
    if (how === "client_left" || askedAtMs === null) return { kind: "neither" };
    const ttftMs = firstContentAtMs === null ? null : firstContentAtMs - askedAtMs;
    // Of a whole answer the time before the first token is part of it: it is all that can be seen.
    const spentMs = Date.now() - (firstContentAtMs ?? askedAtMs);
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
