// From a chat body to the string the model sees, as llama.cpp renders it. Pure.
import { BadField, type Json } from "../fields.ts";
import { readMessages, toolsOf, wantsGenerationPrompt } from "../prompts.ts";
import { render } from "../template.ts";

/**
 * The one prompt of a chat body. A last message of the assistant is a prefill: it is taken out before the template sees
 * the others, and its content is appended to the open assistant turn as it is, whatever the template trims.
 *
 * @param trims the template trims contents
 * @throws BadField
 */
export function chatPrompt(body: Json, trims: boolean): string {
  const messages = readMessages(body);
  const last = messages.at(-1);
  const prefill = last?.role === "assistant" ? last.text : null;
  const rendered = prefill === null ? messages : messages.slice(0, -1);
  if (prefill !== null && rendered.at(-1)?.role === "assistant")
    throw new BadField("messages", "Cannot have 2 or more assistant messages at the end of the list.");
  const generationPrompt = prefill !== null || wantsGenerationPrompt(body);
  return render(rendered, { continueFinal: false, generationPrompt, trims, tools: toolsOf(body) }) + (prefill ?? "");
}
