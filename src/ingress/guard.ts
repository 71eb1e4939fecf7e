/**
 * Before any credential is looked at: an address that asks too fast, or whose credentials were refused too often, is
 * answered 429 at the price of a look-up. The platform counts per place and a little late; it shields, the accounts
 * limit. Others than the address at fault notice nothing.
 */
import type { Env } from "#src/env.ts";
import { Problem } from "#src/problem.ts";
import { isLoopback, networkOf } from "./network.ts";

/** The period of the AUTH_FAILURES binding (wrangler.toml). */
const PENALTY_MS = 60_000;
const RATE_RETRY_AFTER_S = 10;
const MAX_REMEMBERED = 10_000;

/** Networks that this isolate turns away, and until when. */
export type Penalties = Map<string, number>;

/** Which of the two rates a route falls under; null for routes that cost next to nothing. */
export type Rate = "completions" | "embeddings" | null;

/**
 * Turns an address away, or lets it pass.
 *
 * @param address the caller's, as the platform says; null where there is no platform in front
 * @throws Problem `too_many_refusals` or `address_rate_exceeded`
 */
export async function guard(
  address: string | null,
  rate: Rate,
  env: Env,
  penalties: Penalties,
  nowMs: number,
): Promise<void> {
  if (address === null) return;
  const network = networkOf(address);
  const untilMs = penalties.get(network);
  if (untilMs !== undefined && untilMs > nowMs) {
    throw new Problem("too_many_refusals", { retryAfterS: (untilMs - nowMs) / 1000 });
  }
  if (rate === null || isLoopback(address)) return;
  const limiter = rate === "completions" ? env.COMPLETIONS_RATE : env.EMBEDDINGS_RATE;
  const { success } = await limiter.limit({ key: network });
  if (!success) throw new Problem("address_rate_exceeded", { retryAfterS: RATE_RETRY_AFTER_S });
}

/** Counts a refused credential; the address that has had too many is turned away for a while. For `waitUntil`. */
export async function countRefusal(
  address: string | null,
  env: Env,
  penalties: Penalties,
  nowMs: number,
): Promise<void> {
  if (address === null) return;
  const network = networkOf(address);
  const { success } = await env.AUTH_FAILURES.limit({ key: network });
  if (success) return;
  penalties.set(network, nowMs + PENALTY_MS);
  const [oldest] = penalties.keys();
  if (penalties.size > MAX_REMEMBERED && oldest !== undefined) penalties.delete(oldest);
}
