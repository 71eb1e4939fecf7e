/**
 * `/v1/responses` at a host that has it (vLLM): what it is asked, and its whole answer as chat's, for the ledger and the
 * cache. The stream is in `responses-stream.ts`. Pure.
 */
import type { Host } from "#src/catalog/schema.ts";
import type { Question } from "#src/ingress/question.ts";
import { isObject, type JsonObject } from "#src/json.ts";

export const RESPONSES_PATH = "/v1/responses";

/** Chat has these at every engine, and this route at none or at some: one that minds it would leave out the others. */
const ONLY_IN_CHAT = [
  "top_k",
  "min_p",
  "seed",
  "stop",
  "presence_penalty",
  "frequency_penalty",
  "repetition_penalty",
] as const;

/**
 * A response's first two events and its last repeat these. More would be taken for a host that talks without an answer,
 * or for an event without end.
 */
const MOST_REPEATED_CHARACTERS = 64 * 1024;

/** Whether the host is asked in the caller's own protocol: where it has it, and can do there all that is asked for. */
export function isAskedForResponse({ offers, native }: Pick<Host, "offers" | "native">, question: Question): boolean {
  const { wording, original, body } = question;
  if (wording.protocol !== "responses" || original === null || native || !offers.includes("responses")) return false;
  const { instructions, tools } = original;
  if (JSON.stringify([instructions, tools]).length > MOST_REPEATED_CHARACTERS) return false;
  return ONLY_IN_CHAT.every((option) => body[option] === undefined);
}

/**
 * The request for a question: the caller's own document within the caps that its chat form was held to.
 *
 * @param model the model's name there
 */
export function responsesRequest({ original, body, stream }: Question, model: string): JsonObject {
  const bound = body.max_completion_tokens ?? body.max_tokens;
  // vLLM keeps a response unless told otherwise.
  const own = { model, stream, store: false };
  return { ...original, ...own, ...(bound === undefined ? {} : { max_output_tokens: bound }) };
}

/**
 * A whole response as a `chat.completion`.
 *
 * @throws Error when the document is no answer
 */
export function chatAnswer(response: JsonObject): JsonObject {
  const { id, created_at, model, output, status } = response;
  if (!Array.isArray(output) || (status !== "completed" && status !== "incomplete")) {
    throw new Error("the host's document holds no answer");
  }
  const items = output.filter(isObject);
  const tool_calls = items.filter(({ type }) => type === "function_call").map(callOf);
  const thought = textsOf(items, "reasoning", "text");
  const message = {
    role: "assistant",
    content: textsOf(items, "message", "text"),
    refusal: textsOf(items, "message", "refusal"),
    ...(thought === null ? {} : { reasoning_content: thought }),
    ...(tool_calls.length === 0 ? {} : { tool_calls }),
  };
  const choice = { index: 0, message, logprobs: null, finish_reason: finishReasonOf(response) };
  const usage = chatUsage(response);
  const answer = { id, object: "chat.completion", created: created_at, model, choices: [choice] };
  return usage === null ? answer : { ...answer, usage };
}

/** Why a response that has ended did. Some builds of vLLM say `response.completed` also of one that was cut short. */
export function finishReasonOf({ status, incomplete_details: why, output }: JsonObject): string {
  if (status === "incomplete") return isObject(why) && why.reason === "content_filter" ? "content_filter" : "length";
  const calls = Array.isArray(output) && output.some((item) => isObject(item) && item.type === "function_call");
  return calls ? "tool_calls" : "stop";
}

/** Its usage as chat names the counts; null where the host tells none. */
export function chatUsage({ usage }: JsonObject): JsonObject | null {
  if (!isObject(usage)) return null;
  const {
    input_tokens,
    output_tokens,
    total_tokens,
    input_tokens_details: input,
    output_tokens_details: output,
  } = usage;
  return {
    prompt_tokens: input_tokens,
    completion_tokens: output_tokens,
    total_tokens,
    ...(isObject(input) ? { prompt_tokens_details: { cached_tokens: input.cached_tokens } } : {}),
    ...(isObject(output) ? { completion_tokens_details: { reasoning_tokens: output.reasoning_tokens } } : {}),
  };
}

function callOf({ call_id, name, arguments: given }: JsonObject): JsonObject {
  return { id: call_id, type: "function", function: { name, arguments: given } };
}

/** What items of a type say in parts that have this member; null where none does. */
function textsOf(items: readonly JsonObject[], type: string, member: "text" | "refusal"): string | null {
  const parts = items
    .filter((item) => item.type === type)
    .flatMap(({ content }) => (Array.isArray(content) ? content : []));
  const texts = parts.flatMap((part) => (isObject(part) && typeof part[member] === "string" ? [part[member]] : []));
  return texts.length === 0 ? null : texts.join("");
}
