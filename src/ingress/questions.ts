/** How the document of each inference route is read. Here and not in the table of routes, so that an object can look it up. */
import type { JsonObject } from "#src/json.ts";
import type { Call } from "./call.ts";
import { messagesQuestion } from "./messages/question.ts";
import { type Question, questionOf } from "./question.ts";
import { responsesQuestion } from "./responses/question.ts";

type Asked = Pick<Call, "requestId" | "arrivedAtMs" | "log">;

/** Checks a document in the words of its caller's protocol; throws a Problem for what is wrong with it. */
export type Reader = (document: JsonObject) => Question;

const READERS: ReadonlyMap<string, (document: JsonObject, call: Asked) => Question> = new Map([
  ["/v1/chat/completions", (document: JsonObject) => questionOf("chat", document)],
  ["/v1/completions", (document: JsonObject) => questionOf("completions", document)],
  ["/v1/embeddings", (document: JsonObject) => questionOf("embeddings", document)],
  ["/v1/messages", (document: JsonObject, { requestId }: Asked) => messagesQuestion(document, requestId)],
  [
    "/v1/responses",
    (document: JsonObject, { requestId, arrivedAtMs }: Asked) =>
      responsesQuestion(document, requestId, Math.floor(arrivedAtMs / 1_000)),
  ],
]);

/** The one for a call's route. @throws Error for a route that asks no host */
export function readerOf(call: Asked): Reader {
  const { route } = call.log;
  const read = READERS.get(route);
  if (read === undefined) throw new Error(`no question is asked at ${route}`);
  return (document) => read(document, call);
}
