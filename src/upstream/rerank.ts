/** `/v1/rerank` as vLLM and Jina have it, also before llama.cpp, which tells fewer members. Pure. */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";
import { counts, NOTHING_YET, type Tally } from "./tally.ts";

/** What goes on to a host. */
const FIELDS = ["query", "documents", "top_n", "return_documents"];

export function rerankRequest(body: JsonObject, model: string): JsonObject {
  const said = Object.entries(body).filter(([field, value]) => FIELDS.includes(field) && value != null);
  return { ...Object.fromEntries(said), model };
}

const said = z.looseObject({
  results: z.array(z.looseObject({ index: z.number().int().nonnegative(), relevance_score: z.number() })),
});

/**
 * A host's answer in one shape, the best first. The documents are those of the question: what a host says of them is
 * not asked for.
 *
 * @throws Error when it ranks what was not asked
 */
export function rerankAnswer(body: JsonObject, document: JsonObject, id: string, model: string): JsonObject {
  const documents = Array.isArray(body.documents) ? body.documents : [];
  const { results } = said.parse(document);
  if (results.some(({ index }) => index >= documents.length)) throw new Error("a rank of no document");
  const ranked = results.toSorted((a, b) => b.relevance_score - a.relevance_score);
  const asked = typeof body.top_n === "number" && body.top_n > 0 ? ranked.slice(0, body.top_n) : ranked;
  const { promptTokens } = rerankTally(document);
  return {
    id,
    model,
    ...(promptTokens === null ? {} : { usage: { prompt_tokens: promptTokens, total_tokens: promptTokens } }),
    results: asked.map(({ index, relevance_score }) => ({
      index,
      ...(body.return_documents === false ? {} : { document: { text: documents[index] } }),
      relevance_score,
    })),
  };
}

const total = z.looseObject({ usage: z.looseObject({ total_tokens: z.number().int().nonnegative() }) });

/** Builds of vLLM tell only the total, which is all prompt. */
export function rerankTally(document: JsonObject): Tally {
  const counted = counts(document);
  if (counted !== null) return { ...NOTHING_YET, ...counted };
  const { data } = total.safeParse(document);
  return { ...NOTHING_YET, promptTokens: data?.usage.total_tokens ?? null, completionTokens: data ? 0 : null };
}
