// The routes of a vLLM server: which exist, what each reads, which conductor runs it.

import type { ServerResponse } from "node:http";
import { dimensionsOf, embed, embedding, encoded } from "../embed.ts";
import { type Exchange, samplingShift, usageWish } from "../exchange.ts";
import { BadField, flag, text } from "../fields.ts";
import { generate } from "../generate.ts";
import type { Machine } from "../machine.ts";
import { chatPrompt, rawPrompts } from "../prompts.ts";
import { runRerank } from "../rerank.ts";
import { forcedCall, jsonAnswer } from "../scripts.ts";
import { countTokens } from "../tokens.ts";
import { reply, replyJson } from "../whole-reply.ts";
import { chatShape } from "./chat-shape.ts";
import { completionShape } from "./completion-shape.ts";
import { errorBody, OVERLOADED, refuse, refuseField, VLLM_HEADERS } from "./errors.ts";
import { readLimits, readN, readSalt } from "./limits.ts";
import { vllmMetrics } from "./metrics.ts";
import { modelList } from "./models.ts";
import { chatBodyOf } from "./responses-request.ts";
import { responsesShape } from "./responses-shape.ts";
import { transcribe } from "./transcribe.ts";

/** vLLM's default for /v1/completions when no limit is given. */
const DEFAULT_COMPLETION_TOKENS = 16;
const BROKEN = errorBody({ status: 500, type: "InternalServerError", message: "Internal server error" });

type Handler = (machine: Machine, exchange: Exchange) => void;

/** Paths, methods and handlers; the first path word decides nothing here, authorisation is the host's. */
export const VLLM_ROUTES: Readonly<Record<string, { readonly method: "GET" | "POST"; readonly run: Handler }>> = {
  "/v1/chat/completions": { method: "POST", run: chat },
  "/v1/completions": { method: "POST", run: completions },
  "/v1/responses": { method: "POST", run: responses },
  "/v1/embeddings": { method: "POST", run: embeddings },
  "/v1/models": { method: "GET", run: (machine, { res }) => replyJson(res, 200, modelList(machine), VLLM_HEADERS) },
  "/health": { method: "GET", run: (_machine, { res }) => reply(res, 200, { server: "uvicorn" }, "") },
  "/ping": { method: "GET", run: (_machine, { res }) => reply(res, 200, { server: "uvicorn" }, "") },
  "/version": { method: "GET", run: (_machine, { res }) => replyJson(res, 200, { version: "0.32.0" }, VLLM_HEADERS) },
  "/load": {
    method: "GET",
    run: (machine, { res }) => replyJson(res, 200, { server_load: machine.jobs.size }, VLLM_HEADERS),
  },
  "/metrics": {
    method: "GET",
    run: (machine, { res }) =>
      reply(res, 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }, vllmMetrics(machine)),
  },
  "/v1/audio/transcriptions": { method: "POST", run: transcriptions },
  "/rerank": { method: "POST", run: rerank },
  "/v1/rerank": { method: "POST", run: rerank },
  "/v2/rerank": { method: "POST", run: rerank },
  "/tokenize": { method: "POST", run: tokenizeRoute },
  "/detokenize": { method: "POST", run: detokenizeRoute },
};

/** Routes that faults strike as inference. */
export const VLLM_INFERENCE: ReadonlySet<string> = new Set([
  "/v1/chat/completions",
  "/v1/completions",
  "/v1/responses",
  "/v1/embeddings",
  "/v1/audio/transcriptions",
  "/v1/rerank",
  "/tokenize",
]);

function chat(machine: Machine, exchange: Exchange): void {
  const { body, res } = exchange;
  if (!knowsModel(machine, exchange)) return;
  const prompt = chatPrompt(body);
  const call = forcedCall(body);
  const usage = usageWish(body, true);
  const n = readN(body);
  const limits = readLimits(body, countTokens(prompt), machine.options.contextTokens, null);
  const id = `chatcmpl-${exchange.requestId}`;
  const model = modelName(machine, exchange);
  const shape = chatShape({
    id,
    model,
    createdS: Math.floor(machine.now() / 1000),
    usage,
    noUsage: machine.options.forceNoUsage ?? false,
    call,
    logprobs: flag(body, "logprobs"),
    tokenIdMembers: machine.options.tokenIdMembers ?? false,
  });
  const shift = samplingShift(body, machine.nextNumber);
  const script = call?.arguments ?? jsonAnswer(body) ?? undefined;
  const cacheSalt = readSalt(body);
  const stream = flag(body, "stream");
  if (
    !generate(machine, exchange, { id, model, prompts: [prompt], n, shift, limits, script, cacheSalt, stream }, shape)
  )
    refuse(res, OVERLOADED);
}

function responses(machine: Machine, exchange: Exchange): void {
  const { res } = exchange;
  if (!knowsModel(machine, exchange)) return;
  const body = chatBodyOf(exchange.body);
  const prompt = chatPrompt(body);
  const call = forcedCall(body);
  const limits = readLimits(body, countTokens(prompt), machine.options.contextTokens, null);
  const model = modelName(machine, exchange);
  const shape = responsesShape({
    id: exchange.requestId,
    model,
    createdS: Math.floor(machine.now() / 1000),
    body: exchange.body,
    maxTokens: limits.maxTokens,
    call,
  });
  const ask = {
    id: `resp_${exchange.requestId}`,
    model,
    prompts: [prompt],
    n: 1,
    shift: samplingShift(body, machine.nextNumber),
    limits,
    script: call?.arguments ?? jsonAnswer(body) ?? undefined,
    cacheSalt: text(body, "cache_salt", ""),
    stream: flag(body, "stream"),
  };
  if (!generate(machine, exchange, ask, shape)) refuse(res, OVERLOADED);
}

function completions(machine: Machine, exchange: Exchange): void {
  const { body, res } = exchange;
  if (!knowsModel(machine, exchange)) return;
  const prompts = rawPrompts(body, "prompt", machine.tokenIds);
  const usage = usageWish(body, true);
  const n = readN(body);
  const longest = Math.max(...prompts.map(countTokens));
  const limits = readLimits(body, longest, machine.options.contextTokens, DEFAULT_COMPLETION_TOKENS);
  const id = `cmpl-${exchange.requestId}`;
  const model = modelName(machine, exchange);
  const shape = completionShape({
    id,
    model,
    createdS: Math.floor(machine.now() / 1000),
    usage,
    noUsage: machine.options.forceNoUsage ?? false,
    logprobs: typeof body.logprobs === "number",
    echo: flag(body, "echo"),
  });
  const shift = samplingShift(body, machine.nextNumber);
  const script = jsonAnswer(body) ?? undefined;
  const cacheSalt = readSalt(body);
  const stream = flag(body, "stream");
  if (!generate(machine, exchange, { id, model, prompts, n, shift, limits, script, cacheSalt, stream }, shape))
    refuse(res, OVERLOADED);
}

function embeddings(machine: Machine, exchange: Exchange): void {
  const { body, res } = exchange;
  if (!knowsModel(machine, exchange)) return;
  const inputs = rawPrompts(body, "input", machine.tokenIds);
  const { contextTokens } = machine.options;
  for (const input of inputs) readLimits({}, countTokens(input), contextTokens, null);
  const dimensions = dimensionsOf(machine, body);
  const data = inputs.map((input, index) => ({
    index,
    object: "embedding",
    embedding: encoded(embedding(input, machine.weights, dimensions), body.encoding_format),
  }));
  const id = `embd-${exchange.requestId}`;
  const model = modelName(machine, exchange);
  const whole = (promptTokens: number): unknown => ({
    id,
    object: "list",
    created: Math.floor(machine.now() / 1000),
    model,
    data,
    usage: {
      prompt_tokens: promptTokens,
      total_tokens: promptTokens,
      completion_tokens: 0,
      prompt_tokens_details: null,
    },
  });
  if (!embed(machine, exchange, { id, model, inputs, headers: VLLM_HEADERS, errorBody: BROKEN, whole }))
    refuse(res, OVERLOADED);
}

function tokenizeRoute(machine: Machine, exchange: Exchange): void {
  const { body, res } = exchange;
  if (!knowsModel(machine, exchange)) return;
  const prompt = body.messages === undefined ? text(body, "prompt", "") : chatPrompt(body);
  if (body.messages === undefined && body.prompt === undefined) throw new BadField("prompt", "Field required", true);
  const tokens = machine.tokenIds.encode(prompt);
  const { contextTokens } = machine.options;
  const token_strs = flag(body, "return_token_strs") ? tokens.map((id) => machine.tokenIds.decode([id])) : null;
  replyJson(res, 200, { count: tokens.length, max_model_len: contextTokens, tokens, token_strs }, VLLM_HEADERS);
}

function detokenizeRoute(machine: Machine, exchange: Exchange): void {
  const { body, res } = exchange;
  if (!knowsModel(machine, exchange)) return;
  const [prompt] = rawPrompts(body, "tokens", machine.tokenIds);
  replyJson(res, 200, { prompt }, VLLM_HEADERS);
}

function rerank(machine: Machine, exchange: Exchange): void {
  if (!knowsModel(machine, exchange)) return;
  const model = modelName(machine, exchange);
  const id = `rerank-${exchange.requestId}`;
  const way = { id, model, headers: VLLM_HEADERS, errorBody: BROKEN };
  const isTaken = runRerank(machine, exchange, way, (ranks, promptTokens) => ({
    id,
    model,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    results: ranks.map(({ index, text: said, score }) => ({
      index,
      document: { text: said, multi_modal: null },
      relevance_score: score,
    })),
  }));
  if (!isTaken) refuse(exchange.res, OVERLOADED);
}

function transcriptions(machine: Machine, exchange: Exchange): void {
  if (!knowsModel(machine, exchange)) return;
  const model = modelName(machine, exchange);
  const way = { id: `trsc-${exchange.requestId}`, model, headers: VLLM_HEADERS, errorBody: BROKEN };
  if (!transcribe(machine, exchange, way)) refuse(exchange.res, OVERLOADED);
}

/** A missing model means the first one, as in vLLM; an unknown one is 404. */
function knowsModel(machine: Machine, { body, res }: Exchange): boolean {
  const asked = text(body, "model", "");
  if (asked === "" || machine.options.models.includes(asked)) return true;
  refuse(res, {
    status: 404,
    type: "NotFoundError",
    message: `The model \`${asked}\` does not exist.`,
    param: "model",
  });
  return false;
}

function modelName(machine: Machine, { body }: Exchange): string {
  return text(body, "model", "") || (machine.options.models[0] ?? "");
}

/** Words what a handler threw. */
export function vllmProblem(res: ServerResponse, problem: unknown): void {
  if (problem instanceof BadField) refuseField(res, problem);
  else refuse(res, { status: 500, type: "InternalServerError", message: String(problem) });
}
