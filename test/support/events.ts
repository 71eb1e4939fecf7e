/** Ledger events for tests: a plausible one, changed where the test says so. */
import type { FeedbackEvent, HostLoadEvent, HostStateEvent, InferenceEvent } from "#src/usage/event.ts";

/** A finished request with a fresh id. */
export function eventWith(changed: Partial<InferenceEvent> = {}): InferenceEvent {
  return {
    v: 1,
    kind: "inference",
    id: crypto.randomUUID(),
    atMs: 1_790_000_000_123,
    route: "chat",
    model: "llama-3.1-8b",
    account: "https://issuer.test|basic-user",
    userId: "basic-user",
    tenant: null,
    keyId: null,
    tier: "basic",
    ip: null,
    workflowId: null,
    traceId: null,
    host: "gpu",
    hosts: ["gpu"],
    servedAs: "meta-llama/Llama-3.1-8B-Instruct",
    promptTokens: 11,
    completionTokens: 7,
    cachedTokens: null,
    estimated: false,
    wastedTokens: 0,
    savedTokens: 0,
    ttftMs: 42,
    latencyMs: 420,
    queueWaitMs: null,
    hostMs: 400,
    finishReason: "stop",
    outcome: "complete",
    attempts: 1,
    cache: "miss",
    admittedBy: "account",
    placedBy: "fleet",
    costMicros: 2,
    priceVersion: "1",
    content: null,
    ...changed,
  };
}

/** What a caller thought of an answer, with a fresh id. */
export function feedbackWith(changed: Partial<FeedbackEvent> = {}): FeedbackEvent {
  return {
    v: 1,
    kind: "feedback",
    id: crypto.randomUUID(),
    atMs: 1_790_000_060_456,
    requestId: crypto.randomUUID(),
    account: "https://issuer.test|basic-user",
    userId: "basic-user",
    satisfaction: 8,
    accuracy: 0.75,
    comment: null,
    ...changed,
  };
}

/** A host that went out, with a fresh id. */
export function hostStateWith(changed: Partial<HostStateEvent> = {}): HostStateEvent {
  return {
    v: 1,
    kind: "host_state",
    id: crypto.randomUUID(),
    atMs: 1_790_000_000_123,
    host: "gpu",
    state: "out",
    previous: "healthy",
    slots: 64,
    reason: "3 probes failed",
    ...changed,
  };
}

/** What a host had to do at one moment, with a fresh id. */
export function hostLoadWith(changed: Partial<HostLoadEvent> = {}): HostLoadEvent {
  return {
    v: 1,
    kind: "host_load",
    id: crypto.randomUUID(),
    atMs: 1_790_000_000_123,
    host: "gpu",
    running: 12,
    waiting: 3,
    kvUsage: 0.25,
    inFlight: 14,
    inLine: 2,
    ...changed,
  };
}
