/** What a model's answers cost and what a host costs its owner. Grammar only, like `schema.ts`. In US dollars. */
import { z } from "zod";

const dollars = z.number().nonnegative();

export const price = z
  .strictObject({
    /** Names this price in the ledger. Absent: a digest of its figures. */
    version: z.string().min(1).max(64).optional(),
    /** Per 1,000 tokens; the more precise ones win where they are given. */
    per1kTokens: dollars.optional(),
    per1kPromptTokens: dollars.optional(),
    per1kCompletionTokens: dollars.optional(),
    /** Prompt tokens that the engine found in its prefix cache. Absent: they cost what other prompt tokens do. */
    per1kCachedTokens: dollars.optional(),
    perRequest: dollars.optional(),
    /** Per second that a host worked on the request. */
    perGpuSecond: dollars.optional(),
    /** Adds what the host costs its owner: its `cost`, for the time worked, shared among its slots. */
    hostTime: z.boolean().optional(),
  })
  .refine(
    ({ version: _version, ...figures }) =>
      Object.values(figures).some((figure) => figure !== undefined && figure !== false),
    "at least one figure: leave the price out where it is not known",
  )
  .refine(
    ({ per1kTokens, per1kPromptTokens, per1kCompletionTokens }) =>
      per1kTokens !== undefined || (per1kPromptTokens === undefined) === (per1kCompletionTokens === undefined),
    "per1kPromptTokens and per1kCompletionTokens belong together, unless per1kTokens stands for the other",
  )
  .refine(
    ({ per1kTokens, per1kPromptTokens, per1kCachedTokens }) =>
      per1kCachedTokens === undefined || (per1kPromptTokens ?? per1kTokens) !== undefined,
    "per1kCachedTokens belongs to a price of other prompt tokens",
  );

/** What a host costs while it is switched on. */
export const hostCost = z.strictObject({
  /** Its price spread over its working life, and its place. */
  perHour: dollars,
  /** Under load; with the price of a kilowatt hour. */
  watts: dollars.default(0),
  perKwh: dollars.default(0),
});

export type Price = z.infer<typeof price>;
