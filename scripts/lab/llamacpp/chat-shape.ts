// How llama.cpp writes /v1 answers, chat and raw: member by member, in its order. Pure.

import type { ForcedCall } from "../scripts.ts";
import type { Choice, Facts, Shape } from "../shape.ts";
import { errorBody, LLAMACPP_HEADERS, LLAMACPP_STREAM } from "./errors.ts";
import { BUILD_INFO, timings, usage } from "./timings.ts";

const BROKEN = errorBody("server_error", "failed to decode the batch");

export interface V1ShapeOptions {
  readonly id: string;
  readonly model: string;
  readonly createdS: number;
  readonly includeUsage: boolean;
  readonly noUsage: boolean;
  readonly timingsPerToken: boolean;
  readonly call: ForcedCall | null;
}

/** The shape of one /v1/chat/completions answer. */
export function chatShape(options: V1ShapeOptions): Shape {
  const { id, model, createdS, call } = options;
  const tail = `"created":${createdS},"id":${JSON.stringify(id)},"model":${JSON.stringify(model)},"system_fingerprint":"${BUILD_INFO}","object":"chat.completion.chunk"`;
  const chunk = (index: number, delta: string, finish: string | null, more = ""): string =>
    `data: {"choices":[{"finish_reason":${JSON.stringify(finish)},"index":${index},"delta":${delta}}],${tail}${more}}\n\n`;
  const callId = `call_${id.slice(-24)}`;
  const delta = ({ generation }: Choice, text: string): string => {
    if (call === null) return `{"content":${JSON.stringify(text)}}`;
    const begin = generation.tokens === 1;
    const opening = begin ? { id: callId, type: "function" } : {};
    const named = begin ? { name: call.name, arguments: text } : { arguments: text };
    return JSON.stringify({ tool_calls: [{ index: 0, ...opening, function: named }] });
  };
  const reason = ({ generation }: Choice): string | null =>
    call !== null && generation.finish === "stop" ? "tool_calls" : generation.finish;
  return {
    ...BOTH,
    opening: (choices) =>
      choices.map(({ index }) => chunk(index, '{"role":"assistant","content":null}', null)).join(""),
    piece: (choice, piece, facts) => {
      const more = options.timingsPerToken ? `,"timings":${JSON.stringify(timings(facts))}` : "";
      const said = piece.text === "" ? "" : chunk(choice.index, delta(choice, piece.text), null, more);
      if (piece.finish === null) return said;
      const last = options.includeUsage && !options.noUsage ? "" : `,"timings":${JSON.stringify(timings(facts))}`;
      return said + chunk(choice.index, "{}", reason(choice), last);
    },
    ending: (facts) => {
      const last =
        options.includeUsage && !options.noUsage
          ? `data: {"choices":[],${tail},"usage":${JSON.stringify(usage(facts))},"timings":${JSON.stringify(timings(facts))}}\n\n`
          : "";
      return `${last}data: [DONE]\n\n`;
    },
    whole: (choices, facts) => ({
      choices: choices.map((choice) => ({
        finish_reason: reason(choice),
        index: choice.index,
        message: message(choice, call, callId),
      })),
      created: createdS,
      model,
      system_fingerprint: BUILD_INFO,
      object: "chat.completion",
      ...usageUnless(options.noUsage, facts),
      id,
      timings: timings(facts),
    }),
  };
}

/** The shape of one /v1/completions answer: its last chunk carries usage beside a choice, asked or not. */
export function completionShape(options: V1ShapeOptions): Shape {
  const { id, model, createdS } = options;
  const head = `"created":${createdS},"model":${JSON.stringify(model)},"system_fingerprint":"${BUILD_INFO}","object":"text_completion"`;
  const chunk = (index: number, text: string, finish: string | null, more: string): string =>
    `data: {"choices":[{"text":${JSON.stringify(text)},"index":${index},"logprobs":null,"finish_reason":${JSON.stringify(finish)}}],${head}${more}}\n\n`;
  return {
    ...BOTH,
    opening: () => "",
    piece: ({ index }, piece, facts) => {
      const named = `,"id":${JSON.stringify(id)}`;
      const timed = `,"timings":${JSON.stringify(timings(facts))}`;
      const said =
        piece.text === "" ? "" : chunk(index, piece.text, null, named + (options.timingsPerToken ? timed : ""));
      if (piece.finish === null) return said;
      const counted = options.noUsage ? "" : `,"usage":${JSON.stringify(usage(facts))}`;
      return said + chunk(index, "", piece.finish, counted + named + timed);
    },
    ending: () => "data: [DONE]\n\n",
    whole: (choices, facts) => ({
      choices: choices.map(({ index, generation }) => ({
        text: generation.text,
        index,
        logprobs: null,
        finish_reason: generation.finish,
      })),
      created: createdS,
      model,
      system_fingerprint: BUILD_INFO,
      object: "text_completion",
      ...usageUnless(options.noUsage, facts),
      id,
      timings: timings(facts),
    }),
  };
}

const BOTH = {
  streamHeaders: LLAMACPP_STREAM,
  wholeHeaders: LLAMACPP_HEADERS,
  headersAt: "start",
  errorEvent: `data: ${BROKEN}\n\n`,
  errorBody: BROKEN,
} as const;

function usageUnless(noUsage: boolean, facts: Facts): Readonly<Record<string, unknown>> {
  return noUsage ? {} : { usage: usage(facts) };
}

function message({ generation }: Choice, call: ForcedCall | null, callId: string): unknown {
  if (call === null) return { role: "assistant", content: generation.text };
  const made = { type: "function", function: { name: call.name, arguments: generation.text }, id: callId };
  return { role: "assistant", content: null, tool_calls: [made] };
}
