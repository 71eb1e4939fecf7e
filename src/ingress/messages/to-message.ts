/** A whole chat answer as Anthropic's message; and what whole answers and streams say alike. Pure. */
import { isObject, type JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { counts, NOTHING_YET, type Tally } from "#src/upstream/tally.ts";

/** What an answer has from its question. */
export type Saying = {
  readonly requestId: string;
  /** As the caller named it. */
  readonly model: string;
  readonly stopSequences: readonly string[];
  /** Whether reasoning is passed on. */
  readonly showsThinking: boolean;
};

/** How an answer ended, in chat's words. */
export type Finish = {
  readonly reason: unknown;
  /** The stop string that was met, where the engine tells: vLLM's `stop_reason`. */
  readonly matched: unknown;
  readonly calledTools: boolean;
};

/**
 * The message of a `chat.completion`.
 *
 * @throws Problem `upstream_error` when a tool call holds no JSON object
 */
export function messageOf(answer: JsonObject, saying: Saying): JsonObject {
  const choice = firstOf(answer.choices);
  const message = isObject(choice.message) ? choice.message : {};
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls.filter(isObject) : [];
  const thinking = reasoningOf(message);
  const content = [
    ...(thinking === "" || !saying.showsThinking ? [] : [{ type: "thinking", thinking, signature: "" }]),
    ...(typeof message.content === "string" && message.content !== "" ? [{ type: "text", text: message.content }] : []),
    ...calls.map((call, at) => toolUse(call, toolUseId(saying, at), choice.finish_reason === "length")),
  ];
  const finish = { reason: choice.finish_reason, matched: choice.stop_reason, calledTools: calls.length > 0 };
  return {
    ...emptyMessage(saying),
    content,
    ...stopOf(finish, saying),
    usage: usageOf({ ...NOTHING_YET, ...counts(answer) }),
  };
}

/** A message that has yet to begin. Named by the request, so that a kept answer is not the same message again. */
export function emptyMessage({ requestId, model }: Saying): JsonObject {
  return {
    id: `msg_${requestId}`,
    type: "message",
    role: "assistant",
    model,
    content: [],
    stop_reason: null,
    stop_sequence: null,
  };
}

const STOP_REASONS: Readonly<Record<string, string>> = {
  length: "max_tokens",
  tool_calls: "tool_use",
  function_call: "tool_use",
  content_filter: "refusal",
};

export function stopOf({ reason, matched, calledTools }: Finish, { stopSequences }: Saying) {
  const isMatch = typeof matched === "string" && stopSequences.includes(matched);
  if (reason === "stop" && isMatch) return { stop_reason: "stop_sequence", stop_sequence: matched };
  // A tool that was forced by its name ends in `stop` at vLLM.
  const otherwise = calledTools ? "tool_use" : "end_turn";
  return { stop_reason: STOP_REASONS[String(reason)] ?? otherwise, stop_sequence: null };
}

/**
 * Anthropic counts what came from the cache apart from the rest of the input. Engines do not say what they wrote there,
 * and what nobody says is 0: callers add these up.
 */
export function usageOf({ promptTokens, completionTokens, cachedTokens }: Tally) {
  const cached = cachedTokens ?? 0;
  return {
    input_tokens: Math.max(0, (promptTokens ?? 0) - cached),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: completionTokens ?? 0,
  };
}

/** Where an engine gives a call no id. */
export function toolUseId({ requestId }: Saying, at: number): string {
  return `toolu_${requestId}_${at}`;
}

/** vLLM says `reasoning` since 0.12; llama.cpp, and vLLM before, `reasoning_content`. */
export function reasoningOf({ reasoning_content, reasoning }: JsonObject): string {
  const [piece = ""] = [reasoning_content, reasoning].filter((one) => typeof one === "string");
  return piece;
}

export function firstOf(choices: unknown): Record<string, unknown> {
  const [choice] = Array.isArray(choices) ? choices : [];
  return isObject(choice) ? choice : {};
}

function toolUse(call: JsonObject, otherwise: string, isCut: boolean): JsonObject {
  const { name, arguments: input } = isObject(call.function) ? call.function : {};
  return { type: "tool_use", id: call.id ?? otherwise, name, input: inputOf(input, isCut) };
}

/** Of a call that was cut short by the bound on tokens nothing can be used; `stop_reason` says so. */
function inputOf(text: unknown, isCut: boolean): JsonObject {
  let input: unknown;
  try {
    input = text === "" ? {} : JSON.parse(String(text));
  } catch (cause) {
    if (isCut) return {};
    throw new Problem("upstream_error", { message: "The model called a tool with what is no JSON.", cause });
  }
  if (isObject(input)) return input;
  throw new Problem("upstream_error", { message: "The model called a tool with what is no JSON object." });
}
