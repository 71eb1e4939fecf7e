/**
 * What may be asked: the schemas of the three inference routes. Fields that this gateway reads or that could harm a
 * host are checked; what it does not know passes through, because engines have more options than OpenAI's.
 */
import { z } from "zod";
import type { Offer } from "#src/catalog/host.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { isOffered } from "#src/upstream/offered.ts";
import type { Recording } from "./form.ts";
import { transcriptionOf } from "./transcription.ts";
import { OPENAI, type Wording } from "./wording.ts";

/** What every engine answers. */
export type PlainRoute = "chat" | "completions" | "embeddings";
/** What only hosts that offer it are asked. */
export type OfferedRoute = Extract<Offer, "rerank" | "transcriptions" | "tokenize">;
export type Route = PlainRoute | OfferedRoute;

/** A checked question: the document as it came in, and what the gateway itself must know of it. */
export type Question = {
  readonly route: Route;
  readonly model: string;
  readonly stream: boolean;
  /** The caller asked for the usage chunk (`stream_options.include_usage`). */
  readonly wantsUsage: boolean;
  readonly body: JsonObject;
  /** The caller's protocol: `body` is then the question as chat has it. */
  readonly wording: Wording;
  /** What the caller wrote, where that is no OpenAI question: for hosts that speak its protocol themselves. */
  readonly original: JsonObject | null;
  /** What a host must offer beside chat, completions and embeddings to be asked this at all. */
  readonly needs: Offer | null;
  /** Parts the hosts' prefix caches by tenant (`cache-salt.ts`); null until it is known who asks. */
  readonly cacheSalt: string | null;
  /** Beside `body`: what is to be transcribed. */
  readonly recording: Recording | null;
  /** Content type of a whole answer. */
  readonly answerType: string;
};

/** Answers to one question: each costs the host as much as a question of its own. */
const MAX_N = 4;

/** Alternatives per token: each is written out in full. */
const MAX_LOGPROBS = 20;

/** Texts to rank: each is read together with the query. */
const MAX_DOCUMENTS = 1_000;

const count = z.number().int().positive();
const text = z.string();

const shared = {
  model: text.min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  max_tokens: count.nullish(),
  /** A flag in chat; in raw completions how many alternatives to tell. */
  logprobs: z.union([z.boolean(), z.number().int().min(0).max(MAX_LOGPROBS)]).nullish(),
  top_logprobs: z.number().int().min(0).max(MAX_LOGPROBS).nullish(),
  n: z.number().int().min(1).max(MAX_N).nullish(),
  stop: z.union([text, z.array(text).max(4)]).nullish(),
  seed: z.number().int().nullish(),
  user: text.nullish(),
};

/** Where its URLs may lead is for `remote-content.ts`, when the model is known. */
const url = z.union([text, z.looseObject({ url: text })]);
const part = z.looseObject({
  type: text,
  image_url: url.optional(),
  video_url: url.optional(),
  audio_url: url.optional(),
});
const message = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant", "tool", "function"]),
  content: z.union([text, z.array(part)]).nullish(),
});

const schemas = {
  chat: z.looseObject({
    ...shared,
    messages: z.array(message).min(1),
    max_completion_tokens: count.nullish(),
    tools: z.array(z.looseObject({ type: text })).nullish(),
  }),
  completions: z.looseObject({
    ...shared,
    prompt: z.union([
      text,
      z.array(text).min(1),
      z.array(z.number().int()).min(1),
      z.array(z.array(z.number().int())).min(1),
    ]),
  }),
  embeddings: z.looseObject({
    model: text.min(1),
    input: z.union([
      text,
      z.array(text).min(1),
      z.array(z.number().int()).min(1),
      z.array(z.array(z.number().int())).min(1),
    ]),
    encoding_format: z.enum(["float", "base64"]).nullish(),
    dimensions: count.nullish(),
    user: text.nullish(),
  }),
  rerank: z.looseObject({
    model: text.min(1),
    query: text.min(1),
    documents: z.array(text).min(1).max(MAX_DOCUMENTS),
    /** 0 for all of them, as vLLM has it. */
    top_n: z.number().int().nonnegative().nullish(),
    return_documents: z.boolean().nullish(),
    user: text.nullish(),
  }),
  tokenize: z
    .looseObject({
      model: text.min(1),
      prompt: text.nullish(),
      messages: z.array(message).min(1).nullish(),
      tools: z.array(z.looseObject({ type: text })).nullish(),
      add_special_tokens: z.boolean().nullish(),
      add_generation_prompt: z.boolean().nullish(),
      continue_final_message: z.boolean().nullish(),
      return_token_strs: z.boolean().nullish(),
    })
    .refine(({ prompt, messages }) => (prompt == null) !== (messages == null), {
      path: ["prompt"],
      error: "either a prompt or messages",
    }),
} satisfies Record<Exclude<Route, "transcriptions">, z.ZodType>;

/**
 * Engine options that reach past the caller's own request: scheduling order, other callers' prefix cache, request ids,
 * templates run on the host, and the engine's own stream options that the gateway sets itself.
 */
const REFUSED = [
  "priority",
  "cache_salt",
  "request_id",
  "kv_transfer_params",
  "chat_template",
  "chat_template_kwargs",
  "mm_processor_kwargs",
  "prompt_embeds",
  "logits_processors",
  "id_slot",
  "lora",
  // Work without bound, or many times what the tier's limits count.
  "best_of",
  "ignore_eos",
  "min_tokens",
  "n_predict",
  "prompt_logprobs",
  "return_token_ids",
  "truncate_prompt_tokens",
  "documents",
] as const;

/** What other routes ask by. An engine that minds it here too would do what nobody has checked, bounded or counted. */
const OF_OTHER_ROUTES: Record<Route, readonly string[]> = {
  chat: ["prompt", "input"],
  completions: ["messages", "input", "max_completion_tokens"],
  // vLLM also embeds a conversation, and would fetch the URLs in it.
  embeddings: ["messages", "prompt"],
  rerank: ["messages", "prompt", "input", "stream"],
  tokenize: ["input", "query", "stream"],
  transcriptions: [],
};

/** What no field of OpenAI's says otherwise. */
const WHOLE = {
  stream: false,
  wantsUsage: false,
  wording: OPENAI,
  original: null,
  cacheSalt: null,
  recording: null,
  answerType: "application/json",
};

/**
 * Refuses the engine options that are not the caller's to set, in whatever protocol.
 *
 * @throws Problem `unsupported_value`, with `param` naming the field
 */
export function refuseReserved(body: JsonObject): void {
  for (const param of REFUSED) {
    if (body[param] !== undefined)
      throw new Problem("unsupported_value", { param, message: `${param} cannot be set here.` });
  }
}

/**
 * Checks a document against its route's schema.
 *
 * @throws Problem `invalid_value` or `unsupported_value`, with `param` naming the field
 */
export function questionOf(route: Route, body: JsonObject): Question {
  if (route === "transcriptions") {
    const { body: checked, answerType } = transcriptionOf(body);
    return { ...WHOLE, route, model: checked.model, body: checked, answerType, needs: route };
  }
  const result = schemas[route].safeParse(body);
  if (!result.success) {
    const [issue] = result.error.issues;
    const param = issue?.path.join(".") || null;
    throw new Problem("invalid_value", { param, message: `${param ?? "The body"}: ${issue?.message ?? "is wrong"}` });
  }
  refuseReserved(route === "rerank" ? { ...body, documents: undefined } : body);
  const foreign = OF_OTHER_ROUTES[route].find((param) => body[param] != null);
  if (foreign !== undefined) {
    throw new Problem("unsupported_value", { param: foreign, message: `${foreign} is not a field of this route.` });
  }
  const { model, stream, stream_options: options } = result.data as z.infer<(typeof schemas)["chat"]>;
  if (options !== undefined && options !== null && stream !== true) {
    const message = "stream_options is only allowed when stream is true.";
    throw new Problem("invalid_value", { param: "stream_options", message });
  }
  const wantsUsage = options?.include_usage === true;
  return { ...WHOLE, route, model, stream: stream === true, wantsUsage, body, needs: isOffered(route) ? route : null };
}
