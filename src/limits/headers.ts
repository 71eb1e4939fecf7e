/**
 * A caller's standing in headers: the IETF draft's structured fields (draft-ietf-httpapi-ratelimit-headers-10, RFC 9651)
 * and the `x-ratelimit-*` that OpenAI's clients read, which know one window of requests and one of tokens: the shortest.
 * Pure.
 */
import type { Standings } from "./account.ts";
import type { Cost, Standing } from "./windows.ts";

/** The draft has no unit for tokens and money; these are ours. Requests are its default. */
const QUOTA_UNIT: Record<keyof Cost, string> = { requests: "", tokens: `;qu="tokens"`, micros: `;qu="usd-micros"` };

/** A structured field's integer has 15 digits at most (RFC 9651, 3.3.1). A limit beyond that is none. */
const LARGEST = 999_999_999_999_999;

/** Headers for any answer to a caller whose standing is known. */
export function rateLimitHeaders({ windows, slots }: Standings): Record<string, string> {
  if (windows.length === 0) return {};
  const policies = [
    ...windows.map(
      ({ limit: { name, max, unit, windowMs } }) => `"${name}";q=${units(max)}${QUOTA_UNIT[unit]};w=${windowMs / 1000}`,
    ),
    ...slots.map(({ slot: { name, max } }) => `"${name}";q=${units(max)};qu="concurrent-requests"`),
  ];
  const standings = [
    ...windows.map(({ limit, remaining, resetMs }) => `"${limit.name}";r=${units(remaining)};t=${seconds(resetMs)}`),
    ...slots.map(({ slot, remaining }) => `"${slot.name}";r=${units(remaining)}`),
  ];
  return {
    "ratelimit-policy": policies.join(", "),
    ratelimit: standings.join(", "),
    ...openAiHeaders(windows, "requests"),
    ...openAiHeaders(windows, "tokens"),
  };
}

function openAiHeaders(windows: readonly Standing[], unit: "requests" | "tokens"): Record<string, string> {
  const shortest = windows.find(({ limit }) => limit.unit === unit);
  if (shortest === undefined) return {};
  return {
    [`x-ratelimit-limit-${unit}`]: String(shortest.limit.max),
    [`x-ratelimit-remaining-${unit}`]: String(shortest.remaining),
    [`x-ratelimit-reset-${unit}`]: `${seconds(shortest.resetMs)}s`,
  };
}

function units(count: number): number {
  return Math.min(count, LARGEST);
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000);
}
