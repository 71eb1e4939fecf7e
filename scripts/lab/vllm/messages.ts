// vLLM's Messages routes: read as chat, answered in Anthropic's shapes.
import { type Exchange, samplingShift } from "../exchange.ts";
import { flag, text } from "../fields.ts";
import { generate } from "../generate.ts";
import type { Machine } from "../machine.ts";
import { chatBodyOf } from "../messages-body.ts";
import { type MessagesShapeOptions, messagesShape } from "../messages-shape.ts";
import { forcedCall } from "../scripts.ts";
import { countTokens } from "../tokens.ts";
import { replyJson } from "../whole-reply.ts";
import { chatPrompt } from "./chat-prompt.ts";
import { EVENT_STREAM } from "./chat-shape.ts";
import { errorBody, OVERLOADED, refuse, VLLM_HEADERS } from "./errors.ts";
import { readLimits } from "./limits.ts";

const ERROR = JSON.stringify({ type: "error", error: { type: "internal_error", message: "Internal server error" } });

const ENGINE: MessagesShapeOptions["engine"] = {
  streamHeaders: EVENT_STREAM,
  wholeHeaders: VLLM_HEADERS,
  headersAt: "accept",
  errorEvent: `event: error\ndata: ${ERROR}\n\ndata: [DONE]\n\n`,
  errorBody: errorBody({ status: 500, type: "InternalServerError", message: "Internal server error" }),
  // What came from the cache is not told apart.
  usage: ({ promptTokens, completionTokens }) => ({ input_tokens: promptTokens, output_tokens: completionTokens }),
  namesStop: false,
};

/** POST /v1/messages. @throws BadField */
export function messages(machine: Machine, exchange: Exchange): void {
  const { requestId, res } = exchange;
  const body = chatBodyOf(exchange.body, true);
  const prompt = chatPrompt(body, machine.options.trimsContent ?? false);
  const call = forcedCall(body);
  const limits = readLimits(body, countTokens(prompt), machine.options.contextTokens, null);
  const id = `chatcmpl-${requestId}`;
  const model = text(body, "model", "");
  const shift = samplingShift(body, machine.nextNumber);
  const ask = {
    id,
    model,
    prompts: [prompt],
    n: 1,
    shift,
    limits,
    script: call?.arguments,
    stream: flag(body, "stream"),
  };
  if (!generate(machine, exchange, ask, messagesShape({ id, model, call, engine: ENGINE }))) refuse(res, OVERLOADED);
}

/** POST /v1/messages/count_tokens. @throws BadField */
export function countMessages(machine: Machine, { res, body }: Exchange): void {
  const tokens = countTokens(chatPrompt(chatBodyOf(body, false), machine.options.trimsContent ?? false));
  const context_management = { original_input_tokens: tokens };
  replyJson(res, 200, { input_tokens: tokens, context_management }, VLLM_HEADERS);
}
