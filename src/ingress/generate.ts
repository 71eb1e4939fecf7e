/**
 * The conductor of the inference routes, read from top to bottom: body, question, lease and cache at once, then either
 * the kept answer or a host's. Every admitted request is settled exactly here or in `answer-*.ts`, whatever happens.
 */
import { refusal } from "#src/auth/authenticate.ts";
import { permits } from "#src/auth/policy.ts";
import { cacheability, fingerprint } from "#src/cache/fingerprint.ts";
import { type CachedAnswer, lookUp } from "#src/cache/store.ts";
import type { Model } from "#src/catalog/schema.ts";
import { type Admission, type Lease, limitsOf, requestLease } from "#src/limits/admission.ts";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import { asProblem, Problem } from "#src/problem.ts";
import { cachedEnding } from "#src/usage/ending.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { answerStreamed } from "./answer-streamed.ts";
import { answerWhole } from "./answer-whole.ts";
import { type Asking, LEASE_NOT_DURABLE } from "./ask-hosts.ts";
import { readJson } from "./body.ts";
import { type KnownCall, plainHeader } from "./call.ts";
import { withheld } from "./models.ts";
import { type Question, questionOf, type Route } from "./question.ts";
import { settleBehind } from "./settle.ts";

const SCOPE_OF = { chat: "inference", completions: "inference", embeddings: "embeddings" } as const;

/** A lease outlives the longest answer by this much before it counts as abandoned. */
const LEASE_MARGIN_MS = 30_000;
/** The account cannot be reached: come back soon. */
const UNREACHABLE_RETRY_AFTER_S = 2;

/**
 * Answers one inference request.
 *
 * @throws Problem for every refusal and for failures before the first byte
 */
export async function generate(call: KnownCall, route: Route): Promise<Response> {
  const { document, bytes } = await readJson(call.request);
  const question = questionOf(route, document);
  const model = modelOf(call, question);
  const cacheable = cacheability(model, question.body, call.request.headers.get("cache-control")) === "cacheable";
  const draft = draftOf(call, question, model, bytes, cacheable ? "miss" : "bypass");

  const [admission, { keeping, kept }] = await Promise.all([
    requestLease(() => call.env.ACCOUNT.getByName(call.principal.accountId), {
      limits: limitsOf(tierOf(call)),
      keyId: call.principal.keyId,
      leaseMs: model.deadlines.total + LEASE_MARGIN_MS,
      ifAbandoned: draft,
    }),
    cacheable ? lookUpAnswer(call, question, model) : { keeping: null, kept: null },
  ]);
  const lease = leaseOf(admission);
  const headers = rateLimitHeaders(lease.standings);
  if (kept !== null) return answerKept(call, lease, draft, kept, headers);

  const asking: Asking = { call, question, model, lease, draft, keeping, headers };
  try {
    return await (question.stream ? answerStreamed(asking) : answerWhole(asking));
  } catch (thrown) {
    // A request that was counted says so, also when it failed.
    const problem = asProblem(thrown);
    throw new Problem(problem.code, { ...problem.facts, headers: { ...headers, ...problem.facts.headers } });
  }
}

/** Where the answer may be kept, for whom, and what is kept there already. */
async function lookUpAnswer(
  call: KnownCall,
  question: Question,
  { cache, served }: Model,
): Promise<{ keeping: Asking["keeping"]; kept: CachedAnswer | null }> {
  if (cache === undefined) return { keeping: null, kept: null };
  const scope = cache.scope === "user" ? call.principal.accountId : null;
  const revision = served.map(({ host, as }) => `${host}:${as}`);
  const key = await fingerprint(call.env.CAUSEWAY_SECRET, scope, question.route, revision, question.body);
  return { keeping: { key, scope, ttlS: cache.ttl }, kept: await lookUp(call.env.KV, key, scope) };
}

async function answerKept(
  call: KnownCall,
  lease: Lease,
  draft: InferenceEvent,
  kept: CachedAnswer,
  headers: Record<string, string>,
): Promise<Response> {
  settleBehind(call, lease, cachedEnding(draft, kept.totalTokens, Date.now()));
  call.log.cache = "hit";
  if (!(await lease.confirmed)) throw new Problem("limits_unavailable", LEASE_NOT_DURABLE);
  return Response.json(kept.body, { headers: { ...headers, "x-causeway-cache": "hit" } });
}

function modelOf(call: KnownCall, question: Question): Model {
  const wanted = question.route === "embeddings" ? "embedding" : "generation";
  const model = call.catalog.models.find(({ id }) => id === question.model);
  // A model that is not open to the caller looks like one that is not there.
  if (model === undefined || !permits(call.principal, { scope: SCOPE_OF[question.route], model })) {
    const message = `The model ${JSON.stringify(question.model.slice(0, 128))} does not exist. GET /v1/models lists those that do.`;
    throw new Problem("model_not_found", { param: "model", message, ...withheld(model) });
  }
  if (model.kind !== wanted) {
    throw new Problem("unsupported_value", {
      param: "model",
      message: `${model.id} is a model for ${model.kind}, not for this route.`,
    });
  }
  call.log.model = model.id;
  return model;
}

function tierOf(call: KnownCall) {
  const tier = call.catalog.tiers[call.principal.tier] ?? call.catalog.tiers.default;
  if (tier === undefined) throw new Problem("misconfigured", { cause: "catalog: tiers.default is missing" });
  return tier;
}

function leaseOf(admission: Admission): Lease {
  if (admission.kind === "admitted") return admission.lease;
  if (admission.kind === "key_retired") throw refusal("invalid_token", "the key was revoked");
  if (admission.kind === "unreachable") {
    throw new Problem("limits_unavailable", { retryAfterS: UNREACHABLE_RETRY_AFTER_S, cause: admission.cause });
  }
  const { standings, retryAfterMs } = admission;
  throw new Problem("rate_limit_exceeded", {
    retryAfterS: retryAfterMs / 1000,
    headers: rateLimitHeaders(standings),
  });
}

/** The event as it stands if the isolate dies: what was reserved, marked as an estimate. */
function draftOf(
  call: KnownCall,
  { route, body }: Question,
  model: Model,
  bodyBytes: number,
  cache: "miss" | "bypass",
): InferenceEvent {
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  return {
    v: 1,
    kind: "inference",
    id: call.requestId,
    atMs: call.arrivedAtMs,
    route,
    model: model.id,
    account: call.principal.accountId,
    userId: call.principal.userId,
    tenant: null,
    keyId: call.principal.keyId,
    tier: call.principal.tier,
    ip: call.address,
    workflowId: plainHeader(call.request, "x-workflow-id"),
    traceId: null,
    host: null,
    servedAs: null,
    // English prose has about four bytes to a token in the tokenizers of the models served here.
    promptTokens: Math.ceil(bodyBytes / 4),
    completionTokens: typeof maxTokens === "number" ? maxTokens : 0,
    cachedTokens: null,
    estimated: true,
    savedTokens: 0,
    ttftMs: null,
    latencyMs: 0,
    queueWaitMs: null,
    hostMs: null,
    finishReason: null,
    outcome: "abandoned",
    attempts: 0,
    cache,
    admittedBy: "account",
    costMicros: null,
    priceVersion: null,
    content: null,
  };
}
