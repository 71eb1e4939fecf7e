/** The event of a request as it stands before any host was asked: what is reserved, marked as an estimate. Pure. */
import type { Model } from "#src/catalog/schema.ts";
import type { Reservation } from "#src/limits/caps.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { costMicros, priceVersion } from "#src/usage/price.ts";
import { type KnownCall, plainHeader } from "./call.ts";
import type { Question } from "./question.ts";

/** W3C Trace Context, 3.2.2: version, trace id, parent id, flags, and more in versions to come. Ids of zeros are none. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?![^-])/;

/** The draft that a lease carries: outcome `abandoned`, which stands if the isolate dies. */
export function draftOf(
  call: KnownCall,
  { route, wording }: Question,
  model: Model,
  { promptTokens, completionTokens }: Reservation,
  cache: "miss" | "bypass",
): InferenceEvent {
  const { principal } = call;
  return {
    v: 1,
    kind: "inference",
    id: call.requestId,
    atMs: call.arrivedAtMs,
    route: wording.protocol === "openai" ? route : wording.protocol,
    model: model.id,
    account: principal.accountId,
    userId: principal.userId,
    tenant: principal.tenant?.name ?? null,
    keyId: principal.keyId,
    tier: principal.tier,
    ip: call.address,
    workflowId: plainHeader(call.request, "x-workflow-id"),
    traceId: TRACEPARENT.exec(call.request.headers.get("traceparent") ?? "")?.[1] ?? null,
    host: null,
    hosts: [],
    servedAs: null,
    promptTokens,
    completionTokens,
    cachedTokens: null,
    estimated: true,
    wastedTokens: null,
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
    placedBy: "fleet",
    // Where the host's time counts too, what it would cost is not known.
    costMicros: costMicros(model.price, { promptTokens, completionTokens, cachedTokens: null, hostMs: null }, null),
    priceVersion: priceVersion(model.price, null),
    content: null,
  };
}
