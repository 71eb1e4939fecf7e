/** A request for a response as a question: what it asks for in chat's words, and how to say the answer. Pure. */
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { type Question, questionOf } from "../question.ts";
import { documentOf } from "./check.ts";
import type { Document } from "./document.ts";
import { messagesOf } from "./messages.ts";
import { originalOf } from "./original.ts";
import { settingsOf } from "./response.ts";
import { wordingOf } from "./wording.ts";

/** Same name and meaning on both sides. */
const SAME = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "stop",
  "presence_penalty",
  "frequency_penalty",
  "repetition_penalty",
  "user",
] as const;

/**
 * The question of a document.
 *
 * @param requestId names the answer and its items
 * @param createdS seconds since the epoch
 * @throws Problem `invalid_value` or `unsupported_value`, with `param` naming the field
 */
export function responsesQuestion(body: JsonObject, requestId: string, createdS: number): Question {
  const document = documentOf(body);
  const question = questionOf("chat", chatOf(document));
  // Every response ends with its usage, asked for or not.
  const wording = wordingOf(settingsOf(document, requestId, createdS));
  return { ...question, wantsUsage: true, wording, original: originalOf(document) };
}

function chatOf(document: Document): JsonObject {
  const { model, stream, max_output_tokens, text, reasoning, top_logprobs, include } = document;
  const wantsLogprobs = (top_logprobs ?? 0) > 0 || include?.includes("message.output_text.logprobs") === true;
  return {
    model,
    messages: messagesOf(document),
    ...Object.fromEntries(SAME.filter((name) => document[name] != null).map((name) => [name, document[name]])),
    ...(stream === true ? { stream } : {}),
    ...(max_output_tokens == null ? {} : { max_completion_tokens: max_output_tokens }),
    ...(wantsLogprobs ? { logprobs: true, top_logprobs: top_logprobs ?? 0 } : {}),
    ...toolsOf(document),
    ...formatOf(text?.format),
    ...(text?.verbosity == null ? {} : { verbosity: text.verbosity }),
    ...(reasoning?.effort == null ? {} : { reasoning_effort: reasoning.effort }),
  };
}

/** @throws Problem `invalid_value` when a call is demanded and there is nothing to call */
function toolsOf({ tools, tool_choice: choice, parallel_tool_calls: parallel }: Document): JsonObject {
  const isOptional = choice == null || choice === "auto" || choice === "none";
  const allowed = typeof choice === "object" && choice?.type === "allowed_tools" ? choice : null;
  const names = allowed?.tools.map(({ name }) => name);
  const offered = (tools ?? []).filter(({ name }) => names?.includes(name) ?? true);
  if (offered.length === 0) {
    if (isOptional) return {};
    throw new Problem("invalid_value", { param: "tool_choice", message: "tool_choice: there is no such tool" });
  }
  return {
    tools: offered.map(({ type, ...made }) => ({ type, function: withoutNulls(made) })),
    ...(choice == null ? {} : { tool_choice: allowed?.mode ?? choiceOf(choice) }),
    ...(parallel == null ? {} : { parallel_tool_calls: parallel }),
  };
}

function choiceOf(choice: NonNullable<Document["tool_choice"]>): unknown {
  return typeof choice === "object" && "name" in choice
    ? { type: "function", function: { name: choice.name } }
    : choice;
}

function formatOf(format: NonNullable<Document["text"]>["format"]): JsonObject {
  if (format == null || format.type === "text") return {};
  const { type, ...schema } = format;
  const response_format = type === "json_object" ? { type } : { type, json_schema: withoutNulls(schema) };
  return { response_format };
}

function withoutNulls(members: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value != null));
}
