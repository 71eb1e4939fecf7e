/** The response object: what was asked for, told again, around what has come of it. Pure. */
import { isObject, type JsonObject } from "#src/json.ts";
import { counts } from "#src/upstream/tally.ts";
import type { Document } from "./document.ts";

/** What stays the same in one response from its first event to its last. */
export type Settings = {
  /** The request's id without dashes: the ids of the response and its items are made of it. */
  readonly key: string;
  readonly echo: JsonObject;
};

export type Status = "in_progress" | "completed" | "incomplete";

/** What has come of it so far. */
export type State = {
  readonly status: Status;
  /** As the host names it. */
  readonly model: unknown;
  readonly output: readonly JsonObject[];
  /** OpenAI's chat usage; null while the host has not told. */
  readonly usage: unknown;
  /** Why it ended, as chat says it. */
  readonly finishReason: unknown;
};

/**
 * What a response repeats of its request.
 *
 * @param createdS seconds since the epoch
 */
export function settingsOf(document: Document, requestId: string, createdS: number): Settings {
  const { text, reasoning } = document;
  return {
    key: requestId.replaceAll("-", ""),
    echo: {
      created_at: createdS,
      background: false,
      error: null,
      instructions: document.instructions ?? null,
      max_output_tokens: document.max_output_tokens ?? null,
      max_tool_calls: null,
      metadata: document.metadata ?? {},
      parallel_tool_calls: document.parallel_tool_calls ?? true,
      previous_response_id: null,
      reasoning: { effort: reasoning?.effort ?? null, summary: null },
      // Whatever was asked for: nothing is kept, and nothing is cut off.
      store: false,
      truncation: "disabled",
      temperature: document.temperature ?? null,
      text: { format: { type: "text" }, ...text },
      tool_choice: document.tool_choice ?? "auto",
      tools: document.tools ?? [],
      top_logprobs: document.top_logprobs ?? 0,
      top_p: document.top_p ?? null,
      user: document.user ?? null,
    },
  };
}

/** The response as it stands. */
export function responseOf({ key, echo }: Settings, { status, model, output, usage, finishReason }: State): JsonObject {
  return {
    id: `resp_${key}`,
    object: "response",
    status,
    model,
    output,
    incomplete_details: status === "incomplete" ? { reason: shortBy(finishReason) } : null,
    usage: usageOf(usage),
    ...echo,
  };
}

/** How chat's finish reason ends a response. */
export function statusOf(finishReason: unknown): Status {
  return finishReason === "length" || finishReason === "content_filter" ? "incomplete" : "completed";
}

function shortBy(finishReason: unknown): string {
  return finishReason === "content_filter" ? "content_filter" : "max_output_tokens";
}

/** Null where the host told nothing: a guess would pass for a count. */
function usageOf(usage: unknown): JsonObject | null {
  const told = counts({ usage });
  if (told?.promptTokens == null || told.completionTokens === null) return null;
  return {
    input_tokens: told.promptTokens,
    input_tokens_details: { cached_tokens: told.cachedTokens ?? 0, cache_write_tokens: 0 },
    output_tokens: told.completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens(usage) },
    total_tokens: told.promptTokens + told.completionTokens,
  };
}

function reasoningTokens(usage: unknown): number {
  const details = isObject(usage) ? usage.completion_tokens_details : null;
  const tokens = isObject(details) ? details.reasoning_tokens : null;
  return typeof tokens === "number" ? tokens : 0;
}
