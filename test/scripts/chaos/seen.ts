/** Questions as callers of chaos saw them end, for the tests of its judges. */
import type { Seen } from "#scripts/chaos/caller.ts";

let numbers = 0;

/** A whole answer of 30 tokens by host a, changed where the test says so. */
export function seen(more: Partial<Seen> & { readonly caller?: number } = {}): Seen {
  const { caller = 0, ...rest } = more;
  numbers += 1;
  return {
    question: { workflow: "chaos-test", caller, body: {} },
    sentAtMs: 0,
    status: 200,
    requestId: `request-${numbers}`,
    host: "a",
    retryAfterS: null,
    headersAfterMs: 100,
    firstTokenAfterMs: 100,
    endAfterMs: 1_000,
    completionTokens: 30,
    end: "whole",
    code: null,
    ...rest,
  };
}

export const refused = (more: Parameters<typeof seen>[0] = {}): Seen =>
  seen({
    status: 429,
    host: null,
    retryAfterS: 2,
    headersAfterMs: 8,
    firstTokenAfterMs: null,
    endAfterMs: 8,
    completionTokens: 0,
    end: "refused",
    code: "host_busy",
    ...more,
  });

export const failed = (more: Parameters<typeof seen>[0] = {}): Seen =>
  seen({ completionTokens: 0, end: "failed", code: "upstream_error", ...more });

export function times<T>(count: number, make: (at: number) => T): T[] {
  return Array.from({ length: count }, (_, at) => make(at));
}
