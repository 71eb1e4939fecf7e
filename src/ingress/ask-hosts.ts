/**
 * An admitted question put to the fleet, and what its end means for the ledger: shared by whole and streamed answers.
 */
import type { Model } from "#src/catalog/schema.ts";
import { type Candidate, plan } from "#src/fleet/plan.ts";
import { fleetNow } from "#src/fleet/watch.ts";
import type { Lease } from "#src/limits/admission.ts";
import { Problem } from "#src/problem.ts";
import { type Attempt, attempt, type Reply } from "#src/upstream/attempt.ts";
import { dialectOf } from "#src/upstream/dialect.ts";
import { reach } from "#src/upstream/reach.ts";
import { NOTHING_YET, type Tally } from "#src/upstream/tally.ts";
import { type Ending, endingOf } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { type KnownCall, plainHeader } from "./call.ts";
import { contentOf, keepingText } from "./content.ts";
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
  /** Written down on the way: when the host that was asked last was asked. */
  readonly work: { askedAtMs: number | null };
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
): Promise<Attempt<Candidate, T>> {
  const { call, question, model } = asking;
  const { env, catalog, requestId } = call;
  const { states } = await fleetNow(call.isolate.fleet, env, call.defer);
  const trace = { requestId, traceparent: plainHeader(call.request, "traceparent") };
  const ask = ({ host, served }: Candidate, signal: AbortSignal): Promise<Reply<T>> => {
    const dialect = dialectOf(host, model, served, question, requestId, call.arrivedAtMs);
    asking.work.askedAtMs = Date.now();
    return exchange(reach(host, env, fetch), model.storeContent ? keepingText(dialect) : dialect, trace, signal);
  };
  return attempt(plan(catalog, model, states, Math.random), ask, { answerWithinMs: withinMs, left });
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

/** A host that is down comes back with its second good probe, and isolates hear of it 2 s later. */
const COMEBACK_MS = 12_000;

/** Settles a question that nobody answered, and says why. */
export function unanswered(
  asking: Asking,
  result: Exclude<Attempt<Candidate, unknown>, { kind: "answered" }>,
): Problem {
  const outcome = result.kind === "failed" ? "upstream_error" : result.kind;
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
  if (problem.code !== "no_healthy_host") return problem;
  const waitMs = asking.call.isolate.fleet.snapshot.nextProbeAtMs - Date.now() + COMEBACK_MS;
  return new Problem("no_healthy_host", { retryAfterS: Math.max(1, waitMs / 1000) });
}

const BURNS = { "x-should-retry": "false" };

/** A host took the question and was cut off before it said what it had made: what it cost can only be estimated. */
function workedUnseen(result: Exclude<Attempt<Candidate, unknown>, { kind: "answered" }>): boolean {
  return result.kind === "client_left" || (result.by !== null && result.problem.code === "upstream_timeout");
}

/** The event of a question that has ended. */
export function ended(
  { draft, model, work, question }: Asking,
  result: Attempt<Candidate, unknown>,
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
  return model.storeContent ? { ...event, content: contentOf(question, response ?? "") } : event;
}

/** Where an answer comes from, for the caller and the log. */
export function provenance({ draft, call }: Asking, by: Candidate | null): Record<string, string> {
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
