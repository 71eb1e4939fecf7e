/**
 * A Messages question as OpenAI's chat has it. Thinking of earlier turns is left out: the templates of models that
 * reason drop it too. Pure.
 */
import type { JsonObject } from "#src/json.ts";
import type { Asked, Block, Counted, Message } from "./document.ts";

/** The chat document of a question, with everything that bounds and shapes its answer. */
export function chatOf(asked: Asked): JsonObject {
  const { max_tokens, stream, stop_sequences: stop, temperature, top_p, top_k, metadata } = asked;
  return {
    ...promptOf(asked),
    max_tokens,
    ...(stream === true ? { stream } : {}),
    ...(stop != null && stop.length > 0 ? { stop } : {}),
    ...(temperature == null ? {} : { temperature }),
    ...(top_p == null ? {} : { top_p }),
    ...(top_k == null ? {} : { top_k }),
    ...(metadata?.user_id == null ? {} : { user: metadata.user_id }),
  };
}

/** What the model is given to read, which is what counts as input tokens. */
export function promptOf(asked: Counted): JsonObject {
  const { model, system, messages, tools, tool_choice: choice, output_config: config } = asked;
  // Parts of a system prompt are joined as engines with a Messages route of their own join them.
  const instructions = system.map(({ text }) => text).join("");
  const schema = config?.format?.schema;
  return {
    model,
    messages: [
      ...(system.length === 0 ? [] : [{ role: "system", content: instructions }]),
      ...messages.flatMap(turnsOf),
    ],
    ...(tools == null || tools.length === 0 ? {} : { tools: tools.map(functionOf), ...choiceOf(choice) }),
    ...(schema === undefined
      ? {}
      : { response_format: { type: "json_schema", json_schema: { name: "output", schema } } }),
    ...(isPrefill(asked) ? { continue_final_message: true, add_generation_prompt: false } : {}),
  };
}

/** Whether the last message begins the answer: the model is to go on from there. */
export function isPrefill({ messages }: Counted): boolean {
  const last = messages.at(-1);
  return last?.role === "assistant" && last.content.length > 0 && last.content.every(({ type }) => type === "text");
}

/** One message may be several in chat: a tool's result is a message of its own there, and comes first. */
function turnsOf({ role, content }: Message): JsonObject[] {
  if (role === "system") return [{ role, content: content.map(({ text }) => text).join("") }];
  if (role === "assistant") return [assistantTurn(content)];
  const results = content.filter((block) => block.type === "tool_result");
  // A tool's message holds text only; the pictures of a result are shown by the user.
  const shown = content.flatMap<Block>((block) =>
    block.type === "tool_result" ? block.content.filter(({ type }) => type === "image") : [block],
  );
  const answers = results.map(({ tool_use_id: tool_call_id, content, is_error }) => {
    return { role: "tool", tool_call_id, content: `${is_error === true ? "Error: " : ""}${textOf(content)}` };
  });
  if (shown.length === 0 && answers.length > 0) return answers;
  const [only] = shown;
  const parts = shown.length === 1 && only?.type === "text" ? only.text : shown.map(partOf);
  return [...answers, { role: "user", content: shown.length === 0 ? "" : parts }];
}

function assistantTurn(content: Extract<Message, { role: "assistant" }>["content"]): JsonObject {
  const tool_calls = content
    .filter((block) => block.type === "tool_use")
    .map(({ id, name, input }) => ({ id, type: "function", function: { name, arguments: JSON.stringify(input) } }));
  const text = textOf(content);
  if (tool_calls.length === 0) return { role: "assistant", content: text };
  return { role: "assistant", content: text === "" ? null : text, tool_calls };
}

function textOf(content: readonly Block[]): string {
  return content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");
}

function partOf(block: Block): JsonObject {
  if (block.type !== "image") return { type: "text", text: block.type === "text" ? block.text : "" };
  const { media_type, data } = block.source;
  return { type: "image_url", image_url: { url: `data:${media_type};base64,${data}` } };
}

function functionOf({ name, description, input_schema, strict }: NonNullable<Counted["tools"]>[number]): JsonObject {
  const described = description === undefined ? {} : { description };
  const bound = strict == null ? {} : { strict };
  return { type: "function", function: { name, ...described, parameters: input_schema, ...bound } };
}

const CHOICES = { auto: "auto", any: "required", none: "none" } as const;

function choiceOf(choice: Counted["tool_choice"]): JsonObject {
  if (choice == null) return {};
  const tool_choice =
    choice.type === "tool" ? { type: "function", function: { name: choice.name } } : CHOICES[choice.type];
  const isSingle = choice.type !== "none" && choice.disable_parallel_tool_use === true;
  return { tool_choice, ...(isSingle ? { parallel_tool_calls: false } : {}) };
}
