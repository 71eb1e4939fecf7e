/**
 * What a socket of `/ws/chat/{model}` may be told, in one text message of JSON. Pure.
 *
 * A question is what `POST /v1/chat/completions` takes, without the model, which the path names, and always streamed:
 * `{"messages": [...]}`, or `{"content": "..."}` for one message of the user's. Nothing is remembered from one question to
 * the next. Beside questions there are `{"type": "cancel"}` and `{"type": "ping"}`.
 */
import type { JsonObject } from "#src/json.ts";
import { asProblem, Problem } from "#src/problem.ts";
import { parseDocument } from "./body.ts";

export type Said =
  | { readonly kind: "question"; readonly document: JsonObject }
  | { readonly kind: "cancel" }
  | { readonly kind: "ping" }
  | { readonly kind: "wrong"; readonly problem: Problem };

/**
 * Reads one message.
 *
 * @param model of the socket
 * @returns a question as a document of chat completions; whether its fields are right, the route's own schema says
 */
export function readMessage(text: Uint8Array, model: string): Said {
  try {
    return saidBy(parseDocument(text), model);
  } catch (thrown) {
    return { kind: "wrong", problem: asProblem(thrown) };
  }
}

function saidBy({ type = "message", content, ...document }: JsonObject, model: string): Said {
  if (type === "cancel" || type === "ping") return { kind: type };
  if (type !== "message") throw unsupported("type", "A message's type is message, cancel or ping.");
  if (document.model !== undefined) throw unsupported("model", "The path names the model.");
  if (document.stream !== undefined && document.stream !== true)
    throw unsupported("stream", "What is sent over a socket is streamed.");
  if (content !== undefined && document.messages !== undefined)
    throw unsupported("content", "content stands for messages; send one of the two.");
  const messages = content === undefined ? document.messages : [{ role: "user", content }];
  return { kind: "question", document: { ...document, messages, model, stream: true } };
}

function unsupported(param: string, message: string): Problem {
  return new Problem("unsupported_value", { param, message });
}
