// What vLLM reads on /v1/responses, in the words of its chat route: both end in one prompt. Pure.
import { BadField, isJson, type Json, text } from "../fields.ts";

/** The chat body of a responses body. @throws BadField */
export function chatBodyOf(body: Json): Json {
  const instructions = text(body, "instructions", "");
  const format = isJson(body.text) ? body.text.format : undefined;
  return {
    ...body,
    messages: [...(instructions === "" ? [] : [{ role: "system", content: instructions }]), ...messagesOf(body.input)],
    max_completion_tokens: body.max_output_tokens,
    ...(Array.isArray(body.tools) ? { tools: body.tools.map(nested) } : {}),
    tool_choice: isJson(body.tool_choice) ? nested(body.tool_choice) : body.tool_choice,
    ...(isJson(format) ? { response_format: { type: format.type, json_schema: format } } : {}),
  };
}

/** Chat keeps a function's members in a member of their own. */
function nested(tool: unknown): unknown {
  return isJson(tool) && tool.type === "function" ? { type: "function", function: tool } : tool;
}

function messagesOf(input: unknown): unknown[] {
  if (input === undefined || input === null) throw new BadField("input", "Field required", true);
  if (typeof input === "string") return [{ role: "user", content: input }];
  if (!Array.isArray(input)) throw new BadField("input", "Input should be a valid string or a valid list");
  return input.map((item: unknown) => {
    if (!isJson(item)) throw new BadField("input", "Input should be a valid dictionary");
    if (item.type === "function_call_output") return { role: "tool", content: item.output };
    if (item.type === "function_call") return { role: "assistant", content: null, tool_calls: [item] };
    return { role: item.role, content: item.content };
  });
}
