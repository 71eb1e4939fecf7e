/**
 * A name that callers may use instead of a model's, and the rules by which a request finds its model (`auto`, `code`,
 * `chat`). Grammar only, like `schema.ts`.
 */
import { z } from "zod";

/** Every condition that is named must hold; a rule without any always does. */
const when = z.strictObject({
  /** Of the prompt, by the gateway's own estimate. */
  minPromptTokens: z.number().int().nonnegative().optional(),
  maxPromptTokens: z.number().int().nonnegative().optional(),
  /** Whether the request offers tools. */
  tools: z.boolean().optional(),
  /** Languages (BCP 47, by their beginning) that the system prompt's tag may name: `[lang:de]`. */
  languages: z
    .array(z.string().regex(/^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$/, "a language tag"))
    .min(1)
    .optional(),
  /** Words that the caller's header `x-causeway-prefer` may hold: `fast`, `quality`, whatever the operator names. */
  prefer: z.array(z.string().min(1)).min(1).optional(),
});

export const alias = z.strictObject({
  /** The first that fits counts. */
  rules: z.array(z.strictObject({ when, use: z.string().min(1) })).default([]),
  /** The model's id when none fits. */
  otherwise: z.string().min(1),
});

export type Alias = z.infer<typeof alias>;
export type AliasCondition = z.infer<typeof when>;
