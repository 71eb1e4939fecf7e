/**
 * What may be asked on `/v1/responses`, as OpenAI documents it (November 2026). What the gateway does not know is left
 * out; what it cannot do is refused by name in `check.ts`. Grammar only.
 */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";

const text = z.string();
const count = z.number().int().positive();
const flag = z.boolean().nullish();

/** Remote and file URLs would be fetched by the host, from inside its network; file ids name what nobody keeps here. */
const image = z.object({
  type: z.literal("input_image"),
  image_url: text.startsWith("data:", "only data: URLs are taken"),
  detail: text.nullish(),
});
const part = z.discriminatedUnion("type", [
  z.object({ type: z.literal("input_text"), text }),
  z.object({ type: z.literal("output_text"), text }),
  z.object({ type: z.literal("refusal"), refusal: text }),
  image,
]);
export type Part = z.infer<typeof part>;

const message = z.object({
  type: z.literal("message"),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([text, z.array(part)]),
});
const item = z.discriminatedUnion("type", [
  message,
  z.object({ type: z.literal("function_call"), call_id: text.min(1), name: text.min(1), arguments: text }),
  z.object({
    type: z.literal("function_call_output"),
    call_id: text.min(1),
    output: z.union([text, z.array(part)]),
  }),
  // What a model thought is its own: engines are not told it again.
  z.object({ type: z.literal("reasoning") }),
]);
export type Item = z.infer<typeof item>;

/** OpenAI lets messages go without a type. */
const typed = z.preprocess((given) => (isUntyped(given) ? { ...given, type: "message" } : given), item);

function isUntyped(given: unknown): given is JsonObject {
  return typeof given === "object" && given !== null && !Array.isArray(given) && !("type" in given);
}

/** Tools that OpenAI runs itself have nobody to run them here. */
const tool = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("function"),
    name: text.min(1),
    description: text.nullish(),
    parameters: z.record(text, z.unknown()).nullish(),
    strict: flag,
  }),
]);
const named = z.object({ type: z.literal("function"), name: text });
const toolChoice = z.union([
  z.enum(["none", "auto", "required"]),
  z.discriminatedUnion("type", [
    named,
    z.object({ type: z.literal("allowed_tools"), mode: z.enum(["auto", "required"]), tools: z.array(named).min(1) }),
  ]),
]);

const format = z.discriminatedUnion("type", [
  z.object({ type: z.literal("text") }),
  z.object({ type: z.literal("json_object") }),
  z.object({
    type: z.literal("json_schema"),
    name: text.min(1),
    schema: z.record(text, z.unknown()),
    description: text.nullish(),
    strict: flag,
  }),
]);

export const document = z.object({
  model: text.min(1),
  input: z.union([text, z.array(typed).min(1)]),
  instructions: text.nullish(),
  stream: flag,
  max_output_tokens: count.nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_logprobs: z.number().int().min(0).max(20).nullish(),
  tools: z.array(tool).nullish(),
  tool_choice: toolChoice.nullish(),
  parallel_tool_calls: flag,
  text: z.object({ format: format.nullish(), verbosity: z.enum(["low", "medium", "high"]).nullish() }).nullish(),
  reasoning: z
    .object({ effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh", "max"]).nullish() })
    .nullish(),
  /** OpenAI's own bounds. */
  metadata: z
    .record(text.max(64), text.max(512))
    .refine((pairs) => Object.keys(pairs).length <= 16, "16 pairs at most")
    .nullish(),
  user: text.nullish(),
  include: z.array(text).nullish(),
  /** Nothing is kept here, whatever this says; the answer tells. */
  store: flag,
  truncation: z.enum(["auto", "disabled"]).nullish(),
  // Engines take these as well, and their answers can be told again only with a seed.
  seed: z.number().int().nullish(),
  stop: z.union([text, z.array(text).max(4)]).nullish(),
  top_k: z.number().int().nullish(),
  min_p: z.number().nullish(),
  presence_penalty: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  repetition_penalty: z.number().nullish(),
});
export type Document = z.infer<typeof document>;
