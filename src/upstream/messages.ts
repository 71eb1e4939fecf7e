/**
 * Hosts that have Anthropic's Messages route themselves: what they are asked, and a whole answer of theirs as chat has
 * it, because that is what is counted and kept. The stream is in `messages-stream.ts`. Pure.
 */
import type { Host, Served } from "#src/catalog/schema.ts";
import type { Question } from "#src/ingress/question.ts";
import { isObject, type JsonObject } from "#src/json.ts";
import { countOf } from "./native.ts";
import type { Tally } from "./tally.ts";

export const MESSAGES_PATH = "/v1/messages";

/** Whether a host is asked the question as its caller wrote it. */
export function isAskedNatively(
  { engine, offers, cacheSalt }: Pick<Host, "engine" | "offers" | "cacheSalt">,
  { wording, original }: Question,
): boolean {
  // vLLM's own route takes no salt: tenants would share what its prefix cache tells.
  if (engine === "vllm" && cacheSalt) return false;
  return wording.protocol === "messages" && original !== null && offers.includes("messages");
}

/** The request: the caller's question, checked, with the model's name there and the bound that its tier sets. */
export function messagesRequest({ original, body, stream }: Question, { as }: Served): JsonObject {
  return { ...original, model: as, max_tokens: body.max_tokens, stream };
}

/** Of a message's reasons to stop, those that chat knows by another name than `stop`. */
const FINISH_REASONS: Readonly<Record<string, string>> = {
  max_tokens: "length",
  tool_use: "tool_calls",
  refusal: "content_filter",
};

/** Chat's word for why a message stopped; null while it has not. */
export function finishReasonOf(stopReason: unknown): string | null {
  return typeof stopReason === "string" ? (FINISH_REASONS[stopReason] ?? "stop") : null;
}

/**
 * The counts of a message. Input that came from the cache is counted apart from the rest there, and with it in chat.
 *
 * @returns what it says; nothing of what it leaves out
 */
export function messageCounts(
  usage: unknown,
): Partial<Pick<Tally, "promptTokens" | "completionTokens" | "cachedTokens">> {
  if (!isObject(usage)) return {};
  const input = countOf(usage.input_tokens);
  const output = countOf(usage.output_tokens);
  const cached = countOf(usage.cache_read_input_tokens);
  const written = countOf(usage.cache_creation_input_tokens);
  return {
    ...(input === null ? {} : { promptTokens: input + (cached ?? 0) + (written ?? 0) }),
    ...(output === null ? {} : { completionTokens: output }),
    ...(cached === null ? {} : { cachedTokens: cached }),
  };
}

/**
 * A whole message as a `chat.completion`.
 *
 * @throws Error when the document is no message
 */
export function completionOf(message: JsonObject): JsonObject {
  if (message.type !== "message" || !Array.isArray(message.content)) throw new Error("the document holds no message");
  const blocks = message.content.filter(isObject);
  const tool_calls = blocks
    .filter(({ type }) => type === "tool_use")
    .map(({ id, name, input }) => ({
      id,
      type: "function",
      function: { name, arguments: JSON.stringify(input ?? {}) },
    }));
  const reasoning_content = textsOf(blocks, "thinking");
  const said = {
    role: "assistant",
    content: textsOf(blocks, "text"),
    ...(reasoning_content === "" ? {} : { reasoning_content }),
    ...(tool_calls.length === 0 ? {} : { tool_calls }),
  };
  const finish_reason = finishReasonOf(message.stop_reason) ?? "stop";
  const choice = { index: 0, message: said, finish_reason, stop_reason: message.stop_sequence ?? null };
  const { id, model, usage } = message;
  return { id, object: "chat.completion", model, choices: [choice], ...usageOf(usage) };
}

/** Counts that a host does not tell are left out: what is not said is estimated, and marked so. */
function usageOf(usage: unknown): JsonObject {
  const { promptTokens, completionTokens, cachedTokens } = messageCounts(usage);
  if (promptTokens == null || completionTokens == null) return {};
  const total_tokens = promptTokens + completionTokens;
  const cached = cachedTokens == null ? {} : { prompt_tokens_details: { cached_tokens: cachedTokens } };
  return { usage: { prompt_tokens: promptTokens, completion_tokens: completionTokens, total_tokens, ...cached } };
}

function textsOf(blocks: readonly Record<string, unknown>[], kind: "text" | "thinking"): string {
  const texts = blocks.filter(({ type }) => type === kind).map((block) => block[kind]);
  return texts.filter((text) => typeof text === "string").join("");
}
