/** The dialects of what only some hosts offer: reranking, tokenizing, transcribing. None of them streams. Pure. */
import type { Host, Model, Served } from "#src/catalog/schema.ts";
import type { OfferedRoute, Question, Route } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import type { Dialect } from "./dialect.ts";
import { rerankAnswer, rerankRequest, rerankTally } from "./rerank.ts";
import { FREE, llamaTokenizeRequest, templateRequest, tokenizeAnswer, vllmTokenizeRequest } from "./tokenize.ts";
import { mayBeText, transcriptionForm, transcriptionTally, transcriptionText } from "./transcribe.ts";

export function isOffered(route: Route): route is OfferedRoute {
  return route === "rerank" || route === "transcriptions" || route === "tokenize";
}

/**
 * The dialect for one such question to one host.
 *
 * @param requestId names the answer where the engine gives it no name
 * @param more members that the host's engine takes beside the question's own
 * @throws Problem `unsupported_value` for what this host cannot do
 */
export function offeredDialect(
  route: OfferedRoute,
  host: Host,
  model: Model,
  served: Served,
  { body, recording }: Question,
  requestId: string,
  more: JsonObject,
): Dialect {
  if (route === "rerank") {
    return {
      ...WHOLE,
      // llama.cpp has it below both.
      path: host.native ? "/rerank" : "/v1/rerank",
      body: { ...rerankRequest(body, served.as), ...more },
      answer: (document) => rerankAnswer(body, document, `rerank-${requestId}`, model.id),
      tally: rerankTally,
    };
  }
  if (route === "tokenize") {
    const answer = (document: JsonObject) => tokenizeAnswer(document, model.context);
    const read = { ...WHOLE, answer, tally: () => FREE };
    if (host.engine !== "llamacpp") return { ...read, path: "/tokenize", body: vllmTokenizeRequest(body, served.as) };
    const tokenize = (template: JsonObject | null): Dialect => {
      return { ...read, path: "/tokenize", body: { ...llamaTokenizeRequest(body, template), model: served.as } };
    };
    if (body.messages == null) return tokenize(null);
    return { ...read, path: "/apply-template", body: { ...templateRequest(body), model: served.as }, next: tokenize };
  }
  if (recording === null) throw new Problem("invalid_value", { param: "file", message: "There is no file." });
  return {
    ...WHOLE,
    path: "/v1/audio/transcriptions",
    body: {},
    form: transcriptionForm(host, body, recording, served.as),
    isText: mayBeText(host, body),
    answer: (document) => document,
    say: (document) => transcriptionText(host, body, document),
    tally: transcriptionTally,
  };
}

const WHOLE = {
  stream: (): never => {
    throw new Error("not a route that streams");
  },
};
