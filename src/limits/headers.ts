/**
 * A caller's standing in headers: the IETF draft's structured fields (draft-ietf-httpapi-ratelimit-headers-10) and the
 * `x-ratelimit-*-requests` that OpenAI's clients read, which know one window: the shortest. Pure.
 */
import type { Standing } from "./windows.ts";

/** The SDK waits at most 60 s for a Retry-After and otherwise comes back within 8 s, to be refused again. */
const SDK_WAITS_AT_MOST_MS = 60_000;

/** Headers for any answer to a request that was counted. */
export function rateLimitHeaders(standings: readonly Standing[]): Record<string, string> {
  const [shortest] = standings;
  if (shortest === undefined) return {};
  const items = (write: (standing: Standing) => string): string =>
    standings.map((standing) => `"${standing.limit.name}";${write(standing)}`).join(", ");
  return {
    "ratelimit-policy": items(({ limit }) => `q=${limit.max};w=${limit.windowMs / 1000}`),
    ratelimit: items(({ remaining, resetMs }) => `r=${remaining};t=${Math.ceil(resetMs / 1000)}`),
    "x-ratelimit-limit-requests": String(shortest.limit.max),
    "x-ratelimit-remaining-requests": String(shortest.remaining),
    "x-ratelimit-reset-requests": `${Math.ceil(shortest.resetMs / 1000)}s`,
  };
}

/** Further headers for a refusal: whether a retry can help within the time an SDK is willing to wait. */
export function refusalHeaders(retryAfterMs: number): Record<string, string> {
  return retryAfterMs > SDK_WAITS_AT_MOST_MS ? { "x-should-retry": "false" } : {};
}
