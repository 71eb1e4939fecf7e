/**
 * A problem in Anthropic's shape, `{"type":"error","error":{type,message},"request_id"}`: for every refusal at and below
 * `/v1/messages`, and as the event that ends a stream there. Which type a problem is follows from its status, so that a
 * code which is new needs no entry here.
 */
import type { Problem } from "./problem.ts";

/** Anthropic's API reference, Errors, November 2026. */
const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
};
/** Unavailable for another reason than load: coming back soon does not help. */
const NOT_LOAD: readonly string[] = ["misconfigured", "model_disabled"];
/** Anthropic's own status for a service that has too much to do. Its clients know it as that. */
const OVERLOADED = 529;

/** Whether what is answered at this path is Anthropic's protocol. */
export function speaksMessages(path: string): boolean {
  return path === "/v1/messages" || path.startsWith("/v1/messages/");
}

/** The body that Anthropic's clients parse, also the data of an `error` event. */
export function messagesError(problem: Problem, requestId: string) {
  return {
    type: "error",
    error: { type: typeOf(problem), message: problem.message },
    request_id: requestId,
  };
}

/** The status that goes with it: that of the table, and 529 where every host is busy. */
export function messagesStatus({ code, status }: Problem): number {
  return code === "host_busy" ? OVERLOADED : status;
}

function typeOf({ code, status }: Problem): string {
  if (NOT_LOAD.includes(code)) return "api_error";
  return TYPES[status] ?? (status < 500 ? "invalid_request_error" : "api_error");
}
