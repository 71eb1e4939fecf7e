/**
 * Engines for tests inside workerd: the lab's model and the lab's wire shapes without its sockets, so that an answer that
 * is cut on one host and carried on by another can be held against the same answer uninterrupted. One may die on the way.
 */
import { usageWish } from "#scripts/lab/exchange.ts";
import { Generation } from "#scripts/lab/generation.ts";
import { chatPrompt as llamaPrompt } from "#scripts/lab/llamacpp/chat-prompt.ts";
import { chatShape as llamaChat, completionShape as llamaCompletion } from "#scripts/lab/llamacpp/chat-shape.ts";
import { nativeShape } from "#scripts/lab/llamacpp/native-shape.ts";
import type { Facts, Shape } from "#scripts/lab/shape.ts";
import { countTokens } from "#scripts/lab/tokens.ts";
import { chatPrompt as vllmPrompt } from "#scripts/lab/vllm/chat-prompt.ts";
import { chatShape as vllmChat } from "#scripts/lab/vllm/chat-shape.ts";
import { completionShape as vllmCompletion } from "#scripts/lab/vllm/completion-shape.ts";
import type { JsonObject } from "#src/json.ts";
import type { Host } from "./gateway.ts";

/** How an engine dies, after so many tokens. `stall`: it says nothing any more, and its connection stays. */
export type Death = {
  readonly how: "cut" | "fin" | "half" | "garbage" | "stall" | "error" | "before done";
  readonly afterTokens: number;
};

export type Kind = "vllm" | "llamacpp" | "native";

/** What became of the stream it sent last. */
export type Seen = { hungUp: boolean };

/** A host that answers as this engine does, and dies if it is told to. */
export function engine(kind: Kind, death: Death | null = null, seen: Seen = { hungUp: false }): Host {
  return (body, signal) => {
    const { shape, choice, facts } = opened(kind, body);
    const utf8 = new TextEncoder();
    let isBegun = false;
    signal?.addEventListener("abort", () => {
      seen.hungUp = true;
    });
    const stream = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const write = (text: string): void => void (text !== "" && controller.enqueue(utf8.encode(text)));
          if (!isBegun) write(shape.opening([choice], facts));
          isBegun = true;
          const piece = choice.generation.step();
          facts.completionTokens += piece.tokens;
          const event = shape.piece(choice, piece, facts);
          const isLast = piece.finish !== null;
          if (death !== null && death.how !== "before done" && facts.completionTokens > death.afterTokens) {
            if (death.how === "half") write(event.slice(0, event.length / 2));
            if (death.how === "garbage") write('data: {"id":"x","obj\n\n');
            if (death.how === "error") write(shape.errorEvent);
            if (death.how === "cut") controller.error(new Error("Network connection lost."));
            else if (death.how === "stall") await new Promise(() => undefined);
            else controller.close();
            return;
          }
          write(event);
          if (!isLast) return;
          if (death?.how !== "before done") write(shape.ending(facts));
          controller.close();
        },
        cancel() {
          seen.hungUp = true;
        },
      },
      { highWaterMark: 0 },
    );
    return new Response(stream, { headers: { "content-type": "text/event-stream" } });
  };
}

function opened(
  kind: Kind,
  body: JsonObject,
): { shape: Shape; choice: { index: number; prompt: string; generation: Generation }; facts: Facts } {
  const prompt = promptOf(kind, body);
  const bound = body.n_predict ?? body.max_completion_tokens ?? body.max_tokens;
  const limits = {
    maxTokens: typeof bound === "number" ? bound : Number.POSITIVE_INFINITY,
    minTokens: 0,
    ignoreEos: false,
    stop: [body.stop ?? []].flat().map(String),
    holdback: kind === "vllm" ? "always" : "begun",
  } as const;
  const generation = new Generation(prompt, { weights: "w", shift: 0 }, limits);
  const choice = { index: 0, prompt, generation };
  const promptTokens = countTokens(prompt);
  const facts = { promptTokens, cachedTokens: 0, completionTokens: 0, slot: 0, promptMs: 1, decodeMs: 1 };
  return { shape: shapeOf(kind, body, limits), choice, facts };
}

function promptOf(kind: Kind, body: JsonObject): string {
  if (!Array.isArray(body.messages)) return String(body.prompt);
  return kind === "vllm" ? vllmPrompt(body, false) : llamaPrompt(body, false);
}

function shapeOf(kind: Kind, body: JsonObject, limits: Parameters<typeof nativeShape>[0]["limits"]): Shape {
  const common = { id: crypto.randomUUID(), model: "as", createdS: Math.floor(Date.now() / 1_000), noUsage: false };
  if (kind === "native")
    return nativeShape({ model: "as", limits, timingsPerToken: true, stream: true, noUsage: false });
  const isChat = Array.isArray(body.messages);
  if (kind === "llamacpp") {
    const told = { ...common, call: null, includeUsage: usageWish(body, false).include, timingsPerToken: true };
    return isChat ? llamaChat(told) : llamaCompletion(told);
  }
  const told = { ...common, usage: usageWish(body, true), logprobs: false };
  return isChat ? vllmChat({ ...told, call: null, tokenIdMembers: false }) : vllmCompletion({ ...told, echo: false });
}
