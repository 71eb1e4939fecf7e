/**
 * The one table of errors and their renderings: OpenAI's object on `/v1`, RFC 9457 on `/admin`, one event in a stream
 * that has begun; Anthropic's is in `messages-problem.ts`. A stage that refuses throws a `Problem`; only the conductor's
 * edge renders it. Nothing here logs.
 */
import { messagesError, messagesStatus, speaksMessages } from "./messages-problem.ts";

type ProblemKind = {
  readonly status: 400 | 401 | 403 | 404 | 405 | 409 | 410 | 413 | 415 | 426 | 429 | 500 | 502 | 503 | 504;
  /** OpenAI's error type: SDKs print it, some callers switch on it. */
  readonly type:
    | "invalid_request_error"
    | "insufficient_permissions"
    | "requests"
    | "tokens"
    | "insufficient_quota"
    | "server_error";
  readonly message: string;
};

const PROBLEMS = {
  invalid_json: { status: 400, type: "invalid_request_error", message: "The body is not valid JSON." },
  invalid_value: { status: 400, type: "invalid_request_error", message: "A field has a wrong value." },
  unsupported_value: { status: 400, type: "invalid_request_error", message: "A field is not supported here." },
  context_length_exceeded: {
    status: 400,
    type: "invalid_request_error",
    message: "The prompt and the tokens asked for exceed the model's context length.",
  },
  invalid_api_key: {
    status: 401,
    type: "invalid_request_error",
    message: "No valid credential was given. Send `Authorization: Bearer` with an access token or an API key.",
  },
  insufficient_permissions: {
    status: 403,
    type: "insufficient_permissions",
    message: "This credential may not use this route.",
  },
  origin_not_allowed: {
    status: 403,
    type: "insufficient_permissions",
    message: "Pages of this origin may not ask here.",
  },
  unknown_url: { status: 404, type: "invalid_request_error", message: "There is nothing at this path." },
  model_not_found: { status: 404, type: "invalid_request_error", message: "There is no model of this name." },
  request_not_found: {
    status: 404,
    type: "invalid_request_error",
    message: "There is no request of yours of this id.",
  },
  stream_not_found: {
    status: 404,
    type: "invalid_request_error",
    message: "There is no stream of yours of this id, or no more: a stream is kept for ten minutes after its end.",
  },
  file_not_found: { status: 404, type: "invalid_request_error", message: "There is no file of yours of this id." },
  batch_not_found: { status: 404, type: "invalid_request_error", message: "There is no batch of yours of this id." },
  key_not_found: { status: 404, type: "invalid_request_error", message: "There is no API key of this id." },
  host_not_found: { status: 404, type: "invalid_request_error", message: "There is no host of this id." },
  job_not_found: { status: 404, type: "invalid_request_error", message: "There is no job of this name." },
  method_not_allowed: { status: 405, type: "invalid_request_error", message: "This path does not take this method." },
  key_not_active: {
    status: 409,
    type: "invalid_request_error",
    message: "The API key was revoked or rotated, or has expired.",
  },
  file_in_use: {
    status: 409,
    type: "invalid_request_error",
    message: "A batch needs this file. Cancel the batch first.",
  },
  batch_over: { status: 409, type: "invalid_request_error", message: "This batch is over." },
  storage_full: {
    status: 409,
    type: "invalid_request_error",
    message: "You keep as many files as you may. Delete some first.",
  },
  job_running: { status: 409, type: "invalid_request_error", message: "A job is running, and they run one at a time." },
  generation_running: {
    status: 409,
    type: "invalid_request_error",
    message: "An answer is under way on this socket. Wait for its end, or cancel it.",
  },
  stream_cancelled: {
    status: 409,
    type: "invalid_request_error",
    message: "The answer was given up: nobody had read it for a while, or its caller asked for that.",
  },
  stream_events_gone: {
    status: 410,
    type: "invalid_request_error",
    message: "What comes next in this stream is not kept any more.",
  },
  request_too_large: { status: 413, type: "invalid_request_error", message: "The body is too large." },
  unsupported_media_type: {
    status: 415,
    type: "invalid_request_error",
    message: "The body must be sent as application/json, uncompressed.",
  },
  upgrade_required: {
    status: 426,
    type: "invalid_request_error",
    message: "This path is for WebSockets only.",
  },
  too_many_refusals: {
    status: 429,
    type: "requests",
    message: "Too many credentials from this address were refused.",
  },
  address_rate_exceeded: { status: 429, type: "requests", message: "Too many requests come from this address." },
  rate_limit_exceeded: { status: 429, type: "requests", message: "A limit of your tier is reached." },
  insufficient_quota: { status: 429, type: "insufficient_quota", message: "Your budget is spent." },
  internal_error: {
    status: 500,
    type: "server_error",
    message: "The gateway failed. The request id names the record.",
  },
  job_failed: { status: 500, type: "server_error", message: "The job failed." },
  upstream_error: { status: 502, type: "server_error", message: "The host that serves this model failed." },
  upstream_refused: { status: 502, type: "server_error", message: "The host refused the gateway's own credential." },
  stream_interrupted: {
    status: 502,
    type: "server_error",
    message: "The gateway lost the answer in the middle. What had been kept of it was sent.",
  },
  misconfigured: {
    status: 503,
    type: "server_error",
    message: "The gateway is misconfigured; its log names the field.",
  },
  limits_unavailable: {
    status: 503,
    type: "server_error",
    message: "The caller's limits cannot be checked at the moment.",
  },
  model_disabled: { status: 503, type: "server_error", message: "The operator has switched this model off." },
  no_healthy_host: { status: 503, type: "server_error", message: "No host that serves this model is healthy." },
  host_busy: { status: 503, type: "server_error", message: "Every host that serves this model is busy." },
  unavailable: {
    status: 503,
    type: "server_error",
    message: "A part that this needs cannot be reached at the moment.",
  },
  connect_timeout: { status: 504, type: "server_error", message: "The host did not take the request in time." },
  first_token_timeout: { status: 504, type: "server_error", message: "The first token did not come in time." },
  next_token_timeout: { status: 504, type: "server_error", message: "The next token did not come in time." },
  total_timeout: { status: 504, type: "server_error", message: "The answer took longer than it may." },
} as const satisfies Record<string, ProblemKind>;

/** openai-node waits out a Retry-After of up to this. */
const SDK_WAITS_AT_MOST_S = 60;

export type ProblemCode = keyof typeof PROBLEMS;

export type ProblemFacts = {
  /** Said instead of the table's sentence. Never carries a caller's text, a secret or a stack. */
  readonly message?: string;
  /** OpenAI's type, where the code has several. */
  readonly type?: ProblemKind["type"] | undefined;
  /** The field at fault, as OpenAI's `param`: `messages.0.role`. */
  readonly param?: string | null;
  /** Extra response headers: `Allow`, `WWW-Authenticate`, rate-limit headers. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Seconds, rounded up by the caller; 1 at least, because the SDK reads 0 as "now". */
  readonly retryAfterS?: number;
  /** What happened, for the log line only. */
  readonly cause?: unknown;
  /** What the policy kept from the caller where the answer must not say so. For the audit trail only. */
  readonly withheld?: string;
};

/** A refusal or failure that has a place in the table. */
export class Problem extends Error {
  readonly code: ProblemCode;
  readonly facts: ProblemFacts;

  constructor(code: ProblemCode, facts: ProblemFacts = {}) {
    super(facts.message ?? PROBLEMS[code].message, { cause: facts.cause });
    this.name = "Problem";
    this.code = code;
    this.facts = facts;
  }

  get status(): ProblemKind["status"] {
    return PROBLEMS[this.code].status;
  }
}

/** Anything thrown, as a problem: what is not one already becomes `internal_error` with the thing as its cause. */
export function asProblem(thrown: unknown): Problem {
  return thrown instanceof Problem ? thrown : new Problem("internal_error", { cause: thrown });
}

/** The body that OpenAI's clients parse: `{"error": {message, type, param, code}}`. */
export function openAiError(problem: Problem): { error: Record<"message" | "type" | "param" | "code", string | null> } {
  return {
    error: {
      message: problem.message,
      type: problem.facts.type ?? PROBLEMS[problem.code].type,
      param: problem.facts.param ?? null,
      code: problem.code,
    },
  };
}

/** The one event that ends a stream which cannot go on. No `[DONE]` may follow it. */
export function sseError(problem: Problem): Uint8Array {
  return new TextEncoder().encode(`data: ${JSON.stringify(openAiError(problem))}\n\n`);
}

/**
 * The response for a problem.
 *
 * @param path decides the shape: RFC 9457 below `/admin`, Anthropic's at `/v1/messages`, OpenAI's elsewhere
 * @param requestId stands in the RFC 9457 `instance`, and in Anthropic's `request_id`
 */
export function problemResponse(problem: Problem, path: string, requestId: string): Response {
  const headers = new Headers(problem.facts.headers);
  const { retryAfterS } = problem.facts;
  if (retryAfterS !== undefined) {
    headers.set("retry-after", String(Math.max(1, Math.ceil(retryAfterS))));
    // An SDK that finds the wait too long does not wait at all, and is refused again.
    if (retryAfterS > SDK_WAITS_AT_MOST_S) headers.set("x-should-retry", "false");
  }
  if (path === "/admin" || path.startsWith("/admin/")) {
    headers.set("content-type", "application/problem+json");
    const { status } = problem;
    const body = { type: `urn:causeway:problem:${problem.code}`, title: PROBLEMS[problem.code].message, status };
    const detail = { detail: problem.message, instance: `urn:uuid:${requestId}`, code: problem.code };
    return new Response(JSON.stringify({ ...body, ...detail }), { status, headers });
  }
  headers.set("content-type", "application/json");
  if (speaksMessages(path)) {
    const status = messagesStatus(problem);
    return new Response(JSON.stringify(messagesError(problem, requestId)), { status, headers });
  }
  return new Response(JSON.stringify(openAiError(problem)), { status: problem.status, headers });
}
