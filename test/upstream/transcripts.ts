/** What the engines put on the wire, by the lab's own shapes: one answer, event by event, with the truth beside it. */

import { Generation } from "#scripts/lab/generation.ts";
import { chatShape as llamaChat, completionShape as llamaCompletion } from "#scripts/lab/llamacpp/chat-shape.ts";
import { nativeShape } from "#scripts/lab/llamacpp/native-shape.ts";
import type { Choice, Facts, Shape } from "#scripts/lab/shape.ts";
import { chatShape as vllmChat } from "#scripts/lab/vllm/chat-shape.ts";
import { completionShape as vllmCompletion } from "#scripts/lab/vllm/completion-shape.ts";

/** What an engine was asked for beside the answer. */
export type Wish = { readonly include: boolean; readonly continuous: boolean; readonly timings: boolean };

export type Step = {
  /** One write of the engine: a token's events, or those before the first or after the last. */
  readonly bytes: string;
  /** Tokens made by then, over all choices. */
  readonly completionTokens: number;
};

const LIMITS = { maxTokens: 40, minTokens: 0, ignoreEos: false, stop: [], holdback: "begun" } as const;
export const PROMPT_TOKENS = 11;

/** Text that looks like the members and lines this gateway looks for, and text beyond ASCII. */
export const TRICKY = 'a,"usage":{"b":1} ,"timings":{} data: [DONE]\n\n"usage":{ 😀é\u2028\\"}';

/** One answer of this shape, in the engine's writes. */
export function steps(
  shape: Shape,
  options: { readonly n?: number; readonly script?: string; readonly maxTokens?: number } = {},
): Step[] {
  const { n = 1, script = TRICKY, maxTokens = LIMITS.maxTokens } = options;
  const choices: Choice[] = Array.from({ length: n }, (_, index) => ({
    index,
    prompt: "hi",
    generation: new Generation(
      "hi",
      { weights: "w", shift: index, script: script.slice(index) },
      { ...LIMITS, maxTokens },
    ),
  }));
  const facts: Facts = {
    promptTokens: PROMPT_TOKENS,
    cachedTokens: 3,
    completionTokens: 0,
    slot: 0,
    promptMs: 7.25,
    decodeMs: 0,
  };
  const made: Step[] = [];
  const write = (bytes: string): void => {
    if (bytes !== "") made.push({ bytes, completionTokens: facts.completionTokens });
  };
  write(shape.opening(choices, facts));
  while (choices.some(({ generation }) => generation.finish === null)) {
    for (const choice of choices) {
      if (choice.generation.finish !== null) continue;
      const piece = choice.generation.step();
      facts.completionTokens += piece.tokens;
      facts.decodeMs += 0.5;
      write(shape.piece(choice, piece, facts));
    }
  }
  write(shape.ending(facts));
  return made;
}

export const wire = (made: readonly Step[]): string => made.map(({ bytes }) => bytes).join("");

const CALL = { name: "look", arguments: TRICKY, named: false };
const vllm = {
  id: "chatcmpl-1",
  model: "m",
  createdS: 1,
  noUsage: false,
  logprobs: false,
  tokenIdMembers: false,
  call: null,
  echo: false,
};
const llama = { id: "chatcmpl-1", model: "m", createdS: 1, noUsage: false, call: null };

export type Engine = {
  readonly name: string;
  readonly engine: "vllm" | "llamacpp";
  readonly route: "chat" | "completions";
  readonly shape: (wish: Wish) => Shape;
  readonly n?: number;
};

/** Both engines, both routes, and what changes the shape of an event. */
export const ENGINES: readonly Engine[] = [
  { name: "vLLM chat", engine: "vllm", route: "chat", shape: (usage) => vllmChat({ ...vllm, usage }) },
  {
    name: "vLLM chat, logprobs",
    engine: "vllm",
    route: "chat",
    shape: (usage) => vllmChat({ ...vllm, usage, logprobs: true }),
  },
  {
    name: "vLLM chat, tool call",
    engine: "vllm",
    route: "chat",
    shape: (usage) => vllmChat({ ...vllm, usage, call: CALL }),
  },
  {
    name: "vLLM chat, token id members",
    engine: "vllm",
    route: "chat",
    shape: (usage) => vllmChat({ ...vllm, usage, tokenIdMembers: true }),
  },
  { name: "vLLM chat, n=2", engine: "vllm", route: "chat", n: 2, shape: (usage) => vllmChat({ ...vllm, usage }) },
  {
    name: "vLLM completions",
    engine: "vllm",
    route: "completions",
    shape: (usage) => vllmCompletion({ ...vllm, usage }),
  },
  {
    name: "vLLM completions, logprobs, echo, n=2",
    engine: "vllm",
    route: "completions",
    n: 2,
    shape: (usage) => vllmCompletion({ ...vllm, usage, logprobs: true, echo: true }),
  },
  {
    name: "llama.cpp chat",
    engine: "llamacpp",
    route: "chat",
    shape: ({ include, timings }) => llamaChat({ ...llama, includeUsage: include, timingsPerToken: timings }),
  },
  {
    name: "llama.cpp chat, tool call",
    engine: "llamacpp",
    route: "chat",
    shape: ({ include, timings }) =>
      llamaChat({ ...llama, call: CALL, includeUsage: include, timingsPerToken: timings }),
  },
  {
    name: "llama.cpp completions",
    engine: "llamacpp",
    route: "completions",
    shape: ({ include, timings }) => llamaCompletion({ ...llama, includeUsage: include, timingsPerToken: timings }),
  },
];

/** llama.cpp's native route. */
export function native(timingsPerToken: boolean, noUsage = false): Shape {
  return nativeShape({ model: "m", limits: LIMITS, timingsPerToken, stream: true, noUsage });
}
