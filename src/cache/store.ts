/**
 * Answers kept in KV. A cache that fails is a cache that misses: nothing here rejects, and a read that dawdles is given
 * up so that a slow KV costs a caller little.
 */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";

/** A read that takes longer is treated as a miss. */
const READ_WITHIN_MS = 250;
/** Larger answers are not worth a KV write. */
const MAX_ANSWER_BYTES = 256 * 1024;

const entry = z.object({
  v: z.literal(1),
  /** Checked again on the way out: an entry that names someone else is a miss. */
  scope: z.string().nullable(),
  body: z.record(z.string(), z.unknown()),
  totalTokens: z.number().int().nonnegative(),
});
export type CachedAnswer = z.infer<typeof entry>;

/** The kept answer, or null. */
export async function lookUp(
  kv: Pick<KVNamespace, "get">,
  key: string,
  scope: string | null,
): Promise<CachedAnswer | null> {
  try {
    const stored = await Promise.race([kv.get(key, { type: "json", cacheTtl: 60 }), scheduler.wait(READ_WITHIN_MS)]);
    const parsed = entry.safeParse(stored);
    return parsed.success && parsed.data.scope === scope ? parsed.data : null;
  } catch (cause) {
    console.error(JSON.stringify({ at: "cache.lookUp", cause: String(cause) }));
    return null;
  }
}

/** Keeps an answer for `ttlS` seconds; for `waitUntil`. */
export async function keep(
  kv: Pick<KVNamespace, "put">,
  key: string,
  answer: CachedAnswer,
  ttlS: number,
): Promise<void> {
  const text = JSON.stringify(answer);
  if (text.length > MAX_ANSWER_BYTES) return;
  try {
    await kv.put(key, text, { expirationTtl: ttlS });
  } catch (cause) {
    console.error(JSON.stringify({ at: "cache.keep", cause: String(cause) }));
  }
}

/** Only whole answers are kept: every choice ended by itself and called no tool. */
export function isWorthKeeping(answer: JsonObject): boolean {
  if (answer.object === "list") return Array.isArray(answer.data) && answer.data.length > 0;
  if (!Array.isArray(answer.choices) || answer.choices.length === 0) return false;
  return answer.choices.every((choice: { finish_reason?: unknown; message?: { tool_calls?: unknown } } | null) => {
    const calls = choice?.message?.tool_calls;
    return choice?.finish_reason === "stop" && (!Array.isArray(calls) || calls.length === 0);
  });
}
