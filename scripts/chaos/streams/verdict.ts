/** How one streamed answer ended, as both its judges have it. Pure. */
import type { Comment } from "./raw-reader.ts";
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

/** Where another host took the word; null where none did. */
export function seamOf({ raw }: Witnessed): Comment | null {
  return raw?.comments.find(({ text }) => text.startsWith("continued")) ?? null;
}

/** From the last content of the one host to the first of the other; null where either said none. */
export function seamGapMs(one: Witnessed): number | null {
  const seam = seamOf(one);
  if (seam === null) return null;
  const [last, first] = [one.raw?.contentAtMs[seam.after - 1], one.raw?.contentAtMs[seam.after]];
  return last === undefined || first === undefined ? null : first - last;
}

/** From the question to the first content; null where none came. */
export function firstTokenMs({ raw, askedAtMs }: Witnessed): number | null {
  const [first] = raw?.contentAtMs ?? [];
  return first === undefined ? null : first - askedAtMs;
}
