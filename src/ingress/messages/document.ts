/**
 * What may be asked in Anthropic's Messages protocol: its schema. What it does not name is left out of everything that
 * is sent on (cache marks, beta options); what would have the gateway or a host fetch, run or keep something is refused.
 * Pure.
 */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { wrongField } from "../fields.ts";
import { REFUSED } from "../question.ts";

const text = z.string();
const count = z.number().int().positive();
/** Anthropic's bound on names of tools; engines put them into grammars. */
const toolName = text.regex(/^[A-Za-z0-9_-]{1,128}$/, "1 to 128 letters, digits, _ and -");
/** Each is looked for at every token. */
const MAX_STOP_SEQUENCES = 16;

const textBlock = z.object({ type: z.literal("text"), text });
const imageBlock = z.object({
  type: z.literal("image"),
  // A URL or a file's id would be fetched by the host, from inside its network.
  source: z.object({
    type: z.literal("base64", "only base64 sources are taken"),
    media_type: z.enum(["image/jpeg", "image/png", "image/gif", "image/webp"]),
    data: text.regex(/^[A-Za-z0-9+/]+={0,2}$/, "is not base64"),
  }),
});
const toolUseBlock = z.object({
  type: z.literal("tool_use"),
  id: text.min(1),
  name: toolName,
  input: z.record(text, z.unknown()),
});
const toolResultBlock = z.object({
  type: z.literal("tool_result"),
  tool_use_id: text.min(1),
  content: blocks(z.discriminatedUnion("type", [textBlock, imageBlock], "only text and image are taken here")),
  is_error: z.boolean().nullish(),
});
const thinkingBlock = z.object({ type: z.literal("thinking"), thinking: text, signature: text.optional() });
const redactedBlock = z.object({ type: z.literal("redacted_thinking"), data: text.optional() });

/** A text stands for one block of it. */
function blocks<T extends z.ZodType>(block: T) {
  return z.preprocess((value) => {
    if (value === undefined || value === null) return [];
    return typeof value === "string" ? [{ type: "text", text: value }] : value;
  }, z.array(block));
}

const message = z.discriminatedUnion(
  "role",
  [
    z.object({
      role: z.literal("user"),
      content: blocks(
        z.discriminatedUnion(
          "type",
          [textBlock, imageBlock, toolResultBlock],
          "only text, image and tool_result are taken here",
        ),
      ),
    }),
    z.object({
      role: z.literal("assistant"),
      content: blocks(
        z.discriminatedUnion(
          "type",
          [textBlock, toolUseBlock, thinkingBlock, redactedBlock],
          "only text, tool_use and thinking are taken here",
        ),
      ),
    }),
    z.object({ role: z.literal("system"), content: blocks(textBlock) }),
  ],
  "one of user, assistant and system",
);

const tool = z.object({
  // Anthropic's own tools run on its servers or need its clients' help; engines know nothing of them.
  type: z.literal("custom", "only tools of the caller's own, with an input_schema, are taken").nullish(),
  name: toolName,
  description: text.optional(),
  input_schema: z.looseObject({ type: z.literal("object") }),
  strict: z.boolean().nullish(),
});
const disable_parallel_tool_use = z.boolean().optional();
const toolChoice = z.discriminatedUnion(
  "type",
  [
    z.object({ type: z.literal("auto"), disable_parallel_tool_use }),
    z.object({ type: z.literal("any"), disable_parallel_tool_use }),
    z.object({ type: z.literal("tool"), name: toolName, disable_parallel_tool_use }),
    z.object({ type: z.literal("none") }),
  ],
  "one of auto, any, tool and none",
);

const counted = z.object({
  model: text.min(1),
  system: blocks(textBlock),
  messages: z.array(message).min(1),
  tools: z.array(tool).nullish(),
  tool_choice: toolChoice.nullish(),
  /**
   * A wish: whether a model reasons is for its template to say, and `budget_tokens` binds nobody beside `max_tokens`.
   * What reasoning an engine shows is passed on, unless it is switched off here.
   */
  thinking: z.object({ type: text, budget_tokens: count.optional(), display: text.nullish() }).nullish(),
  output_config: z
    .object({ format: z.object({ type: z.literal("json_schema"), schema: z.looseObject({}) }).nullish() })
    .nullish(),
});
const asked = counted.extend({
  max_tokens: count,
  stream: z.boolean().nullish(),
  stop_sequences: z.array(text.min(1)).max(MAX_STOP_SEQUENCES).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.number().int().min(0).nullish(),
  metadata: z.object({ user_id: text.max(256).nullish() }).nullish(),
});

/** A question to be counted: what an answer's length or form would be does not matter. */
export type Counted = z.infer<typeof counted>;
export type Asked = z.infer<typeof asked>;
export type Message = Counted["messages"][number];
export type Block = Message["content"][number];

/** What has others' servers at work, on the caller's behalf or the operator's cost. */
const OF_SERVERS = ["mcp_servers", "container", "context_management"];

/**
 * Checks a document of `POST /v1/messages`.
 *
 * @throws Problem `invalid_value` or `unsupported_value`, naming the field
 */
export function askedOf(document: JsonObject): Asked {
  return sound(checked(asked, document));
}

/**
 * Checks a document of `POST /v1/messages/count_tokens`.
 *
 * @throws Problem as `askedOf`
 */
export function countedOf(document: JsonObject): Counted {
  return sound(checked(counted, document));
}

function checked<T>(schema: z.ZodType<T>, document: JsonObject): T {
  for (const param of [...REFUSED, ...OF_SERVERS]) {
    if (document[param] != null)
      throw new Problem("unsupported_value", { param, message: `${param} cannot be set here.` });
  }
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw wrongField(issue?.path.join(".") || "the body", issue?.message ?? "is wrong");
}

/** What no schema can tell alone. Engines refuse these in words that name other fields. */
function sound<T extends Counted>(question: T): T {
  const { tools, tool_choice: choice } = question;
  const names = (tools ?? []).map(({ name }) => name);
  const twice = names.findIndex((name, at) => names.indexOf(name) !== at);
  if (twice !== -1) throw wrongField(`tools.${twice}.name`, "is the name of another tool too");
  if (choice == null || choice.type === "none") return question;
  if (names.length === 0) throw wrongField("tool_choice", "may only be given together with tools");
  if (choice.type === "tool" && !names.includes(choice.name)) throw wrongField("tool_choice.name", "is no tool's name");
  return question;
}
