/** What a refusal or failure of one line means for it: it is wrong, it is tried again, or it waits for room. Pure. */
import type { Problem } from "#src/problem.ts";
import type { Outcome } from "./batch.ts";

/** What is refused without a time to come back. */
const RETRY_AFTER_S = 5;

/**
 * The outcome of a run that threw.
 *
 * By status, because that is what it is for: 429 and 503 are about now and not about the request, 500, 502 and 504 are the
 * gateway's and the hosts'. Where the answer tells clients not to come back, neither does a batch.
 */
export function verdictOn({ code, status, facts }: Problem): Outcome {
  if (code === "invalid_api_key") return { kind: "stopped" };
  if (status < 429 || facts.headers?.["x-should-retry"] === "false") return { kind: "failed" };
  if (status !== 429 && status !== 503) return { kind: "faltered" };
  const isAccounts = status === 429 || code === "limits_unavailable" || code === "misconfigured";
  const retryAfterMs = (facts.retryAfterS ?? RETRY_AFTER_S) * 1_000;
  return { kind: "refused", by: isAccounts ? "account" : "model", retryAfterMs };
}
