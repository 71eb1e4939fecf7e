// From a request body to the strings the model sees: chat messages, raw prompts, token ids. Shared by both engines.
import { BadField, flag, isJson, type Json } from "./fields.ts";
import type { Message } from "./template.ts";
import type { TokenIds } from "./tokens.ts";

/** `add_generation_prompt`, which both engines take for true where it is absent. @throws BadField */
export function wantsGenerationPrompt(body: Json): boolean {
  return body.add_generation_prompt === undefined || flag(body, "add_generation_prompt");
}

/** The tools of a chat body as the template writes them. */
export function toolsOf({ tools }: Json): string | undefined {
  return Array.isArray(tools) && tools.length > 0 ? JSON.stringify(tools) : undefined;
}

/**
 * The prompts of a raw body: a string, token ids, or an array of either.
 * @throws BadField
 */
export function rawPrompts(body: Json, field: string, ids: TokenIds): string[] {
  const found = body[field];
  if (found === undefined || found === null) throw new BadField(field, "Field required", true);
  if (!Array.isArray(found)) return [onePrompt(found, field, ids)];
  if (found.length === 0) throw new BadField(field, "Received empty list");
  if (found.every((entry) => typeof entry === "number")) return [onePrompt(found, field, ids)];
  return found.map((entry: unknown) => onePrompt(entry, field, ids));
}

/** A prompt of llama.cpp's native route may mix strings and token ids in one array. @throws BadField */
export function mixedPrompts(body: Json, ids: TokenIds): string[] {
  const { prompt } = body;
  if (!Array.isArray(prompt) || prompt.every((entry) => typeof entry !== "number"))
    return rawPrompts(body, "prompt", ids);
  return [
    prompt.map((entry: unknown) => onePrompt(typeof entry === "number" ? [entry] : entry, "prompt", ids)).join(""),
  ];
}

function onePrompt(value: unknown, field: string, ids: TokenIds): string {
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every((id): id is number => Number.isInteger(id))) return ids.decode(value);
  if (isJson(value) && typeof value.prompt_string === "string") return value.prompt_string;
  throw new BadField(field, "Input should be a valid string or a list of token ids");
}

/** The messages of a chat body; content parts are joined. @throws BadField */
export function readMessages(body: Json): Message[] {
  const { messages } = body;
  if (messages === undefined || messages === null) throw new BadField("messages", "Field required", true);
  if (!Array.isArray(messages)) throw new BadField("messages", "Input should be a valid list");
  if (messages.length === 0) throw new BadField("messages", "List should have at least 1 item after validation, not 0");
  return messages.map((message: unknown) => {
    if (!isJson(message) || typeof message.role !== "string")
      throw new BadField("messages", "Each message needs a `role`");
    return { role: message.role, text: readContent(message) };
  });
}

function readContent(message: Json): string {
  const { content, tool_calls: calls } = message;
  const called = Array.isArray(calls) ? JSON.stringify(calls) : "";
  if (content === undefined || content === null) return called;
  if (typeof content === "string") return content + called;
  if (!Array.isArray(content)) throw new BadField("messages", "`content` should be a string or a list of parts");
  const parts = content.map((part: unknown) => {
    if (!isJson(part)) throw new BadField("messages", "Each content part should be an object");
    return typeof part.text === "string" ? part.text : `<|${String(part.type)}|>`;
  });
  return parts.join("") + called;
}
