/** A model's places: the hosts that answer for it, and those that get copies. Grammar only, like `schema.ts`. */
import { z } from "zod";
import { name } from "./names.ts";

const place = {
  host: name,
  /** The model's name on that host. */
  as: z.string().min(1),
  /** Chat template for a `native` host, which has no chat route of its own. */
  template: z.enum(["chatml", "llama3"]).default("chatml"),
};

export const served = z.strictObject({
  ...place,
  /**
   * Share of the callers who are given this name (`as`), each always the same one: variants of a model. Entries of one
   * name add up. Either every entry has it or none has.
   */
  split: z.number().nonnegative().optional(),
  /** Nothing new is asked of it when false: the kill switch of a variant. */
  enabled: z.boolean().default(true),
});

/** A copy of some requests, whose answer nobody sees and nobody pays for. */
export const shadow = z.strictObject({
  ...place,
  /** Part of the requests that are copied, 0 to 1. */
  sample: z.number().min(0).max(1).default(1),
});

export type Served = z.infer<typeof served>;
export type Shadow = z.infer<typeof shadow>;
