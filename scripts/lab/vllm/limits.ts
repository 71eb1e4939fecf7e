// Output limits and context checks of a vLLM request, in vLLM's words. Pure.
import { BadField, count, flag, type Json, texts } from "../fields.ts";
import type { Limits } from "../generation.ts";

/**
 * Reads `max_tokens`, `min_tokens`, `ignore_eos`, `stop` and holds them against the context.
 * @param fallback tokens when the request names no limit; null means what the context leaves
 * @throws BadField
 */
export function readLimits(body: Json, promptTokens: number, contextTokens: number, fallback: number | null): Limits {
  const asked = count(body, "max_completion_tokens", 1) ?? count(body, "max_tokens", 1) ?? null;
  if (promptTokens >= contextTokens)
    throw new BadField(
      "input_tokens",
      `This model's maximum context length is ${contextTokens} tokens. However, your request has ${promptTokens} ` +
        "input tokens. Please reduce the length of the input messages.",
    );
  const left = contextTokens - promptTokens;
  if (asked !== null && asked > left)
    throw new BadField(
      "max_tokens",
      `'max_tokens' or 'max_completion_tokens' is too large: ${asked}. This model's maximum context length is ` +
        `${contextTokens} tokens and your request has ${promptTokens} input tokens (${asked} > ${contextTokens} - ${promptTokens}).`,
    );
  const maxTokens = asked ?? Math.min(left, fallback ?? left);
  const minTokens = count(body, "min_tokens", 0) ?? 0;
  if (minTokens > maxTokens)
    throw new BadField(
      "min_tokens",
      `min_tokens must be less than or equal to max_tokens=${maxTokens}, got ${minTokens}.`,
    );
  return { maxTokens, minTokens, ignoreEos: flag(body, "ignore_eos"), stop: texts(body, "stop"), holdback: "always" };
}

/** Reads `cache_salt`; "" where there is none. @throws BadField */
export function readSalt(body: Json): string {
  if (body.cache_salt === undefined || body.cache_salt === null) return "";
  const salt = body.cache_salt;
  if (typeof salt !== "string" || salt === "")
    throw new BadField("cache_salt", "Parameter 'cache_salt' must be a non-empty string if provided.");
  if (salt.length > 128 || /[@/\\\0]/.test(salt))
    throw new BadField(
      "cache_salt",
      "Parameter 'cache_salt' must be at most 128 characters and must not contain '@', '/', '\\\\', or NUL.",
    );
  return salt;
}

/** Reads `n`, which greedy sampling allows only as 1. @throws BadField */
export function readN(body: Json): number {
  const n = count(body, "n", 1) ?? 1;
  if (n > 1 && body.temperature === 0) throw new BadField("n", `n must be 1 when using greedy sampling, got ${n}.`);
  if (n > 128) throw new BadField("n", `n must be at most 128, got ${n}.`);
  return n;
}
