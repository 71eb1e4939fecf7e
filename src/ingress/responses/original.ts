/**
 * What a host that speaks Responses itself is asked: the caller's document, in the plainest form of it that there is.
 * Engines check it by OpenAI's types, which want more of what a model said before than they need of it. Pure.
 */
import type { JsonObject } from "#src/json.ts";
import type { Document, Item, Part } from "./document.ts";
import { wordsOf } from "./messages.ts";

/** The document without what would keep it there or cut it short. */
export function originalOf({ store: _kept, truncation: _cut, input, ...document }: Document): JsonObject {
  const asked = Object.entries(document).filter(([, value]) => value != null);
  return { ...Object.fromEntries(asked), input: typeof input === "string" ? input : input.flatMap(itemOf) };
}

/** What a model thought is left out; what it said is its words, without the ids and marks of the answer they came in. */
function itemOf(item: Item): JsonObject[] {
  if (item.type === "reasoning") return [];
  if (item.type === "function_call") return [item];
  if (item.type === "function_call_output") return [{ ...item, output: contentOf(item.output) }];
  const { role, content } = item;
  const isSaid = role === "assistant" && typeof content !== "string";
  return [{ ...item, content: isSaid ? wordsOf(content) : contentOf(content) }];
}

/** OpenAI's types want a detail with every picture. */
function contentOf(content: string | readonly Part[]): string | JsonObject[] {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "input_image" ? { ...part, detail: part.detail ?? "auto" } : part));
}
