/**
 * `POST /v1/messages/count_tokens`. It counts as a request against the caller's limits, with no tokens and no money, and
 * is in the ledger as one; it takes no slot of a host and stands in no line, because nothing is generated. Where no host
 * can tell, or none does in time, the gateway's own estimate is the answer, and `x-causeway-count` says so.
 */
import type { Model } from "#src/catalog/schema.ts";
import { orderOf } from "#src/fleet/order.ts";
import { candidatesOf } from "#src/fleet/variants.ts";
import { fleetNow } from "#src/fleet/watch.ts";
import { type Candidate, weigh } from "#src/fleet/weigh.ts";
import { isObject } from "#src/json.ts";
import type { Lease } from "#src/limits/admission.ts";
import { likelyTokens } from "#src/limits/estimate.ts";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import { asProblem, Problem } from "#src/problem.ts";
import type { Reply } from "#src/upstream/attempt.ts";
import { countTokens, mayCount } from "#src/upstream/count-tokens.ts";
import { isAskedNatively } from "#src/upstream/messages.ts";
import { reach } from "#src/upstream/reach.ts";
import { endingOf } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { admission, leaseOf } from "../admit.ts";
import { LEASE_NOT_DURABLE } from "../ask-hosts.ts";
import { readJson } from "../body.ts";
import { type KnownCall, plainHeader } from "../call.ts";
import { draftOf } from "../draft.ts";
import { servingModel } from "../generate.ts";
import { tierOf } from "../limits.ts";
import type { Question } from "../question.ts";
import { regionOf } from "../region.ts";
import { mustStayHome } from "../residency.ts";
import { settleBehind } from "../settle.ts";
import { countQuestion } from "./question.ts";

/** A tokenizer takes milliseconds, also for the longest prompt; a host that takes longer has other troubles. */
const COUNT_WITHIN_MS = 2_000;
const MOST_HOSTS = 2;
const TOTAL_MS = MOST_HOSTS * COUNT_WITHIN_MS + 1_000;

const NOTHING = { promptTokens: 0, completionTokens: 0 };

/**
 * Answers how many tokens a Messages question's input has.
 *
 * @throws Problem for every refusal, also the host's own of a question that it would not answer either
 */
export async function countMessageTokens(call: KnownCall): Promise<Response> {
  const { document, bytes } = await readJson(call.request);
  const question = countQuestion(document, call.requestId);
  const model = servingModel(call, question, bytes);
  const onlyOnPrem = mustStayHome(call, model);
  const tier = tierOf(call);
  const draft = { ...draftOf(call, question, model, NOTHING, "bypass"), route: "count_tokens" };
  const admitted = await admission(call, tier, draft, { requests: 1, tokens: 0, micros: 0 });
  const lease = leaseOf(call, tier, draft, TOTAL_MS, admitted);
  const headers = rateLimitHeaders(lease.standings);
  const told = await count(call, question, model, onlyOnPrem).catch((thrown: unknown) => {
    settle(call, lease, draft, model, thrown instanceof Problem ? "rejected" : "upstream_error");
    const problem = asProblem(thrown);
    throw new Problem(problem.code, { ...problem.facts, headers: { ...headers, ...problem.facts.headers } });
  });
  settle(call, lease, draft, model, call.request.signal.aborted ? "client_left" : "complete");
  if (!(await lease.confirmed)) throw new Problem("limits_unavailable", LEASE_NOT_DURABLE);
  const by: Record<string, string> = told === null ? {} : { "x-causeway-host": told.host };
  return Response.json(
    { input_tokens: told?.tokens ?? likelyTokens(question.body, bytes) },
    { headers: { ...headers, ...by, "x-causeway-count": told === null ? "estimate" : "engine" } },
  );
}

type Told = { readonly tokens: number; readonly host: string };

/** @throws Problem where a host finds the question itself at fault */
async function count(call: KnownCall, question: Question, model: Model, onlyOnPrem: boolean): Promise<Told | null> {
  // What a picture counts only its encoder knows: a tokenizer sees a mark in its place.
  const showsPictures = picturesIn(question) > 0;
  const trace = { requestId: call.requestId, traceparent: plainHeader(call.request, "traceparent") };
  for (const candidate of await hostsThatCount(call, question, model, onlyOnPrem)) {
    const { host } = candidate;
    if (showsPictures && !isAskedNatively(host, question)) continue;
    const signal = AbortSignal.any([call.request.signal, AbortSignal.timeout(COUNT_WITHIN_MS)]);
    const reply = await countTokens(reach(host, call.env, fetch), candidate, question, trace, signal).catch(FAILED);
    if (reply.kind === "rejected") throw reply.problem;
    if (reply.kind === "answer" && reply.answer !== null) return { tokens: reply.answer, host: host.id };
    if (call.request.signal.aborted) return null;
  }
  return null;
}

function picturesIn({ body: { messages } }: Question): number {
  const contents = Array.isArray(messages) ? messages.map(({ content }) => content) : [];
  return contents.flat().filter((part) => isObject(part) && part.type === "image_url").length;
}

const FAILED = (cause: unknown): Reply<null> => ({
  kind: "failed",
  problem: new Problem("upstream_error", { cause }),
});

/** Those that are well, in the order in which they would be asked for an answer; whether they are busy does not matter. */
async function hostsThatCount(
  { catalog, principal, isolate, env, defer, request }: KnownCall,
  question: Question,
  model: Model,
  onlyOnPrem: boolean,
): Promise<Candidate[]> {
  const { first, fallback } = candidatesOf(catalog, model, principal.accountId, onlyOnPrem);
  const able = [first, fallback].map((row) =>
    row.filter(({ host }) => mayCount(host) || isAskedNatively(host, question)),
  );
  const { view } = await fleetNow(isolate.fleet, env, defer);
  const surroundings = { nowMs: Date.now(), region: regionOf(request) };
  return able
    .flatMap((row) => orderOf(weigh(row, model.strategy, view, surroundings), { random: Math.random, affinity: null }))
    .slice(0, MOST_HOSTS);
}

/** No host is named: engines do not count this as a request, and their counters are held against the ledger's. */
function settle(
  call: KnownCall,
  lease: Lease,
  draft: InferenceEvent,
  model: Model,
  outcome: InferenceEvent["outcome"],
): void {
  const unworked = { host: null, servedAs: null, pricedHost: null, askedAtMs: null, attempts: 0 };
  const ending = { ...unworked, outcome, counted: null, firstContentAtMs: null, nowMs: Date.now() };
  settleBehind(call, lease, endingOf(draft, model.price, ending));
}
