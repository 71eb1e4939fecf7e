/**
 * What the queue carries: a versioned event, checked where it is read. The event's id is the request's id, which makes
 * every later step idempotent. It holds no credential, and a prompt or an answer only where the catalog stores content.
 */
import { z } from "zod";

/** Postgres's `integer`. A caller may ask for more tokens than that, and a host may claim more. */
const LARGEST_COUNT = 2 ** 31 - 1;
const amount = z.number().int().nonnegative();
const count = amount.transform((value) => Math.min(value, LARGEST_COUNT));
/** A name reaches the ledger damaged rather than not at all: Postgres takes no NUL and no half of a surrogate pair. */
const storable = (value: string): string => value.toWellFormed().replaceAll("\0", "\ufffd");
const text = z.string().transform(storable);
/** Null also for what is no address: the ledger's columns take nothing else. */
const address = z.union([z.ipv4(), z.ipv6()]).nullable().catch(null);

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
  /** No host was asked: all were full, and would have been for longer than the caller bears. */
  "shed",
  /** Nobody settled the lease in time: the isolate died. */
  "abandoned",
] as const;

export const inferenceEvent = z.object({
  v: z.literal(1),
  kind: z.literal("inference"),
  id: z.uuid(),
  /** When the request came in, ms since the epoch. */
  atMs: amount,
  route: text,
  model: text,
  /** The caller's account, which no other issuer's user shares; `userId` alone may be another issuer's too. */
  account: text,
  userId: text,
  /** The organisation that the token names; null where it names none. */
  tenant: text.nullable(),
  keyId: text.nullable(),
  tier: text,
  ip: address,
  workflowId: text.nullable(),
  /** From `traceparent` (W3C Trace Context): 32 hex digits. */
  traceId: text.nullable(),
  host: text.nullable(),
  /** Those that made a part of the answer, in order: several where one died and another carried on. */
  hosts: z.array(text).max(16).default([]),
  servedAs: text.nullable(),
  promptTokens: count,
  completionTokens: count,
  /** Of the prompt's, those that the engine had in its prefix cache; null when it did not say. */
  cachedTokens: count.nullable(),
  /** True when the engine did not say and the gateway counted. */
  estimated: z.boolean(),
  /** Completion tokens that hosts made and no caller got; null where nobody knows how many. */
  wastedTokens: count.nullable().default(0),
  /** Tokens that a cached answer saved. */
  savedTokens: count,
  /** From arrival to the first content of a stream; null when there was none, or the answer came whole. */
  ttftMs: count.nullable(),
  latencyMs: count,
  /** Waited in line for a host; null when there was no line to wait in. */
  queueWaitMs: count.nullable(),
  /** How long the host that answered worked on it; null when none did. */
  hostMs: count.nullable(),
  finishReason: text.nullable(),
  outcome: z.enum(OUTCOMES),
  /** Hosts that were asked. */
  attempts: count,
  cache: z.enum(["hit", "miss", "bypass"]),
  /** Who said yes: the account, or the isolate's own bounded allowance while the account could not be reached. */
  admittedBy: z.enum(["account", "local"]),
  /** Who chose the host: the fleet, or the isolate by what it knew last while the fleet could not be reached. */
  placedBy: z.enum(["fleet", "local"]).default("fleet"),
  /** Micro-dollars; null when the price is unknown. */
  costMicros: amount.nullable(),
  /** Which price that was; null when there was none. */
  priceVersion: text.nullable(),
  /** Only where the catalog stores the model's content. */
  content: z.object({ prompt: text, response: text }).nullable(),
});
export type InferenceEvent = z.infer<typeof inferenceEvent>;

export const AUDIT_OUTCOMES = ["ok", "denied", "failed"] as const;

/** The audit trail is indexed by its names, and Postgres indexes no more than about 2,700 bytes: four for a character. */
const LONGEST_NAME = 512;
const name = z.string().transform((value) => storable(value.slice(0, LONGEST_NAME)));

/** Who did, or was kept from doing, what. */
export const auditEvent = z.object({
  v: z.literal(1),
  kind: z.literal("audit"),
  id: z.uuid(),
  atMs: amount,
  /** The ledger's user id; `anonymous` before the door, `system` for what nobody asked for. */
  actor: name,
  keyId: name.nullable(),
  /** `key.issue`, `key.rotate`, `key.revoke`, `issuer-keys.purge`, `access.denied`, `catalog.load`, … */
  action: name,
  /** What it was done to: a key's id, a route, a host. */
  target: name.nullable(),
  /** The address it came from. */
  ip: address,
  outcome: z.enum(AUDIT_OUTCOMES),
  requestId: z.uuid().nullable(),
  /** Further facts. Never a credential, a prompt or an answer. */
  detail: z.record(text, z.union([text, z.number(), z.boolean(), z.null()])),
});
export type AuditEvent = z.infer<typeof auditEvent>;

/** What a caller thought of an answer. The route checked that the answer was its own. */
export const feedbackEvent = z.object({
  v: z.literal(1),
  kind: z.literal("feedback"),
  id: z.uuid(),
  atMs: amount,
  /** The inference event that it is about. */
  requestId: z.uuid(),
  account: text,
  userId: text,
  /** 1 to 10. */
  satisfaction: z.number().int().min(1).max(10).nullable(),
  /** 0 to 1. */
  accuracy: z.number().min(0).max(1).nullable(),
  comment: text.nullable(),
});
export type FeedbackEvent = z.infer<typeof feedbackEvent>;

/** A host's state as the fleet knows it: on every change, and once an hour, so that capacity can be reckoned later. */
export const hostStateEvent = z.object({
  v: z.literal(1),
  kind: z.literal("host_state"),
  id: z.uuid(),
  atMs: amount,
  host: name,
  state: name,
  /** The state before, the same one in the hourly sample; null at the first. */
  previous: name.nullable(),
  /** What the catalog says the host can work on at once. */
  slots: count,
  reason: name.nullable(),
});
export type HostStateEvent = z.infer<typeof hostStateEvent>;

/** What a host had to do at one moment, once a minute. What the engine does not tell is null. */
export const hostLoadEvent = z.object({
  v: z.literal(1),
  kind: z.literal("host_load"),
  id: z.uuid(),
  atMs: amount,
  host: name,
  /** Requests that the engine works on. */
  running: count.nullable(),
  /** Requests that wait inside the engine. */
  waiting: count.nullable(),
  /** Part of the KV cache in use. */
  kvUsage: z.number().min(0).max(1).nullable(),
  /** Requests that the gateway had in flight there. */
  inFlight: count,
  /** Requests that waited for it in the gateway's own line. */
  inLine: count,
});
export type HostLoadEvent = z.infer<typeof hostLoadEvent>;

/**
 * An id of version 7 tells when it was minted, and that is the event's time. The ledger is cut by time, so what keeps an
 * event from being entered twice is its id together with its time: no id may come with two times.
 */
function mintedThen({ id, atMs }: { readonly id: string; readonly atMs: number }): boolean {
  return id[14] !== "7" || Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16) === atMs;
}

/** Grows by further kinds; a consumer that meets one it does not know must not lose it. */
export const usageEvent = z
  .discriminatedUnion("kind", [inferenceEvent, feedbackEvent, auditEvent, hostStateEvent, hostLoadEvent])
  .refine(mintedThen, { path: ["id"], error: "was not minted at atMs" });
export type UsageEvent = z.infer<typeof usageEvent>;

/**
 * What a queue message holds: the event, and the Durable Object id of the account whose outbox keeps it until the ledger
 * has it. Null where there is no outbox to tell: the event was sent straight to the queue.
 */
export type UsageMessage = { readonly event: UsageEvent; readonly outbox: string | null };
