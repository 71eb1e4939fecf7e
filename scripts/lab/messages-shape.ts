// How engines write an answer of their Messages route. vLLM and llama.cpp differ in their headers, in how they count what
// came from the cache, and in whether they name the string that ended the answer. One shape writes one answer: it remembers which block is open.
import type { Finish } from "./generation.ts";
import type { ForcedCall } from "./scripts.ts";
import type { Facts, Shape } from "./shape.ts";
import type { Headers } from "./whole-reply.ts";

export interface MessagesShapeOptions {
  readonly id: string;
  readonly model: string;
  readonly call: ForcedCall | null;
  readonly engine: Pick<Shape, "headersAt" | "errorEvent" | "errorBody"> & {
    readonly streamHeaders: Headers;
    readonly wholeHeaders: Headers;
    /** Usage as the engine tells it: in the whole and in the first event, or in the last. */
    usage(facts: Facts, where: "first" | "last"): unknown;
    readonly namesStop: boolean;
  };
}

/** The shape of one /v1/messages answer. */
export function messagesShape({ id, model, call, engine }: MessagesShapeOptions): Shape {
  const { usage, namesStop, ...wire } = engine;
  const callId = `toolu_${id.slice(-24)}`;
  const message = { id, type: "message", role: "assistant", model };
  let open = false;
  let stop: { finish: Finish; word: string | null } = { finish: "stop", word: null };
  const stopOf = (finish: Finish | null, word: string | null): object => ({
    stop_reason: finish === "length" ? "max_tokens" : call === null ? "end_turn" : "tool_use",
    stop_sequence: namesStop ? word : null,
  });
  const begin = (): string => {
    if (open) return "";
    open = true;
    const text = { type: "text", text: "" };
    const content_block = call === null ? text : { type: "tool_use", id: callId, name: call.name, input: {} };
    return event({ type: "content_block_start", index: 0, content_block });
  };
  return {
    ...wire,
    opening: (_choices, facts) => {
      const started = { ...message, content: [], stop_reason: null, stop_sequence: null, usage: usage(facts, "first") };
      return event({ type: "message_start", message: started });
    },
    piece: (_choice, { text, finish, stopWord }) => {
      if (finish !== null) stop = { finish, word: stopWord };
      if (text === "") return "";
      const delta = call === null ? { type: "text_delta", text } : { type: "input_json_delta", partial_json: text };
      return begin() + event({ type: "content_block_delta", index: 0, delta });
    },
    ending: (facts) => {
      const closed = open ? event({ type: "content_block_stop", index: 0 }) : "";
      const delta = { type: "message_delta", delta: stopOf(stop.finish, stop.word), usage: usage(facts, "last") };
      return closed + event(delta) + event({ type: "message_stop" });
    },
    whole: ([choice], facts) => {
      const { text = "", finish = null, stopWord = null } = choice?.generation ?? {};
      const block =
        call === null
          ? { type: "text", text }
          : { type: "tool_use", id: callId, name: call.name, input: JSON.parse(text) as unknown };
      return { ...message, content: [block], ...stopOf(finish, stopWord), usage: usage(facts, "first") };
    },
  };
}

function event(document: { readonly type: string; readonly [member: string]: unknown }): string {
  return `event: ${document.type}\ndata: ${JSON.stringify(document)}\n\n`;
}
