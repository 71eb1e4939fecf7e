// vLLM's refusals: `{"error":{message,type,param,code}}` with an integer code.
import type { ServerResponse } from "node:http";
import type { BadField } from "../fields.ts";
import type { FaultBodies } from "../request-fault.ts";
import { replyJson } from "../whole-reply.ts";

export const VLLM_HEADERS = { "content-type": "application/json", server: "uvicorn" } as const;

interface VllmError {
  readonly status: number;
  readonly type: string;
  readonly message: string;
  readonly param?: string | null;
}

/** The body of a refusal; `code` repeats the HTTP status as a number. */
export function errorBody({ status, type, message, param = null }: VllmError): string {
  return JSON.stringify({ error: { message, type, param, code: status } });
}

/** Refuses a request. */
export function refuse(res: ServerResponse, error: VllmError): void {
  if (res.headersSent) return;
  res.writeHead(error.status, VLLM_HEADERS);
  res.end(errorBody(error));
}

/** Words a BadField as FastAPI's validation (missing member, wrong type) or as vLLM's own checks do. */
export function refuseField(res: ServerResponse, problem: BadField): void {
  const typed =
    problem.missing || problem.message.startsWith("Input should") || problem.message.startsWith("List should");
  const kind = problem.missing ? "missing" : "value_error";
  refuse(res, {
    status: 400,
    type: typed ? "Bad Request" : "BadRequestError",
    message: typed
      ? `1 validation error:\n  {'type': '${kind}', 'loc': ('body', '${problem.field}'), 'msg': '${problem.message}'}`
      : problem.message,
    param: problem.field,
  });
}

/** The body is no JSON: FastAPI's words. */
export function refuseJson(res: ServerResponse): void {
  const message = "1 validation error:\n  {'type': 'json_invalid', 'loc': ('body', 0), 'msg': 'JSON decode error'}";
  refuse(res, { status: 400, type: "Bad Request", message });
}

/** The wrong key, in the words of vLLM's middleware: not the usual shape. */
export function refuseKey(res: ServerResponse): void {
  replyJson(res, 401, { error: "Unauthorized" }, { server: "uvicorn" });
}

export const OVERLOADED: VllmError = {
  status: 503,
  type: "ServiceUnavailableError",
  message: "The server is overloaded: the maximum number of queued requests is reached. Please retry later.",
};

export const VLLM_FAULTS: FaultBodies = {
  headers: VLLM_HEADERS,
  internal: errorBody({
    status: 500,
    type: "InternalServerError",
    message: "EngineCore encountered an issue. See stack trace (above) for the root cause.",
  }),
  loading: errorBody({ status: 503, type: "ServiceUnavailableError", message: "The model is still loading." }),
  busy: errorBody({ status: 429, type: "RateLimitError", message: "Too many requests." }),
};
