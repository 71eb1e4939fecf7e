import { expect, test } from "vitest";
import { verdictOn } from "#src/batches/verdict.ts";
import { Problem, type ProblemCode, type ProblemFacts } from "#src/problem.ts";

const LATER = { retryAfterS: 7 };
const NEVER = { headers: { "x-should-retry": "false" } };
const waits = (by: "account" | "model", retryAfterMs = 7_000) => ({ kind: "refused", by, retryAfterMs });

test.each<{ code: ProblemCode; facts?: ProblemFacts; is: object }>([
  { code: "invalid_json", is: { kind: "failed" } },
  { code: "invalid_value", is: { kind: "failed" } },
  { code: "context_length_exceeded", is: { kind: "failed" } },
  { code: "insufficient_permissions", is: { kind: "failed" } },
  { code: "model_not_found", is: { kind: "failed" } },
  { code: "request_too_large", is: { kind: "failed" } },
  { code: "invalid_api_key", is: { kind: "stopped" } },
  { code: "rate_limit_exceeded", facts: LATER, is: waits("account") },
  { code: "insufficient_quota", facts: LATER, is: waits("account") },
  // It alone is more than the limit allows: no wait helps.
  { code: "rate_limit_exceeded", facts: NEVER, is: { kind: "failed" } },
  { code: "limits_unavailable", facts: LATER, is: waits("account") },
  { code: "misconfigured", is: waits("account", 5_000) },
  { code: "host_busy", facts: LATER, is: waits("model") },
  { code: "no_healthy_host", facts: LATER, is: waits("model") },
  { code: "model_disabled", facts: NEVER, is: { kind: "failed" } },
  { code: "upstream_error", is: { kind: "faltered" } },
  { code: "first_token_timeout", is: { kind: "faltered" } },
  // Hosts have worked for it, and would again.
  { code: "total_timeout", facts: NEVER, is: { kind: "failed" } },
  { code: "internal_error", is: { kind: "faltered" } },
])("$code $facts", ({ code, facts, is }) => {
  expect(verdictOn(new Problem(code, facts))).toEqual(is);
});
