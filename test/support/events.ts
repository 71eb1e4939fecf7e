/** Ledger events for tests: a plausible one, changed where the test says so. */
import type { InferenceEvent } from "#src/usage/event.ts";

/** A finished request with a fresh id. */
export function eventWith(changed: Partial<InferenceEvent> = {}): InferenceEvent {
  return {
    v: 1,
    kind: "inference",
    id: crypto.randomUUID(),
    atMs: 1_790_000_000_123,
    route: "chat",
    model: "llama-3.1-8b",
    userId: "basic-user",
    keyId: null,
    tier: "basic",
    ip: null,
    workflowId: null,
    host: "gpu",
    servedAs: "meta-llama/Llama-3.1-8B-Instruct",
    promptTokens: 11,
    completionTokens: 7,
    estimated: false,
    savedTokens: 0,
    ttftMs: 42,
    latencyMs: 420,
    finishReason: "stop",
    outcome: "complete",
    attempts: 1,
    cache: "miss",
    costMicros: 2,
    ...changed,
  };
}
