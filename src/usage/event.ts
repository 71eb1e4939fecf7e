/**
 * What the queue carries: a versioned event, checked where it is read. The event's id is the request's id, which makes
 * every later step idempotent. It holds no prompt, no answer and no credential.
 */
import { z } from "zod";

const count = z.number().int().nonnegative();

export const OUTCOMES = [
  /** The whole answer was delivered. */
  "complete",
  /** The answer came from the cache; no host worked. */
  "cached",
  /** The caller went away; tokens are those made until then. */
  "client_left",
  /** A host failed, before or within the answer. */
  "upstream_error",
  /** The engine refused the request as wrong. */
  "rejected",
  /** Nobody settled the lease in time: the isolate died. */
  "abandoned",
] as const;

export const inferenceEvent = z.object({
  v: z.literal(1),
  kind: z.literal("inference"),
  id: z.uuid(),
  /** When the request came in, ms since the epoch. */
  atMs: count,
  route: z.string(),
  model: z.string(),
  userId: z.string(),
  keyId: z.string().nullable(),
  tier: z.string(),
  ip: z.string().nullable(),
  workflowId: z.string().nullable(),
  host: z.string().nullable(),
  servedAs: z.string().nullable(),
  promptTokens: count,
  completionTokens: count,
  /** True when the engine did not say and the gateway counted. */
  estimated: z.boolean(),
  /** Tokens that a cached answer saved. */
  savedTokens: count,
  /** From arrival to the first content of a stream; null when there was none, or the answer came whole. */
  ttftMs: count.nullable(),
  latencyMs: count,
  finishReason: z.string().nullable(),
  outcome: z.enum(OUTCOMES),
  /** Hosts that were asked. */
  attempts: count,
  cache: z.enum(["hit", "miss", "bypass"]),
  /** Micro-dollars; null when the model has no price. */
  costMicros: count.nullable(),
});
export type InferenceEvent = z.infer<typeof inferenceEvent>;

/** Grows by further kinds; a consumer that meets one it does not know must not lose it. */
export const usageEvent = z.discriminatedUnion("kind", [inferenceEvent]);
export type UsageEvent = z.infer<typeof usageEvent>;
