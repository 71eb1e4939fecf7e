/** Messages that the ledger can never take as what they say they are. Each has an id, so that it can be told again. */
import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

export type Poison = { readonly id: string; readonly message: unknown };

/** Larger than any event, and within what a queue carries. */
const HUGE_BYTES = 90_000;
/** Postgres indexes no name of this length that cannot be compressed. */
const LONG_NAME_BYTES = 6_000;

const KINDS: readonly ((id: string) => unknown)[] = [
  // From a version to come, or from one that is gone.
  (id) => ({ ...event(id), v: 99 }),
  (id) => ({ ...event(id), kind: "telepathy" }),
  // Cut short, or of the wrong types.
  (id) => ({ id }),
  (id) => ({ ...event(id), promptTokens: "many", host: { name: "gpu" } }),
  (id) => ({ ...event(id), atMs: -1 }),
  (id) => ({ ...event(id), content: "x".repeat(HUGE_BYTES) }),
  // An event in every member, whose row the database refuses.
  (id) => ({ ...event(id), userId: randomBytes(LONG_NAME_BYTES / 2).toString("hex") }),
];

/** While nobody listens. */
const TRY_AGAIN_MS = 500;
const ANSWER_LIMIT_MS = 10_000;

/** Puts so many into the queue, one of every kind in turn, evenly over a time. `told` gets each that the queue has. */
export async function pour(
  gateway: string,
  count: number,
  overMs: number,
  told: (poison: Poison) => void,
  over: AbortSignal,
): Promise<void> {
  const startedAtMs = Date.now();
  for (let number = 0; number < count; number++) {
    await sleep(Math.max(0, startedAtMs + (number * overMs) / count - Date.now()), undefined, { signal: over });
    const id = randomUUID();
    const one = { id, message: { event: KINDS[number % KINDS.length]?.(id), outbox: null } };
    while (!(await tell(gateway, one))) await sleep(TRY_AGAIN_MS, undefined, { signal: over });
    told(one);
  }
}

/** @returns false when the queue did not say that it has it */
export async function tell(gateway: string, { message }: Poison): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_LIMIT_MS);
    const response = await fetch(`${gateway}/storm/poison`, { method: "POST", body: JSON.stringify(message), signal });
    return response.ok;
  } catch {
    return false;
  }
}

function event(id: string): Record<string, unknown> {
  return {
    v: 1,
    kind: "inference",
    id,
    atMs: Date.now(),
    route: "chat",
    model: "poison",
    account: "poison",
    userId: "poison",
    tenant: null,
    keyId: null,
    tier: "default",
    ip: null,
    workflowId: null,
    traceId: null,
    host: null,
    servedAs: null,
    promptTokens: 0,
    completionTokens: 0,
    cachedTokens: null,
    estimated: false,
    savedTokens: 0,
    ttftMs: null,
    latencyMs: 0,
    queueWaitMs: null,
    hostMs: null,
    finishReason: null,
    outcome: "complete",
    attempts: 0,
    cache: "bypass",
    admittedBy: "account",
    placedBy: "fleet",
    costMicros: null,
    priceVersion: null,
    content: null,
  };
}
