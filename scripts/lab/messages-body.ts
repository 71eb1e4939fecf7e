// A body of Anthropic's Messages route as the engines turn it into their own chat body. Both engines do: their route is a
// translation inside the server. Pure.
import { BadField, count, isJson, type Json, texts } from "./fields.ts";

/**
 * The chat body of a Messages body; `max_tokens` is asked for only where something is generated.
 * @throws BadField
 */
export function chatBodyOf(body: Json, generates: boolean): Json {
  const { system, messages, tools, tool_choice: choice, stop_sequences: _stop, ...rest } = body;
  if (generates && count(body, "max_tokens", 1) === null) throw new BadField("max_tokens", "Field required", true);
  if (!Array.isArray(messages)) throw new BadField("messages", "Field required", true);
  const instructions = system === undefined ? [] : [{ role: "system", content: plain(system) }];
  return {
    ...rest,
    messages: [...instructions, ...messages.flatMap((message: unknown) => turnsOf(message))],
    ...(Array.isArray(tools) ? { tools: tools.map((tool: unknown) => functionOf(tool)) } : {}),
    ...(isJson(choice) ? { tool_choice: choiceOf(choice) } : {}),
    stop: texts(body, "stop_sequences"),
  };
}

function turnsOf(message: unknown): Json[] {
  if (!isJson(message)) throw new BadField("messages", "Each message needs a `role`");
  const { role, content } = message;
  if (!Array.isArray(content)) return [{ role, content }];
  const blocks = content.filter(isJson);
  const results = blocks
    .filter(({ type }) => type === "tool_result")
    .map((block) => ({ role: "tool", tool_call_id: block.tool_use_id, content: plain(block.content) }));
  const calls = blocks
    .filter(({ type }) => type === "tool_use")
    .map(({ id, name, input }) => ({ id, type: "function", function: { name, arguments: JSON.stringify(input) } }));
  const said = blocks.filter(({ type }) => type === "text" || type === "image");
  if (said.length === 0 && calls.length === 0) return results;
  return [...results, { role, content: said, ...(calls.length > 0 ? { tool_calls: calls } : {}) }];
}

/** Text, or the text of blocks. */
function plain(content: unknown): string {
  if (typeof content === "string") return content;
  return Array.isArray(content)
    ? content.map((block: unknown) => (isJson(block) ? (block.text ?? "") : "")).join("")
    : "";
}

function functionOf(tool: unknown): Json {
  if (!isJson(tool) || !isJson(tool.input_schema)) throw new BadField("tools", "Field required", true);
  const { name, description, input_schema: parameters } = tool;
  return { type: "function", function: { name, ...(description === undefined ? {} : { description }), parameters } };
}

function choiceOf({ type, name }: Json): unknown {
  if (type === "tool") return { type: "function", function: { name } };
  return type === "any" ? "required" : type;
}
