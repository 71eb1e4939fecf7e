/** A host, a model and a question, plain unless the test says otherwise. */
import { type Host, type Model, parseCatalog, type Served } from "#src/catalog/schema.ts";
import { type Question, questionOf, type Route } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { type Dialect, dialectOf } from "#src/upstream/dialect.ts";

export const REQUEST_ID = "0199e000-0000-7000-8000-000000000001";
export const NOW_MS = 1_790_000_000_999;

/** The catalog's reading of one host and one model on it. */
export function servedBy(
  host: { readonly [member: string]: unknown },
  served: { readonly [member: string]: unknown } = {},
  model: { readonly [member: string]: unknown } = {},
): { host: Host; model: Model; served: Served } {
  const parsed = parseCatalog({
    hosts: [{ id: "h", engine: "vllm", reach: { via: "direct", url: "http://h.internal:8000/base" }, ...host }],
    models: [{ id: "m", served: [{ host: "h", as: "org/m", ...served }], ...model }],
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  const [first] = parsed.catalog.hosts;
  const [only] = parsed.catalog.models;
  const [way] = only?.served ?? [];
  if (first === undefined || only === undefined || way === undefined) throw new Error("a catalog of one of each");
  return { host: first, model: only, served: way };
}

const LEAST: Record<Route, JsonObject> = {
  chat: { messages: [{ role: "user", content: "hi" }] },
  completions: { prompt: "hi" },
  embeddings: { input: "hi" },
  rerank: { query: "hi", documents: ["a", "b"] },
  tokenize: { prompt: "hi" },
  transcriptions: {},
};

export function question(route: Route, more: JsonObject = {}): Question {
  return questionOf(route, { model: "m", ...LEAST[route], ...more });
}

export function dialect(
  host: { readonly [member: string]: unknown },
  asked: Question,
  served: { readonly [member: string]: unknown } = {},
  modelMore: { readonly [member: string]: unknown } = {},
): Dialect {
  const found = servedBy(host, served, modelMore);
  return dialectOf(found.host, found.model, found.served, asked, REQUEST_ID, NOW_MS);
}

/** The Problem that this throws. */
export function problemOf(run: () => unknown): Problem {
  try {
    run();
  } catch (thrown) {
    if (thrown instanceof Problem) return thrown;
    throw thrown;
  }
  throw new Error("nothing was thrown");
}
