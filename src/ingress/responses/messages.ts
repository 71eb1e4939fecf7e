/**
 * The input items of a response as the messages of a chat. A model's calls and what it said before them are one message
 * there, and engines insist that each call's output follows it. Pure.
 */
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import type { Document, Item, Part } from "./document.ts";

type Said = { role: "assistant"; content: string | null; tool_calls?: JsonObject[] };
type Message = Said | JsonObject;

/**
 * The conversation.
 *
 * @throws Problem `invalid_value` for an output whose call is not there, or when nothing is left to be asked
 */
export function messagesOf({ input, instructions }: Pick<Document, "input" | "instructions">): JsonObject[] {
  const messages: Message[] = instructions == null ? [] : [{ role: "system", content: instructions }];
  if (typeof input === "string") return [...messages, { role: "user", content: input }];
  const called = new Set<string>();
  for (const [at, item] of input.entries()) {
    if (item.type === "message") messages.push(messageOf(item));
    if (item.type === "function_call") {
      called.add(item.call_id);
      callsOf(messages).push({
        id: item.call_id,
        type: "function",
        function: { name: item.name, arguments: item.arguments },
      });
    }
    if (item.type === "function_call_output") {
      if (!called.has(item.call_id)) throw orphan(at);
      messages.push({ role: "tool", tool_call_id: item.call_id, content: contentOf(item.output) });
    }
  }
  if (input.every(({ type }) => type === "reasoning")) {
    throw new Problem("invalid_value", { param: "input", message: "input: holds nothing to answer" });
  }
  return messages;
}

function messageOf({ role, content }: Extract<Item, { type: "message" }>): Message {
  if (role === "assistant") return { role, content: typeof content === "string" ? content : wordsOf(content) };
  // What a developer says most models' templates know only as the system's.
  return { role: role === "developer" ? "system" : role, content: contentOf(content) };
}

/** The calls of the message that the model is saying. */
function callsOf(messages: Message[]): JsonObject[] {
  const last = messages.at(-1);
  const said: Said = isSaid(last) ? last : { role: "assistant", content: null };
  if (said !== last) messages.push(said);
  said.tool_calls ??= [];
  return said.tool_calls;
}

function isSaid(message: Message | undefined): message is Said {
  return message?.role === "assistant";
}

/** A single text as it is: some templates know no parts. */
function contentOf(content: string | readonly Part[]): string | JsonObject[] {
  if (typeof content === "string") return content;
  const [only] = content;
  if (content.length === 1 && only !== undefined && only.type !== "input_image") return wordsOf([only]);
  return content.map((part) =>
    part.type === "input_image"
      ? {
          type: "image_url",
          image_url: { url: part.image_url, ...(part.detail == null ? {} : { detail: part.detail }) },
        }
      : { type: "text", text: wordsOf([part]) },
  );
}

/** The words of parts; pictures have none. */
export function wordsOf(parts: readonly Part[]): string {
  return parts
    .map((part) => (part.type === "input_image" ? "" : part.type === "refusal" ? part.refusal : part.text))
    .join("");
}

function orphan(at: number): Problem {
  const param = `input.${at}.call_id`;
  const message = `${param}: no function_call of this id stands before it, and no response is kept here.`;
  return new Problem("invalid_value", { param, message });
}
