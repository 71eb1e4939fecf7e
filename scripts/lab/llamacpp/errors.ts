// llama.cpp's refusals: `{"error":{code,message,type}}`, and the headers its server writes.
import type { ServerResponse } from "node:http";
import { BadField } from "../fields.ts";
import type { FaultBodies } from "../request-fault.ts";

export const LLAMACPP_HEADERS = { "content-type": "application/json; charset=utf-8", server: "llama.cpp" } as const;
export const LLAMACPP_STREAM = { "content-type": "text/event-stream", server: "llama.cpp" } as const;

/** The error types the server knows, with the status each is sent with. */
const STATUS = {
  invalid_request_error: 400,
  exceed_context_size_error: 400,
  authentication_error: 401,
  not_found_error: 404,
  server_error: 500,
  not_supported_error: 501,
  unavailable_error: 503,
} as const;

export type LlamaErrorType = keyof typeof STATUS;

/** The body of a refusal. */
export function errorBody(type: LlamaErrorType, message: string, more: Readonly<Record<string, number>> = {}): string {
  return JSON.stringify({ error: { code: STATUS[type], message, type, ...more } });
}

/** Refuses a request with the status its type has. */
export function refuse(
  res: ServerResponse,
  type: LlamaErrorType,
  message: string,
  more: Readonly<Record<string, number>> = {},
): void {
  if (res.headersSent) return;
  res.writeHead(STATUS[type], LLAMACPP_HEADERS);
  res.end(errorBody(type, message, more));
}

/** The prompt does not fit: thrown while a request is read. */
export class ContextExceeded extends Error {
  readonly promptTokens: number;
  readonly contextTokens: number;

  constructor(promptTokens: number, contextTokens: number) {
    super(
      `request (${promptTokens} tokens) exceeds the available context size (${contextTokens} tokens), try increasing it`,
    );
    this.name = "ContextExceeded";
    this.promptTokens = promptTokens;
    this.contextTokens = contextTokens;
  }
}

/** Words what a handler threw. */
export function refuseProblem(res: ServerResponse, problem: unknown): void {
  if (problem instanceof BadField) refuse(res, "invalid_request_error", `${problem.field}: ${problem.message}`);
  else if (problem instanceof ContextExceeded) {
    const { promptTokens, contextTokens } = problem;
    const more = { n_prompt_tokens: promptTokens, n_ctx: contextTokens };
    refuse(res, "exceed_context_size_error", problem.message, more);
  } else refuse(res, "server_error", String(problem));
}

/** The body is no JSON: a 500 here, as the server lets its parser's exception through. */
export function refuseJson(res: ServerResponse): void {
  const message =
    "[json.exception.parse_error.101] parse error at line 1, column 1: syntax error while parsing value - invalid literal";
  refuse(res, "server_error", message);
}

export const LLAMACPP_FAULTS: FaultBodies = {
  headers: LLAMACPP_HEADERS,
  internal: errorBody("server_error", "failed to decode the batch"),
  loading: errorBody("unavailable_error", "Loading model"),
  busy: JSON.stringify({ error: { code: 429, message: "Too many requests", type: "unavailable_error" } }),
};
