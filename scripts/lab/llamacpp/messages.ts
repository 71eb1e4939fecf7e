// llama.cpp's Messages routes: read as chat, answered in Anthropic's shapes.
import type { Exchange } from "../exchange.ts";
import type { Machine } from "../machine.ts";
import { chatBodyOf } from "../messages-body.ts";
import { type MessagesShapeOptions, messagesShape } from "../messages-shape.ts";
import { forcedCall } from "../scripts.ts";
import { countTokens } from "../tokens.ts";
import { replyJson } from "../whole-reply.ts";
import { chatPrompt } from "./chat-prompt.ts";
import { errorBody, LLAMACPP_HEADERS, LLAMACPP_STREAM } from "./errors.ts";
import { modelName, run } from "./requests.ts";

const BROKEN = errorBody("server_error", "failed to decode the batch");

const ENGINE: MessagesShapeOptions["engine"] = {
  streamHeaders: LLAMACPP_STREAM,
  wholeHeaders: LLAMACPP_HEADERS,
  headersAt: "start",
  errorEvent: `event: error\ndata: ${BROKEN}\n\n`,
  errorBody: BROKEN,
  // The last event of a stream tells only the output.
  usage: ({ promptTokens, cachedTokens, completionTokens }, where) => {
    const output = { output_tokens: completionTokens };
    if (where === "last") return output;
    return { cache_read_input_tokens: cachedTokens, input_tokens: promptTokens - cachedTokens, ...output };
  },
  namesStop: true,
};

/** POST /v1/messages. @throws BadField, ContextExceeded */
export function messages(machine: Machine, exchange: Exchange): void {
  const body = chatBodyOf(exchange.body, true);
  const call = forcedCall(body);
  const id = `chatcmpl-${exchange.requestId}`;
  const shape = messagesShape({ id, model: modelName(machine, body), call, engine: ENGINE });
  run(
    machine,
    { ...exchange, body },
    { id, prompts: [chatPrompt(body, machine.options.trimsContent ?? false)], script: call?.arguments },
    () => shape,
  );
}

/** POST /v1/messages/count_tokens. @throws BadField */
export function countMessages(machine: Machine, { res, body }: Exchange): void {
  replyJson(
    res,
    200,
    { input_tokens: countTokens(chatPrompt(chatBodyOf(body, false), machine.options.trimsContent ?? false)) },
    LLAMACPP_HEADERS,
  );
}
