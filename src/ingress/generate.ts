/**
 * The conductor of the inference routes, read from top to bottom: body, question, caps, lease and cache at once, then
 * either the kept answer or a host's. Every admitted request is settled exactly here or in `answer-*.ts`, whatever
 * happens.
 */

import type { Need } from "#src/auth/policy.ts";
import { cacheability, fingerprint } from "#src/cache/fingerprint.ts";
import { type CachedAnswer, lookUp } from "#src/cache/store.ts";
import type { Offer } from "#src/catalog/host.ts";
import type { Host, Model } from "#src/catalog/schema.ts";
import type { Tier } from "#src/catalog/tier.ts";
import { candidatesOf } from "#src/fleet/variants.ts";
import type { JsonObject } from "#src/json.ts";
import type { Lease } from "#src/limits/admission.ts";
import { type Reservation, reservationOf, withinCaps } from "#src/limits/caps.ts";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import type { Cost } from "#src/limits/windows.ts";
import { asProblem, Problem } from "#src/problem.ts";
import { isOffered } from "#src/upstream/offered.ts";
import { cachedEnding } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { costMicros } from "#src/usage/price.ts";
import { admission, leaseOf } from "./admit.ts";
import { resolved, traitsOf } from "./alias.ts";
import { answerStreamed } from "./answer-streamed.ts";
import { answerWhole } from "./answer-whole.ts";
import { type Asking, LEASE_NOT_DURABLE } from "./ask-hosts.ts";
import { readJson } from "./body.ts";
import { cacheSaltOf } from "./cache-salt.ts";
import type { KnownCall } from "./call.ts";
import { contentOf, wordsOf } from "./content.ts";
import { draftOf } from "./draft.ts";
import type { Recording } from "./form.ts";
import { tierOf } from "./limits.ts";
import { modelOf, switchedOn } from "./models.ts";
import type { Question, Route } from "./question.ts";
import { refuseRemote } from "./remote-content.ts";
import { mustStayHome } from "./residency.ts";
import { settleBehind } from "./settle.ts";

export const NOT_ASKED: Asking["work"] = { turns: 0, askedAtMs: null, linedMs: null, placedBy: "fleet" };

/** What a credential must be good for, and what the model must be. */
const ROUTES = {
  chat: { scope: "inference", kinds: ["generation"] },
  completions: { scope: "inference", kinds: ["generation"] },
  embeddings: { scope: "embeddings", kinds: ["embedding"] },
  rerank: { scope: "embeddings", kinds: ["rerank"] },
  transcriptions: { scope: "inference", kinds: ["transcription"] },
  tokenize: { scope: "inference", kinds: ["generation", "embedding", "rerank"] },
} as const satisfies Record<Route, { scope: Need; kinds: readonly Model["kind"][] }>;

type Body = { readonly document: JsonObject; readonly bytes: number; readonly recording?: Recording };

/**
 * Answers one inference request.
 *
 * @param read checks what the caller wrote, in its protocol
 * @param readBody reads the body; of a form there is a recording as well
 * @throws Problem for every refusal and for failures before the first byte
 */
export async function generate(
  call: KnownCall,
  read: (document: JsonObject) => Question,
  readBody: (request: Request) => Promise<Body> = readJson,
): Promise<Response> {
  const { document, bytes, recording = null } = await readBody(call.request);
  const prepared = prepare(call, { ...read(document), recording }, bytes);
  const { question, model, tier, draft, worst, isCacheable, isAliased, onlyOnPrem } = prepared;

  const [admitted, { keeping, kept }, cacheSalt] = await Promise.all([
    admission(call, tier, draft, worst),
    isCacheable ? lookUpAnswer(call, question, model) : { keeping: null, kept: null },
    cacheSaltOf(call.principal, call.env.CAUSEWAY_SECRET),
  ]);
  const lease = leaseOf(call, tier, draft, model.deadlines.total, admitted);
  const headers = {
    ...rateLimitHeaders(lease.standings),
    ...(isAliased ? { "x-causeway-model": model.id } : {}),
  };
  if (kept !== null) {
    const content = model.storeContent ? contentOf(question, wordsOf(kept.body)) : null;
    return answerKept(call, question, lease, { ...draft, content }, model.price, kept, headers);
  }

  const asking: Asking = {
    call,
    question: { ...question, cacheSalt },
    model,
    lease,
    draft,
    onlyOnPrem,
    keeping,
    headers,
    work: { ...NOT_ASKED },
  };
  try {
    return await (question.stream ? answerStreamed(asking) : answerWhole(asking));
  } catch (thrown) {
    // A request that was counted says so, also when it failed.
    const problem = asProblem(thrown);
    throw new Problem(problem.code, { ...problem.facts, headers: { ...headers, ...problem.facts.headers } });
  }
}

/** What is known of a request before anybody is asked. */
export type Prepared = {
  readonly question: Question;
  readonly model: Model;
  readonly tier: Tier;
  readonly draft: InferenceEvent;
  readonly worst: Cost;
  /** Whether its answer may come from the cache, and be kept there. */
  readonly isCacheable: boolean;
  /** The caller named the model by an alias. */
  readonly isAliased: boolean;
  readonly onlyOnPrem: boolean;
};

/**
 * From what the caller wrote to what will be asked, within what the caller may ask for. No I/O.
 *
 * @param bytes of the body
 * @throws Problem for every refusal
 */
export function prepare(call: KnownCall, named: Question, bytes: number): Prepared {
  const model = servingModel(call, named, bytes);
  refuseRemote(named.body, model.remoteContent);
  const asked = naming(named, model);
  const onlyOnPrem = mustStayHome(call, model);
  const tier = tierOf(call);
  const question = withinCaps(asked, bytes, tier, model);
  const asksFor = call.request.headers.get("cache-control");
  // Of a recording the body tells nothing.
  const isCacheable = !isOffered(question.route) && cacheability(model, question.body, asksFor) === "cacheable";
  const reservation = reservationOf(question, bytes);
  const draft = draftOf(call, question, model, reservation, isCacheable ? "miss" : "bypass");
  const worst = worstCost(reservation, model);
  return { question, model, tier, draft, worst, isCacheable, isAliased: asked !== named, onlyOnPrem };
}

/** What a request may spend at most, as far as can be told: host time is added when it is known. */
function worstCost({ promptTokens, completionTokens }: Reservation, { price }: Model): Cost {
  const spent = { promptTokens, completionTokens, cachedTokens: null, hostMs: 0 };
  // Which host it will be, and what that one costs, is not known yet.
  const known = price === undefined ? undefined : { ...price, hostTime: false };
  // What costs nothing is never refused, and time will cost something: a budget that is spent must refuse it.
  const least = price?.hostTime === true || price?.perGpuSecond !== undefined ? 1 : 0;
  const micros = Math.max(least, costMicros(known, spent, null) ?? 0);
  return { requests: 1, tokens: promptTokens + completionTokens, micros };
}

/** Where the answer may be kept, for whom, and what is kept there already. */
export async function lookUpAnswer(
  call: KnownCall,
  question: Question,
  model: Model,
): Promise<{ keeping: Asking["keeping"]; kept: CachedAnswer | null }> {
  const { cache } = model;
  if (cache === undefined) return { keeping: null, kept: null };
  const scope = cache.scope === "user" ? call.principal.accountId : null;
  // The caller's own variant: another's answers are not its.
  const { first } = candidatesOf(call.catalog, model, call.principal.accountId, false);
  const revision = first.map(({ served: { host, as } }) => `${host}:${as}`);
  const key = await fingerprint(call.env.CAUSEWAY_SECRET, scope, question.route, revision, question.body);
  return { keeping: { key, scope, ttlS: cache.ttl }, kept: await lookUp(call.env.KV, key, scope) };
}

async function answerKept(
  call: KnownCall,
  { wording }: Question,
  lease: Lease,
  draft: InferenceEvent,
  price: Model["price"],
  kept: CachedAnswer,
  headers: Record<string, string>,
): Promise<Response> {
  settleBehind(call, lease, cachedEnding(draft, price, kept.totalTokens, Date.now()));
  call.log.cache = "hit";
  if (!(await lease.confirmed)) throw new Problem("limits_unavailable", LEASE_NOT_DURABLE);
  return Response.json(wording.whole(kept.body), { headers: { ...headers, "x-causeway-cache": "hit" } });
}

/**
 * The model asked for, also by an alias, when it is one for this route.
 *
 * @param bytes of the document
 * @throws Problem `model_not_found`, `model_disabled` or `unsupported_value`
 */
export function servingModel(call: KnownCall, question: Question, bytes: number): Model {
  const { model: name, route } = question;
  const { scope, kinds } = ROUTES[route];
  const traits = () => traitsOf(question, bytes, call.request.headers.get("x-causeway-prefer"));
  const model = switchedOn(modelOf(call, name, scope, resolved(call.catalog.aliases, name, traits)));
  if (!kinds.some((kind) => kind === model.kind)) {
    const message = `${model.id} is a model for ${model.kind}, not for this route.`;
    throw new Problem("unsupported_value", { param: "model", message });
  }
  const { needs } = question;
  const mayOffer = ({ id, offers }: Host) =>
    offers.includes(needs as Offer) && model.served.some(({ host }) => host === id);
  if (needs !== null && !call.catalog.hosts.some(mayOffer)) {
    const message = `No host of ${model.id} offers ${needs}.`;
    throw new Problem("unsupported_value", { param: "model", message });
  }
  call.log.model = model.id;
  return model;
}

/** The question as if it had named the model itself: answers to an alias and to its model are kept under one name. */
function naming(question: Question, { id }: Model): Question {
  return question.model === id ? question : { ...question, model: id, body: { ...question.body, model: id } };
}
