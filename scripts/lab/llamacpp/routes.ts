// The routes of a llama.cpp server: which exist and what the small ones answer; generation is read in requests.ts.
import { dimensionsOf, embed, embedding, encoded } from "../embed.ts";
import type { Exchange } from "../exchange.ts";
import { BadField, flag, type Json, text } from "../fields.ts";
import type { Machine } from "../machine.ts";
import { chatPrompt, rawPrompts } from "../prompts.ts";
import { runRerank } from "../rerank.ts";
import { countTokens } from "../tokens.ts";
import { reply, replyJson } from "../whole-reply.ts";
import { ContextExceeded, errorBody, LLAMACPP_HEADERS, refuse } from "./errors.ts";
import { chat, completions, modelName, native } from "./requests.ts";
import { llamacppMetrics, modelList, props, slots } from "./status.ts";

type Handler = (machine: Machine, exchange: Exchange) => void;
type Route = { readonly method: "GET" | "POST"; readonly run: Handler };

const BROKEN = errorBody("server_error", "failed to decode the batch");
const json = (value: (machine: Machine) => unknown): Route => ({
  method: "GET",
  run: (machine, { res }) => replyJson(res, 200, value(machine), LLAMACPP_HEADERS),
});
const health = json(() => ({ status: "ok" }));

/** Paths, methods and handlers. A host started with `nativeOnly` drops those under /v1. */
export const LLAMACPP_ROUTES: Readonly<Record<string, Route>> = {
  "/v1/chat/completions": { method: "POST", run: chat },
  "/v1/completions": { method: "POST", run: completions },
  "/v1/embeddings": { method: "POST", run: openAiEmbeddings },
  "/v1/models": json(modelList),
  "/v1/health": health,
  "/models": json(modelList),
  "/health": health,
  "/props": json(props),
  "/slots": { method: "GET", run: slotsRoute },
  "/metrics": {
    method: "GET",
    run: (machine, { res }) =>
      reply(res, 200, { "content-type": "text/plain; version=0.0.4" }, llamacppMetrics(machine)),
  },
  "/completion": { method: "POST", run: native },
  "/completions": { method: "POST", run: native },
  "/embedding": { method: "POST", run: nativeEmbeddings },
  "/embeddings": { method: "POST", run: nativeEmbeddings },
  "/rerank": { method: "POST", run: rerank },
  "/reranking": { method: "POST", run: rerank },
  "/v1/rerank": { method: "POST", run: rerank },
  "/v1/reranking": { method: "POST", run: rerank },
  "/tokenize": { method: "POST", run: tokenizeRoute },
  "/detokenize": { method: "POST", run: detokenizeRoute },
  "/apply-template": {
    method: "POST",
    run: (_machine, { res, body }) => replyJson(res, 200, { prompt: chatPrompt(body) }, LLAMACPP_HEADERS),
  },
};

/** Routes that faults strike as inference. */
export const LLAMACPP_INFERENCE: ReadonlySet<string> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/embeddings",
  "/completion",
  "/completions",
  "/embedding",
  "/embeddings",
  "/rerank",
  "/v1/rerank",
  "/tokenize",
  "/apply-template",
]);

function slotsRoute(machine: Machine, { res, query }: Exchange): void {
  const [list, free] = slots(machine);
  if (query.has("fail_on_no_slot") && free <= 0) refuse(res, "unavailable_error", "no slot available");
  else replyJson(res, 200, list, LLAMACPP_HEADERS);
}

function tokenizeRoute(machine: Machine, { res, body }: Exchange): void {
  const content = text(body, "content", "");
  const ids = machine.tokenIds.encode(content);
  const tokens = flag(body, "with_pieces") ? ids.map((id) => ({ id, piece: machine.tokenIds.decode([id]) })) : ids;
  replyJson(res, 200, { tokens }, LLAMACPP_HEADERS);
}

function detokenizeRoute(machine: Machine, { res, body }: Exchange): void {
  const content = body.tokens === undefined ? "" : (rawPrompts(body, "tokens", machine.tokenIds)[0] ?? "");
  replyJson(res, 200, { content }, LLAMACPP_HEADERS);
}

function rerank(machine: Machine, exchange: Exchange): void {
  const model = modelName(machine, exchange.body);
  const way = { id: `rerank-${exchange.requestId}`, model, headers: LLAMACPP_HEADERS, errorBody: BROKEN };
  const isTaken = runRerank(machine, exchange, way, (ranks, promptTokens) => ({
    model,
    object: "list",
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    results: ranks.map(({ index, score }) => ({ index, relevance_score: score })),
  }));
  if (!isTaken) refuse(exchange.res, "unavailable_error", "no slot available");
}

function openAiEmbeddings(machine: Machine, exchange: Exchange): void {
  const { body } = exchange;
  const dimensions = dimensionsOf(machine, body);
  const model = modelName(machine, body);
  runEmbeddings(machine, exchange, "input", (inputs, promptTokens) => ({
    model,
    object: "list",
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    data: inputs.map((input, index) => {
      const value = encoded(embedding(input, machine.weights, dimensions), body.encoding_format);
      const format = typeof value === "string" ? { encoding_format: "base64" } : {};
      return { embedding: value, index, object: "embedding", ...format };
    }),
  }));
}

function nativeEmbeddings(machine: Machine, exchange: Exchange): void {
  const dimensions = dimensionsOf(machine, {});
  const field = exchange.body.content === undefined ? "input" : "content";
  runEmbeddings(machine, exchange, field, (inputs) =>
    inputs.map((input, index) => ({ index, embedding: [embedding(input, machine.weights, dimensions)] })),
  );
}

function runEmbeddings(
  machine: Machine,
  exchange: Exchange,
  field: string,
  bodyOf: (inputs: readonly string[], promptTokens: number) => unknown,
): void {
  const { body, res, requestId } = exchange;
  const inputs = readInputs(body, field, machine);
  const format = body.encoding_format;
  encoded([], format);
  const ask = {
    id: `embd-${requestId}`,
    model: modelName(machine, body),
    inputs,
    headers: LLAMACPP_HEADERS,
    errorBody: BROKEN,
    whole: (promptTokens: number) => bodyOf(inputs, promptTokens),
  };
  if (!embed(machine, exchange, ask)) refuse(res, "unavailable_error", "no slot available");
}

function readInputs(body: Json, field: string, machine: Machine): string[] {
  if (body[field] === undefined) throw new BadField(field, '"input" or "content" must be provided', true);
  const inputs = rawPrompts(body, field, machine.tokenIds);
  const { contextTokens } = machine.options;
  for (const input of inputs) {
    const tokens = countTokens(input);
    if (tokens >= contextTokens) throw new ContextExceeded(tokens, contextTokens);
  }
  return inputs;
}
