/**
 * What is said to a host and how its answer is read: the one place that knows which engine speaks how. Pure.
 */
import type { Host, Model, Served } from "#src/catalog/schema.ts";
import type { Question } from "#src/ingress/question.ts";
import type { Protocol } from "#src/ingress/wording.ts";
import type { JsonObject } from "#src/json.ts";
import type { AnswerStream } from "./answer-stream.ts";
import type { Form } from "./form-body.ts";
import { completionOf, isAskedNatively, MESSAGES_PATH, messagesRequest } from "./messages.ts";
import { MessagesStream } from "./messages-stream.ts";
import { type NativeReply, nativeAnswer, nativeRequest } from "./native.ts";
import { NativeStream } from "./native-stream.ts";
import { isOffered, offeredDialect } from "./offered.ts";
import { openAiRequest } from "./openai-request.ts";
import { OpenAiStream } from "./openai-stream.ts";
import { chatAnswer, isAskedForResponse, RESPONSES_PATH, responsesRequest } from "./responses.ts";
import { ResponsesStream } from "./responses-stream.ts";
import type { Tally } from "./tally.ts";

export type Dialect = {
  readonly path: string;
  readonly body: JsonObject;
  /** A reader for the host's event stream. */
  stream(): AnswerStream;
  /** In whose words the bytes of a whole answer are, where the caller speaks them too. Absent: in OpenAI's. */
  readonly protocol?: Protocol;
  /** A whole answer in OpenAI's shape, or null when the host's bytes are that already. */
  answer: ((document: JsonObject) => JsonObject) | null;
  /** In place of `body`: the host is asked by a form. */
  readonly form?: Form;
  /** The host may answer in text: then the document is `{text}`. */
  readonly isText?: boolean;
  /** What the host is asked before there is an answer, when it has answered this. */
  readonly next?: (document: JsonObject) => Dialect;
  /** What the host is asked instead, where it goes on otherwise than what it was to repeat: what it said so is in vain. */
  readonly otherwise?: (inVain: AnswerStream) => Dialect;
  /** The answer as it is sent on, where that is not its JSON. */
  readonly say?: (answer: JsonObject) => string;
  /** What the host's answer has cost, where it is not told as in chat. */
  readonly tally?: (document: JsonObject) => Tally;
};

const PATHS = { chat: "/v1/chat/completions", completions: "/v1/completions", embeddings: "/v1/embeddings" } as const;

/** A native host generates for ever unless told otherwise; this bounds callers who name no bound. */
const NATIVE_MAX_TOKENS = 4_096;

/**
 * The dialect for one question to one host.
 *
 * @param requestId names the answer where the engine gives it no name
 * @throws Problem `unsupported_value` for what this host cannot do
 */
export function dialectOf(
  host: Host,
  model: Model,
  served: Served,
  question: Question,
  requestId: string,
  nowMs: number,
): Dialect {
  const { route } = question;
  if (isOffered(route)) return offeredDialect(route, host, model, served, question, requestId, saltOf(host, question));
  if (isAskedForResponse(host, question)) {
    return {
      path: RESPONSES_PATH,
      body: { ...responsesRequest(question, served.as), ...saltOf(host, question) },
      protocol: "responses",
      stream: () => new ResponsesStream(),
      answer: chatAnswer,
    };
  }
  if (isAskedNatively(host, question)) {
    return {
      path: MESSAGES_PATH,
      body: messagesRequest(question, served),
      stream: () => new MessagesStream(question.original?.model),
      answer: completionOf,
    };
  }
  if (host.native && route !== "embeddings") {
    const created = Math.floor(nowMs / 1000);
    const reply: NativeReply = {
      route,
      id: `${route === "chat" ? "chatcmpl" : "cmpl"}-${requestId}`,
      created,
      model: model.id,
    };
    return {
      path: "/completion",
      body: nativeRequest(question, served, Math.min(NATIVE_MAX_TOKENS, model.context ?? NATIVE_MAX_TOKENS)),
      stream: () => new NativeStream(reply, question.wantsUsage),
      answer: (document) => nativeAnswer(reply, document),
    };
  }
  if (host.engine === "openai") {
    return {
      path: PATHS[route],
      body: openAiRequest({ ...question, route }, served.as),
      // Some services tell usage beside the last choice, where others send a chunk of its own.
      stream: () =>
        new OpenAiStream({ usageChunk: !question.wantsUsage, member: question.wantsUsage ? null : "usage" }),
      answer: null,
    };
  }
  const counting = host.engine === "vllm" ? "usage" : "timings";
  return {
    path: PATHS[route],
    body: {
      ...bodyFor(host, question),
      model: served.as,
      ...(question.stream ? streamOptions(host, question) : {}),
      ...saltOf(host, question),
    },
    stream: () =>
      new OpenAiStream(
        { usageChunk: !question.wantsUsage, member: asked(question, counting) ? null : counting },
        host.engine === "vllm",
      ),
    answer: null,
  };
}

/** What parts vLLM's prefix cache by tenant. Embeddings of builds that cache none ignore it. */
function saltOf({ engine, cacheSalt }: Host, question: Question): JsonObject {
  if (engine !== "vllm" || !cacheSalt || question.cacheSalt === null) return {};
  return { cache_salt: question.cacheSalt };
}

/**
 * The counts that make a cancelled answer's cost exact: vLLM repeats usage in every chunk when asked, llama.cpp its
 * timings. Both are hidden from callers who did not ask for them.
 */
function streamOptions(host: Host, question: Question): JsonObject {
  const options = { ...(question.body.stream_options as JsonObject | undefined), include_usage: true };
  if (host.engine === "llamacpp") return { stream_options: options, timings_per_token: true };
  return { stream_options: { ...options, continuous_usage_stats: true } };
}

/** llama.cpp always writes on what the assistant said last, and has no words to ask for it. */
function bodyFor({ engine }: Host, { body }: Question): JsonObject {
  if (engine !== "llamacpp" || body.continue_final_message === undefined) return body;
  const { continue_final_message: _implied, add_generation_prompt: _impliedToo, ...rest } = body;
  return rest;
}

function asked(question: Question, member: "usage" | "timings"): boolean {
  // A voice takes what it needs of them, and hides the rest.
  if (question.wording.protocol !== "openai") return true;
  if (member === "timings") return question.body.timings_per_token === true;
  // vLLM minds the one only together with the other.
  const options = question.body.stream_options as JsonObject | undefined;
  return question.wantsUsage && options?.continuous_usage_stats === true;
}
