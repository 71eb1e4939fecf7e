/** One model as callers know it: who answers for it, how, for whom, and for how much. Grammar only, like `schema.ts`. */
import { z } from "zod";
import { modelName, name, role } from "./names.ts";
import { publicOrigin } from "./origin.ts";
import { price } from "./price.ts";
import { residency } from "./residency.ts";
import { served, shadow } from "./served.ts";

const positiveInt = z.number().int().positive();

/** How a model's requests are spread over its hosts; see `fleet/weigh.ts`. */
export const STRATEGIES = ["weighted", "least-busy", "fastest", "cheapest", "nearest"] as const;

/**
 * All in ms. Defaults: the design's own example; a first token within 10 s or another host is tried. `connect` is the
 * time to a stream's headers: vLLM sends them at once, llama.cpp with its first token, so there is none unless it is named.
 */
const deadlines = z.strictObject({
  connect: positiveInt.optional(),
  firstToken: positiveInt.default(10_000),
  betweenTokens: positiveInt.default(30_000),
  total: positiveInt.default(600_000),
});

/** The waiting line while every host is full. */
const queue = z.strictObject({
  /** Nobody joins who would wait longer, in ms. Absent: as long as the first token may take. */
  maxWait: z.number().int().nonnegative().optional(),
  maxWaiting: positiveInt.default(1_000),
});

export const model = z.strictObject({
  id: modelName,
  kind: z.enum(["generation", "embedding", "rerank", "transcription"]).default("generation"),
  /** Context window in tokens. */
  context: positiveInt.optional(),
  served: z.array(served).min(1, "at least one host"),
  shadow: z.array(shadow).default([]),
  strategy: z.enum(STRATEGIES).default("weighted"),
  /** Requests of one session, or with the same long beginning, go to the host that has it warm, as far as load allows. */
  affinity: z.boolean().default(true),
  queue: queue.prefault({}),
  /** `on-prem`: never answered by a host in the cloud. */
  residency: residency.optional(),
  /** Answers nobody when false: the kill switch. */
  enabled: z.boolean().default(true),
  /** In US dollars. Absent means unknown: the ledger then says null, never 0. */
  price: price.optional(),
  /** Keeps prompts and answers in the ledger. Absent: neither is stored anywhere. */
  storeContent: z.boolean().default(false),
  /**
   * Where URLs in a question's content may lead; empty: only `data:` URLs are taken. It is the host that fetches them,
   * from inside its network: name only origins that are trusted not to redirect it, nor to resolve to an address there.
   */
  remoteContent: z.array(publicOrigin).default([]),
  /** Absent: answers are never cached. `ttl` in seconds (KV allows no less than 60). */
  cache: z
    .strictObject({
      ttl: z.number().int().min(60, "KV keeps entries for 60 s at least"),
      scope: z.enum(["user", "shared"]),
    })
    .optional(),
  deadlines: deadlines.prefault({}),
  /** A silent stream says so often that it lives, in ms. It bounds how long a host works for a caller who has left. */
  heartbeat: z.number().int().min(250).max(15_000).default(2_000),
  /** A stream whose host dies is carried on by another, where that is safe (`upstream/continuation.ts`). */
  continuation: z.boolean().default(true),
  /** Short answers that are not streamed are asked of a second host when the first takes longer than it mostly does. */
  hedge: z.boolean().default(false),
  /** Who may use it: any of these roles and, where tiers are named, one of those. Absent: everyone. */
  allow: z.strictObject({ roles: z.array(role).min(1).optional(), tiers: z.array(name).min(1).optional() }).optional(),
});

export type Model = z.infer<typeof model>;

/** Whether it is switched on, for callers of one variant of it at least. */
export function isEnabled({ enabled, served }: Pick<Model, "enabled" | "served">): boolean {
  return enabled && served.some((place) => place.enabled);
}
