/** What the lab's models answer when nobody breaks the answer, at temperature 0: known before it is asked. Pure. */
import { Generation } from "#scripts/lab/generation.ts";
import { chatPrompt } from "#scripts/lab/vllm/chat-prompt.ts";
import type { Asked } from "./witness.ts";

/** The lab's one family: hosts of it continue each other's answers. */
const FAMILY = { weights: "lab", shift: 0 } as const;

export function expectedText({ content, maxTokens, stop }: Asked): string {
  const prompt = chatPrompt({ messages: [{ role: "user", content }] }, false);
  const limits = { maxTokens, minTokens: 0, ignoreEos: false, stop, holdback: "begun" } as const;
  const generation = new Generation(prompt, FAMILY, limits);
  while (generation.finish === null) generation.step();
  return generation.text;
}
