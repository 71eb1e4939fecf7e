/** How one streamed answer ended, as both its judges have it. Pure. */
import type { Witnessed } from "./witness.ts";

/** A whole answer, one error event within the stream, or a refusal in the place of a stream; else what must never be. */
export type Verdict = "whole" | "error" | "refused" | "truncated" | "both" | "unparsable";

export function verdictOf({ client, raw, isLost }: Witnessed): Verdict {
  if (raw === null) return client.end === "refused" && client.code !== null ? "refused" : "truncated";
  if (raw.unparsable.length > 0) return "unparsable";
  if (raw.dones > 0 && raw.errors > 0) return "both";
  if (isLost) return "truncated";
  if (raw.dones === 1) return client.end === "read" && client.finishReason !== null ? "whole" : "truncated";
  return raw.errors === 1 && raw.dones === 0 && client.end === "threw" ? "error" : "truncated";
}

/** The longest time between two events with content; 0 where there are not two. */
export function longestGapMs({ raw }: Witnessed): number {
  const times = raw?.contentAtMs ?? [];
  return Math.max(0, ...times.slice(1).map((atMs, at) => atMs - (times[at] ?? atMs)));
}
