/** How the document of each inference route is read. Here and not in the table of routes, so that an object can look it up. */
import type { JsonObject } from "#src/json.ts";
import { type Question, questionOf } from "./question.ts";

/** Checks a document in the words of its caller's protocol; throws a Problem for what is wrong with it. */
export type Reader = (document: JsonObject) => Question;

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ["/v1/chat/completions", (document) => questionOf("chat", document)],
  ["/v1/completions", (document) => questionOf("completions", document)],
  ["/v1/embeddings", (document) => questionOf("embeddings", document)],
]);

/** @param route its pattern @throws Error for a route that asks no host */
export function readerOf(route: string): Reader {
  const reader = READERS.get(route);
  if (reader === undefined) throw new Error(`no question is asked at ${route}`);
  return reader;
}
