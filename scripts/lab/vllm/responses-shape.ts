// How vLLM writes an answer of /v1/responses: named events, each with its number, the last one with the usage; no [DONE].
// One choice; a stream's numbers make a shape good for one answer.

import type { Json } from "../fields.ts";
import type { ForcedCall } from "../scripts.ts";
import type { Choice, Facts, Shape } from "../shape.ts";
import { EVENT_STREAM } from "./chat-shape.ts";
import { errorBody, VLLM_HEADERS } from "./errors.ts";

const BROKEN = { status: 500, type: "InternalServerError", message: "Internal server error" };

export interface ResponsesShapeOptions {
  /** Of the response, without its prefix. */
  readonly id: string;
  readonly model: string;
  readonly createdS: number;
  /** The request, of which a response repeats much. */
  readonly body: Json;
  readonly maxTokens: number;
  readonly call: ForcedCall | null;
}

/** The shape of one answer. */
export function responsesShape({ id, model, createdS, body, maxTokens, call }: ResponsesShapeOptions): Shape {
  let sequence = 0;
  let only: Choice | undefined;
  const event = (type: string, members: Json): string =>
    `event: ${type}\ndata: ${JSON.stringify({ ...members, sequence_number: sequence++, type })}\n\n`;
  const itemId = call === null ? `msg_${id}` : `fc_${id}`;
  const place = { item_id: itemId, output_index: 0 };
  const part = (text: string): Json => ({ annotations: [], text, type: "output_text", logprobs: [] });
  const item = (status: string, text: string | null): Json => {
    if (call === null) {
      const content = text === null ? [] : [part(text)];
      return { id: itemId, content, role: "assistant", status, type: "message", phase: null };
    }
    return { arguments: text ?? "", call_id: `call_${id}`, name: call.name, type: "function_call", id: itemId, status };
  };
  const response = (status: string, output: readonly Json[], facts: Facts | null): Json => ({
    id: `resp_${id}`,
    created_at: createdS,
    error: null,
    incomplete_details: status === "incomplete" ? { reason: "max_output_tokens" } : null,
    instructions: body.instructions ?? null,
    metadata: body.metadata ?? null,
    model,
    object: "response",
    output,
    parallel_tool_calls: body.parallel_tool_calls ?? true,
    temperature: body.temperature ?? 1,
    tool_choice: body.tool_choice ?? "auto",
    tools: body.tools ?? [],
    top_p: body.top_p ?? 1,
    background: false,
    max_output_tokens: maxTokens,
    max_tool_calls: null,
    previous_response_id: null,
    prompt: null,
    reasoning: body.reasoning ?? null,
    service_tier: "auto",
    status,
    text: body.text ?? null,
    top_logprobs: null,
    truncation: "disabled",
    usage: facts === null ? null : usageOf(facts),
    user: body.user ?? null,
  });
  const closing = (text: string, done: Json): string =>
    call === null
      ? event("response.output_text.done", { ...place, content_index: 0, logprobs: [], text }) +
        event("response.content_part.done", { ...place, content_index: 0, part: part(text) }) +
        event("response.output_item.done", { item: done, output_index: 0 })
      : event("response.function_call_arguments.done", { ...place, arguments: text, name: call.name }) +
        event("response.output_item.done", { item: done, output_index: 0 });

  return {
    streamHeaders: EVENT_STREAM,
    wholeHeaders: VLLM_HEADERS,
    headersAt: "accept",
    errorEvent: `event: response.failed\ndata: ${JSON.stringify({
      response: { ...response("failed", [], null), error: { code: "server_error", message: BROKEN.message } },
      sequence_number: 0,
      type: "response.failed",
    })}\n\n`,
    errorBody: errorBody(BROKEN),
    opening: ([choice]) => {
      only = choice;
      const begun = response("in_progress", [], null);
      const added = event("response.created", { response: begun }) + event("response.in_progress", { response: begun });
      const opened = event("response.output_item.added", { item: item("in_progress", null), output_index: 0 });
      if (call !== null) return added + opened;
      return added + opened + event("response.content_part.added", { ...place, content_index: 0, part: part("") });
    },
    piece: (_choice, { text }) => {
      if (text === "") return "";
      return call === null
        ? event("response.output_text.delta", { ...place, content_index: 0, delta: text, logprobs: [] })
        : event("response.function_call_arguments.delta", { ...place, delta: text });
    },
    ending: (facts) => {
      const text = only?.generation.text ?? "";
      const done = item("completed", text);
      const status = statusOf(only);
      // Under this name also when it was cut short: its status says so.
      return closing(text, done) + event("response.completed", { response: response(status, [done], facts) });
    },
    whole: ([choice], facts) => response(statusOf(choice), [item("completed", choice?.generation.text ?? "")], facts),
  };
}

function statusOf(choice: Choice | undefined): "completed" | "incomplete" {
  return choice?.generation.finish === "length" ? "incomplete" : "completed";
}

function usageOf({ promptTokens, cachedTokens, completionTokens }: Facts): Json {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, input_tokens_per_turn: [], cached_tokens_per_turn: [] },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: 0, tool_output_tokens: 0 },
    total_tokens: promptTokens + completionTokens,
  };
}
