// How vLLM writes a chat answer: member by member, in its order. Pure.

import type { UsageWish } from "../exchange.ts";
import type { Piece } from "../generation.ts";
import type { ForcedCall } from "../scripts.ts";
import type { Choice, Facts, Shape } from "../shape.ts";
import { errorBody, VLLM_HEADERS } from "./errors.ts";
import { finalUsage, runningUsage, wholeUsage } from "./usage.ts";

export const EVENT_STREAM = { "content-type": "text/event-stream; charset=utf-8", server: "uvicorn" } as const;
const BROKEN = errorBody({ status: 500, type: "InternalServerError", message: "Internal server error" });

export interface ChatShapeOptions {
  readonly id: string;
  readonly model: string;
  readonly createdS: number;
  readonly usage: UsageWish;
  readonly noUsage: boolean;
  readonly call: ForcedCall | null;
  readonly logprobs: boolean;
  readonly tokenIdMembers: boolean;
}

/** The shape of one /v1/chat/completions answer. */
export function chatShape(options: ChatShapeOptions): Shape {
  const { id, model, createdS, call, logprobs, tokenIdMembers } = options;
  const usage = options.noUsage ? { include: false, continuous: false } : options.usage;
  const head = `data: {"id":${JSON.stringify(id)},"object":"chat.completion.chunk","created":${createdS},"model":${JSON.stringify(model)},"choices":[`;
  const tokenIds = tokenIdMembers ? ',"token_ids":null' : "";
  const promptIds = tokenIdMembers ? ',"prompt_token_ids":null' : "";
  const tail = ({ promptTokens }: Facts, tokens: number): string =>
    usage.continuous ? `],"usage":${JSON.stringify(runningUsage(promptTokens, tokens))}` : "]";
  const callId = (index: number): string => `chatcmpl-tool-${id.slice(-24)}${index}`;

  const delta = ({ index, generation }: Choice, { text, tokens }: Piece): string => {
    if (call === null) return `{"content":${JSON.stringify(text)}}`;
    if (generation.tokens === tokens)
      return JSON.stringify({
        tool_calls: [{ id: callId(index), type: "function", index: 0, function: { name: call.name, arguments: text } }],
      });
    return JSON.stringify({ tool_calls: [{ index: 0, function: { arguments: text } }] });
  };
  const reason = ({ generation }: Choice): string | null =>
    call !== null && !call.named && generation.finish === "stop" ? "tool_calls" : generation.finish;

  return {
    streamHeaders: EVENT_STREAM,
    wholeHeaders: VLLM_HEADERS,
    headersAt: "accept",
    errorEvent: `data: ${BROKEN}\n\ndata: [DONE]\n\n`,
    errorBody: BROKEN,
    opening: (choices, facts) =>
      choices
        .map(
          ({ index }) =>
            `${head}{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}${tail(facts, 0)}${promptIds}}\n\n`,
        )
        .join(""),
    piece: (choice, piece, facts) => {
      const probabilities = logprobs && piece.tokens > 0 ? JSON.stringify({ content: [logprob(piece.text)] }) : "null";
      const finish =
        piece.finish === null
          ? '"finish_reason":null'
          : `"finish_reason":${JSON.stringify(reason(choice))},"stop_reason":${JSON.stringify(piece.stopWord)}`;
      return `${head}{"index":${choice.index},"delta":${delta(choice, piece)},"logprobs":${probabilities},${finish}${tokenIds}}${tail(facts, choice.generation.tokens)}}\n\n`;
    },
    ending: (facts) => {
      const last = usage.include ? `${head}],"usage":${JSON.stringify(finalUsage(facts))}}\n\n` : "";
      return `${last}data: [DONE]\n\n`;
    },
    whole: (choices, facts) => ({
      id,
      object: "chat.completion",
      created: createdS,
      model,
      choices: choices.map((choice) => ({
        index: choice.index,
        message: message(choice, call, callId(choice.index)),
        logprobs: logprobs ? { content: [logprob(choice.generation.text)] } : null,
        finish_reason: reason(choice),
        stop_reason: choice.generation.stopWord,
        ...(tokenIdMembers ? { token_ids: null } : {}),
      })),
      service_tier: null,
      system_fingerprint: null,
      ...(options.noUsage ? {} : { usage: wholeUsage(facts) }),
      prompt_logprobs: null,
      ...(tokenIdMembers ? { prompt_token_ids: null } : {}),
      kv_transfer_params: null,
    }),
  };
}

function message({ generation }: Choice, call: ForcedCall | null, callId: string): unknown {
  const calls = call
    ? [{ id: callId, type: "function", function: { name: call.name, arguments: generation.text } }]
    : [];
  return {
    role: "assistant",
    content: call ? "" : generation.text,
    refusal: null,
    annotations: null,
    audio: null,
    function_call: null,
    tool_calls: calls,
    reasoning_content: null,
  };
}

function logprob(text: string): unknown {
  return { token: text, logprob: -0.5, bytes: [...Buffer.from(text)], top_logprobs: [] };
}
