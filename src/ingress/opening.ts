/**
 * How a prompt begins, as far as the gateway looks at it: the leading system messages, and what the first user says.
 * Pure; reads no more than a bounded beginning, because prompts may be megabytes.
 */
import { isObject, type JsonObject } from "#src/json.ts";

const SYSTEM_ROLES: readonly unknown[] = ["system", "developer"];
/** Of token ids given in place of a text; a token has four characters or so. */
const MOST_IDS = 512;

/** The text of the system messages that a conversation begins with, cut to so many characters; "" where there are none. */
export function systemText(body: JsonObject, mostCharacters: number): string {
  const messages = messagesOf(body);
  const end = messages.findIndex(({ role }) => !SYSTEM_ROLES.includes(role));
  return joined(messages.slice(0, end === -1 ? undefined : end), mostCharacters);
}

/**
 * What a prompt begins with: the leading system messages and the first user's, or the raw prompt (of several, the
 * first; of token ids, their numbers). "" for whatever else is asked.
 */
export function openingText(body: JsonObject, mostCharacters: number): string {
  const { prompt } = body;
  if (typeof prompt === "string") return prompt.slice(0, mostCharacters);
  if (Array.isArray(prompt)) return firstOf(prompt).slice(0, mostCharacters);
  const messages = messagesOf(body);
  const first = messages.findIndex(({ role }) => !SYSTEM_ROLES.includes(role));
  const isUser = messages[first]?.role === "user";
  return joined(messages.slice(0, first === -1 ? undefined : first + (isUser ? 1 : 0)), mostCharacters);
}

function firstOf(prompts: readonly unknown[]): string {
  const [first] = prompts;
  if (typeof first === "string") return first;
  return (Array.isArray(first) ? first : prompts).slice(0, MOST_IDS).join(" ");
}

function joined(messages: readonly JsonObject[], mostCharacters: number): string {
  let text = "";
  for (const { content } of messages) {
    for (const piece of piecesOf(content)) {
      if (text.length >= mostCharacters) return text;
      text += piece.slice(0, mostCharacters - text.length);
    }
    if (text.length < mostCharacters) text += "\n";
  }
  return text;
}

/** The texts of one message; pictures and sounds are none. */
function piecesOf(content: unknown): string[] {
  if (typeof content === "string") return [content];
  if (!Array.isArray(content)) return [];
  return content.filter(isObject).flatMap(({ text }) => (typeof text === "string" ? [text] : []));
}

function messagesOf({ messages }: JsonObject): JsonObject[] {
  return Array.isArray(messages) ? messages.filter(isObject) : [];
}
