// The chat template all lab models share: messages -> the one string the model sees. Text that equals a rendered chat
// is, to the model, that chat: so a conversation can be continued through the raw routes too. No I/O.

const END = "<|end|>\n";
const USER = "<|user|>\n";
export const ASSISTANT = "<|assistant|>\n";

export interface Message {
  readonly role: string;
  readonly text: string;
}

export interface Rendering {
  /** Leave the last message open, so that the model goes on writing it (`continue_final_message`). */
  readonly continueFinal: boolean;
  /** End with an open, empty assistant message (`add_generation_prompt`). */
  readonly generationPrompt: boolean;
  /** The template trims the white space around every content, as those of the Llama 3 family do. */
  readonly trims?: boolean;
  /** Tool definitions as JSON; they cost prompt tokens as with real templates. */
  readonly tools?: string | undefined;
}

/** Renders messages to the model's prompt. */
export function render(messages: readonly Message[], how: Rendering): string {
  let prompt = how.tools === undefined ? "" : `<|tools|>\n${how.tools}${END}`;
  messages.forEach(({ role, text }, index) => {
    const open = how.continueFinal && index === messages.length - 1;
    prompt += `<|${role}|>\n${how.trims === true ? text.trim() : text}${open ? "" : END}`;
  });
  return how.generationPrompt && !how.continueFinal ? prompt + ASSISTANT : prompt;
}

/** Where the open assistant message begins in a prompt, or -1 when none is open. */
export function openAnswerAt(prompt: string): number {
  const marker = prompt.lastIndexOf(ASSISTANT);
  if (marker < 0) return -1;
  const start = marker + ASSISTANT.length;
  return prompt.includes(END, start) ? -1 : start;
}

/** The text of the last user message of a rendered prompt; a raw prompt is one user message. */
export function lastUserText(prompt: string): string {
  const marker = prompt.lastIndexOf(USER);
  if (marker < 0) return prompt;
  const start = marker + USER.length;
  const end = prompt.indexOf(END, start);
  return end < 0 ? prompt.slice(start) : prompt.slice(start, end);
}
