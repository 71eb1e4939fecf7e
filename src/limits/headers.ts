/**
 * A caller's standing in headers: the IETF draft's structured fields (draft-ietf-httpapi-ratelimit-headers-10) and the
 * `x-ratelimit-*-requests` that OpenAI's clients read, which know one window: the shortest. Pure.
 */
import type { Standing } from "./windows.ts";

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
