// How vLLM writes a raw completion (/v1/completions). Unlike chat, its chunks carry `usage: null` while none is asked.

import type { UsageWish } from "../exchange.ts";
import type { Choice, Shape } from "../shape.ts";
import { EVENT_STREAM } from "./chat-shape.ts";
import { errorBody, VLLM_HEADERS } from "./errors.ts";
import { finalUsage, runningUsage, wholeUsage } from "./usage.ts";

const BROKEN = errorBody({ status: 500, type: "InternalServerError", message: "Internal server error" });

export interface CompletionShapeOptions {
  readonly id: string;
  readonly model: string;
  readonly createdS: number;
  readonly usage: UsageWish;
  readonly noUsage: boolean;
  readonly logprobs: boolean;
  /** `echo: true`: the prompt stands before the answer. */
  readonly echo: boolean;
}

/** The shape of one /v1/completions answer. */
export function completionShape(options: CompletionShapeOptions): Shape {
  const { id, model, createdS, logprobs, echo } = options;
  const usage = options.noUsage ? { include: false, continuous: false } : options.usage;
  const head = `data: {"id":${JSON.stringify(id)},"object":"text_completion","created":${createdS},"model":${JSON.stringify(model)},"choices":[`;
  const echoed = ({ prompt, generation }: Choice, tokens: number): string =>
    echo && generation.tokens <= tokens ? prompt : "";
  return {
    streamHeaders: EVENT_STREAM,
    wholeHeaders: VLLM_HEADERS,
    headersAt: "accept",
    errorEvent: `data: ${BROKEN}\n\ndata: [DONE]\n\n`,
    errorBody: BROKEN,
    opening: () => "",
    piece: (choice, piece, facts) => {
      const text = JSON.stringify(echoed(choice, piece.tokens) + piece.text);
      const probabilities = logprobs && piece.tokens > 0 ? JSON.stringify(logprob(piece.text)) : "null";
      const running = usage.continuous
        ? JSON.stringify(runningUsage(facts.promptTokens, choice.generation.tokens))
        : "null";
      return `${head}{"index":${choice.index},"text":${text},"logprobs":${probabilities},"finish_reason":${JSON.stringify(piece.finish)},"stop_reason":${JSON.stringify(piece.stopWord)}}],"usage":${running}}\n\n`;
    },
    ending: (facts) => {
      const last = usage.include ? `${head}],"usage":${JSON.stringify(finalUsage(facts))}}\n\n` : "";
      return `${last}data: [DONE]\n\n`;
    },
    whole: (choices, facts) => ({
      id,
      object: "text_completion",
      created: createdS,
      model,
      choices: choices.map(({ index, prompt, generation }) => ({
        index,
        text: (echo ? prompt : "") + generation.text,
        logprobs: logprobs ? logprob(generation.text) : null,
        finish_reason: generation.finish,
        stop_reason: generation.stopWord,
        prompt_logprobs: null,
      })),
      service_tier: null,
      system_fingerprint: null,
      ...(options.noUsage ? {} : { usage: wholeUsage(facts) }),
      kv_transfer_params: null,
    }),
  };
}

function logprob(text: string): unknown {
  return { text_offset: [0], token_logprobs: [-0.5], tokens: [text], top_logprobs: [{ [text]: -0.5 }] };
}
