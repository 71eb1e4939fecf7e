/**
 * What a tier of the catalog allows: windows, tokens, money, requests in flight, and what a single request may ask for.
 * Grammar only, like `schema.ts`.
 */
import { z } from "zod";

const positiveInt = z.number().int().positive();
const dollars = z.number().positive();

/** Requests, tokens and money that may be spent within sliding windows. */
const windows = {
  /** Requests per minute, hour and day. */
  rpm: positiveInt.optional(),
  rph: positiveInt.optional(),
  rpd: positiveInt.optional(),
  /** Tokens per minute and day, prompt and completion together. */
  tpm: positiveInt.optional(),
  tpd: positiveInt.optional(),
  /** In US dollars, per 24 hours and per 30 days. Models without a price cost nothing here. */
  budget: z.strictObject({ perDay: dollars.optional(), perMonth: dollars.optional() }).optional(),
};

/** Caps on top of a tier's: of one API key. */
export const caps = z.strictObject({
  ...windows,
  /** Requests in flight at once. */ concurrency: positiveInt.optional(),
});
/** Caps that the users of one tenant share. */
export const tenantCaps = z.strictObject(windows);

/** Engine options that cost a host more than a token does: refused unless a tier names them. */
export const COSTLY_FIELDS = ["echo", "grammar", "guided_grammar", "guided_regex", "structured_outputs"] as const;

export const tier = z.strictObject({
  ...windows,
  rpm: positiveInt,
  rph: positiveInt,
  rpd: positiveInt,
  tpm: positiveInt,
  /** Requests in flight at once. */
  concurrency: positiveInt,
  /** Weight in the fair line when hosts are full. */
  share: z.number().positive(),
  /** Goes before lower ones in that line; who waits long goes before all the same. */
  priority: z.number().int().min(0).max(9).default(0),
  /** Other limits for some models: each that is named counts that model's requests instead of the tier's own. */
  models: z.record(z.string(), caps).default({}),
  /** The most tokens that one answer may have; also of requests that name no `max_tokens`. */
  maxTokens: positiveInt.optional(),
  /** The most answers to one question. */
  maxN: positiveInt.optional(),
  /** What becomes of a request that asks for more: refused, or cut down to what is allowed. */
  over: z.enum(["refuse", "clamp"]).default("refuse"),
  /** Costly engine options that this tier may use. */
  allowFields: z.array(z.enum(COSTLY_FIELDS)).default([]),
  /**
   * Requests per minute that each isolate may admit by itself while the caller's account cannot be reached. Absent: none,
   * callers then hear 503. Not exact across isolates; marked in the ledger.
   */
  localAllowance: z.strictObject({ rpm: positiveInt }).optional(),
});

const plain = { priority: 0, models: {}, over: "refuse" as const, allowFields: [] };

/** The tiers of the design, for catalogs that name none. */
export const DEFAULT_TIERS: Record<string, z.infer<typeof tier>> = {
  basic: { rpm: 50, rph: 500, rpd: 5_000, tpm: 20_000, concurrency: 4, share: 1, ...plain },
  default: { rpm: 100, rph: 1_000, rpd: 10_000, tpm: 40_000, concurrency: 8, share: 2, ...plain },
  premium: { rpm: 200, rph: 2_000, rpd: 20_000, tpm: 100_000, concurrency: 16, share: 4, ...plain },
  enterprise: { rpm: 1_000, rph: 10_000, rpd: 100_000, tpm: 500_000, concurrency: 64, share: 8, ...plain },
};

export type Tier = z.infer<typeof tier>;
export type Caps = z.infer<typeof caps>;
