/**
 * What a host's refusal means: the caller's own mistake in OpenAI's words, or a failure of the host that another host
 * may not have. vLLM says codes as numbers, llama.cpp by type names, tunnels in HTML. Pure.
 */
import { z } from "zod";
import { Problem, type ProblemCode } from "#src/problem.ts";
import { doorsAnswer } from "./door.ts";

export type Refusal =
  /** The request is at fault; no other host would take it. */
  | { readonly kind: "rejected"; readonly problem: Problem }
  /** The host is at fault or full; another may do. */
  | { readonly kind: "failed"; readonly problem: Problem };

const said = z.looseObject({
  message: z.string().catch(""),
  type: z.string().nullish().catch(null),
  param: z.string().nullish().catch(null),
});
/** A sentence and nothing else: FastAPI's of an exception, and services that speak OpenAI's protocol less than they say. */
const sentence = z
  .union([
    z.looseObject({ error: z.string() }).transform(({ error }) => error),
    z.looseObject({ detail: z.string() }).transform(({ detail }) => detail),
  ])
  .transform((message) => ({ message, type: null, param: null }));
/** FastAPI's own checks, which come before the engine's. */
const fastApi = z
  .looseObject({
    detail: z.array(z.looseObject({ msg: z.string(), loc: z.array(z.union([z.string(), z.number()])) })).min(1),
  })
  .transform(({ detail: [first] }) => {
    const path = first?.loc.filter((step) => step !== "body").join(".") ?? "";
    return { message: first?.msg ?? "", type: null, param: path === "" ? null : path };
  });
/** Older vLLM puts the members at the top level. */
const envelope = z.union([z.looseObject({ error: said }).transform(({ error }) => error), fastApi, sentence, said]);

/** An engine's sentence is passed on for the caller's own mistakes, up to this length. */
const MAX_MESSAGE = 1_000;
/** When a busy host says nothing of when to come back. */
const BUSY_RETRY_AFTER_S = 2;
/** A host that wants more may be well long before. */
const LONGEST_RETRY_AFTER_S = 3_600;
const WRONG_KEY =
  "The host refused the gateway's key. Compare the secret that the host's keyFrom names with the engine's own API key.";

/** Reads a host's answer that is not 2xx, or 2xx of a type that an engine never sends. */
export function refusalOf(status: number, headers: Headers, body: string, nowMs: number): Refusal {
  const cause = `host answered ${status} ${headers.get("content-type") ?? ""}`;
  if (status === 429 || status === 503) {
    const retryAfterS = retryAfterOf(headers, nowMs);
    return { kind: "failed", problem: new Problem("host_busy", { retryAfterS, cause }) };
  }
  const door = doorsAnswer(status, headers, body);
  if (door !== null) {
    const told = `${cause}: ${door.cause}`;
    if (door.kind === "broken") return { kind: "failed", problem: new Problem("upstream_error", { cause: told }) };
    return { kind: "failed", problem: new Problem("upstream_refused", { message: door.message, cause: told }) };
  }
  if (status === 401 || status === 403) {
    return { kind: "failed", problem: new Problem("upstream_refused", { message: WRONG_KEY, cause }) };
  }
  const parsed = envelope.safeParse(asJson(body));
  const isOwnMistake = [400, 413, 422, 501].includes(status) && parsed.success && parsed.data.message !== "";
  if (!isOwnMistake) return { kind: "failed", problem: new Problem("upstream_error", { cause }) };
  const { message, type, param } = parsed.data;
  const facts = { message: message.slice(0, MAX_MESSAGE), param: param ?? null, cause };
  return { kind: "rejected", problem: new Problem(codeOf(status, message, type ?? ""), facts) };
}

/** RFC 9110, 10.2.3: seconds or a date. */
function retryAfterOf(headers: Headers, nowMs: number): number {
  const text = headers.get("retry-after") ?? "";
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : (Date.parse(text) - nowMs) / 1000;
  return seconds > 0 ? Math.min(seconds, LONGEST_RETRY_AFTER_S) : BUSY_RETRY_AFTER_S;
}

function codeOf(status: number, message: string, type: string): ProblemCode {
  if (type === "exceed_context_size_error" || /maximum context length|context (size|length|window)/i.test(message)) {
    return "context_length_exceeded";
  }
  if (status === 501 || type === "not_supported_error") return "unsupported_value";
  return status === 413 ? "request_too_large" : "invalid_value";
}

function asJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
