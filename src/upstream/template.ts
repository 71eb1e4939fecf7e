/**
 * Chat templates for hosts that have no chat route: messages to one prompt, and the strings that end an answer. The two
 * formats are those their model families were trained on (ChatML; Llama 3's header tokens). Pure.
 */
import { Problem } from "#src/problem.ts";

type Message = { readonly role: string; readonly content: string };
type Template = { readonly one: (message: Message) => string; readonly open: string; readonly stop: readonly string[] };

const TEMPLATES = {
  chatml: {
    one: ({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>\n`,
    open: "<|im_start|>assistant\n",
    stop: ["<|im_end|>"],
  },
  // The engine puts the begin-of-text token in front by itself.
  llama3: {
    one: ({ role, content }) => `<|start_header_id|>${role}<|end_header_id|>\n\n${content.trim()}<|eot_id|>`,
    open: "<|start_header_id|>assistant<|end_header_id|>\n\n",
    stop: ["<|eot_id|>"],
  },
} as const satisfies Record<string, Template>;

export type TemplateName = keyof typeof TEMPLATES;

/** Texts that would end or open a message if a caller wrote them inside one. */
const CONTROL =
  /<\|(im_start|im_end|endoftext|start_header_id|end_header_id|eot_id|eom_id|begin_of_text|end_of_text)\|>/g;

/**
 * Renders a conversation, ending where the assistant's answer begins.
 *
 * @param messages as checked by the chat schema
 * @param isOpen the assistant's last message is written on (`continue_final_message`)
 * @throws Problem `unsupported_value` for content that is not text
 */
export function render(
  name: TemplateName,
  messages: unknown,
  isOpen = false,
): { prompt: string; stop: readonly string[] } {
  const template = TEMPLATES[name];
  const list = Array.isArray(messages) ? messages : [];
  const closed = isOpen ? list.slice(0, -1) : list;
  const turns = closed.map((message, at) => template.one({ role: roleOf(message), content: textOf(message, at) }));
  const said = isOpen ? textOf(list.at(-1) ?? {}, closed.length) : "";
  return { prompt: turns.join("") + template.open + said, stop: template.stop };
}

function roleOf(message: { role?: unknown }): string {
  return message.role === "developer" ? "system" : String(message.role);
}

function textOf(message: { content?: unknown }, at: number): string {
  const parts = Array.isArray(message.content) ? message.content : [{ type: "text", text: message.content ?? "" }];
  const texts = parts.map((part: { type?: unknown; text?: unknown }) => {
    if (part.type === "text" && typeof part.text === "string") return part.text;
    const param = `messages.${at}.content`;
    throw new Problem("unsupported_value", { param, message: "The host that serves this model takes text only." });
  });
  // A space, which no control text holds: were they cut out, what stands around one could close up to another.
  return texts.join("").replace(CONTROL, " ");
}
