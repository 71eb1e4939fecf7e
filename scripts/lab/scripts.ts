// Answers that the request itself fixes: a forced tool call's arguments, JSON mode. Pure.
import { BadField, isJson, type Json } from "./fields.ts";

export interface ForcedCall {
  readonly name: string;
  readonly arguments: string;
  /** Named by the caller rather than merely required: vLLM then finishes with "stop", not "tool_calls". */
  readonly named: boolean;
}

/** The tool call a body forces by `tool_choice`, or null. @throws BadField when the named tool is not among the tools */
export function forcedCall(body: Json): ForcedCall | null {
  const { tools, tool_choice: choice } = body;
  if (!Array.isArray(tools) || tools.length === 0) {
    if (choice === "required" || isJson(choice))
      throw new BadField("tool_choice", "When using `tool_choice`, `tools` must be set.");
    return null;
  }
  const functions = tools.map((tool: unknown) => (isJson(tool) && isJson(tool.function) ? tool.function : null));
  if (functions.includes(null)) throw new BadField("tools", "Each tool needs a `function`");
  const wanted = isJson(choice) && isJson(choice.function) ? choice.function.name : undefined;
  if (choice !== "required" && wanted === undefined) return null;
  const called = functions.find((candidate) => wanted === undefined || candidate?.name === wanted);
  if (!called || typeof called.name !== "string")
    throw new BadField(
      "tool_choice",
      "The tool specified in `tool_choice` does not match any of the specified `tools`",
    );
  return { name: called.name, arguments: JSON.stringify(fill(called.parameters, 0)), named: wanted !== undefined };
}

/** The answer of `response_format` json_object or json_schema, or null for free text. */
export function jsonAnswer(body: Json): string | null {
  const { response_format: format } = body;
  if (!isJson(format)) return null;
  if (format.type === "json_object") return '{"answer": "lab", "ok": true}';
  const holder = format.json_schema;
  return format.type === "json_schema" && isJson(holder) ? JSON.stringify(fill(holder.schema, 0)) : null;
}

/** The same value for the same schema; deep schemas end in null. */
function fill(schema: unknown, depth: number): unknown {
  if (!isJson(schema) || depth > 8) return null;
  if (Array.isArray(schema.enum) && schema.enum.length > 0) return schema.enum[0];
  const { properties, type } = schema;
  if (isJson(properties))
    return Object.fromEntries(Object.entries(properties).map(([key, inner]) => [key, fill(inner, depth + 1)]));
  if (type === "array") return [fill(schema.items, depth + 1)];
  if (type === "integer" || type === "number") return 42;
  if (type === "boolean") return true;
  if (type === "null") return null;
  return type === "object" || type === undefined ? {} : "lab";
}
