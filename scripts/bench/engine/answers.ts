/**
 * What the bench's engine says, as vLLM says it: one event for each token, counts in every chunk where they are asked for,
 * a usage chunk, `[DONE]`. The text of a token is when it was sent, on the clock that all processes of a machine share.
 * Pure but for that clock.
 */
import { MODEL } from "../contestants/contestant.ts";

export const PROMPT_TOKENS = 120;
const ID = "chatcmpl-4f0d2a6c9b1e4d7f8a3c5b2e";

export type Wanted = {
  readonly tokens: number;
  /** A chunk of usage at the end. */
  readonly usageChunk: boolean;
  /** The counts so far in every chunk (vLLM's `continuous_usage_stats`). */
  readonly runningCounts: boolean;
};

/** Marks a token's text as the moment when it was sent: `@1234567890123`, in µs. */
export const STAMP = "@";

/** The event of one token. @param nth from 1 on */
export function tokenEvent({ runningCounts }: Wanted, nth: number, nowUs: number): string {
  return chunk(`{"content":"${STAMP}${nowUs} "}`, "null", runningCounts ? `,${usage(nth)}` : "");
}

export function firstEvent({ runningCounts }: Wanted): string {
  return chunk('{"role":"assistant","content":""}', "null", runningCounts ? `,${usage(0)}` : "");
}

/** How a stream ends. */
export function lastEvents({ tokens, usageChunk, runningCounts }: Wanted): string {
  const finish = chunk('{"content":""}', '"stop"', runningCounts ? `,${usage(tokens)}` : "");
  const counts = usageChunk ? `data: ${head("chat.completion.chunk")},"choices":[],${usage(tokens)}}\n\n` : "";
  return `${finish}${counts}data: [DONE]\n\n`;
}

export function wholeAnswer(tokens: number, nowUs: number): string {
  const content = `${STAMP}${nowUs} ${"word ".repeat(Math.max(0, tokens - 1))}`;
  const message = `{"role":"assistant","content":"${content}","refusal":null,"tool_calls":[]}`;
  const choice = `{"index":0,"message":${message},"logprobs":null,"finish_reason":"stop","stop_reason":null}`;
  return `${head("chat.completion")},"choices":[${choice}],${usage(tokens)},"prompt_logprobs":null}`;
}

function chunk(delta: string, finishReason: string, counts: string): string {
  const choice = `{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finishReason}}`;
  return `data: ${head("chat.completion.chunk")},"choices":[${choice}]${counts}}\n\n`;
}

function head(object: string): string {
  return `{"id":"${ID}","object":"${object}","created":1764500000,"model":"${MODEL}"`;
}

function usage(completion: number): string {
  const [prompt, total] = [PROMPT_TOKENS, PROMPT_TOKENS + completion];
  return `"usage":{"prompt_tokens":${prompt},"total_tokens":${total},"completion_tokens":${completion}}`;
}
