/**
 * Before any credential is looked at: an address that asks too fast, or whose credentials were refused too often, is
 * answered 429 at the price of a look-up. The latter is slowed down to a trickle and not shut out, so that a good
 * credential behind the same address still gets in. The platform counts per place and a little late; it shields, the accounts
 * limit. Others than the address at fault notice nothing.
 */
import type { Env } from "#src/env.ts";
import { Problem } from "#src/problem.ts";
import { isLoopback, networkOf } from "./network.ts";

/** The period of the AUTH_FAILURES binding (wrangler.toml). */
const PENALTY_MS = 60_000;
/** While an address is penalised, one credential of it is looked at in so long: five a second cost nothing. */
const TRICKLE_MS = 200;
const RATE_RETRY_AFTER_S = 10;
const MAX_REMEMBERED = 10_000;

/** Networks that this isolate slows down: until when, and when the next credential is looked at. */
export type Penalties = Map<string, { readonly untilMs: number; readonly nextMs: number }>;

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
  const penalty = penalties.get(network);
  if (penalty !== undefined && penalty.untilMs > nowMs) {
    if (nowMs < penalty.nextMs) {
      throw new Problem("too_many_refusals", { retryAfterS: (penalty.nextMs - nowMs) / 1000 });
    }
    penalties.set(network, { ...penalty, nextMs: nowMs + TRICKLE_MS });
  }
  if (rate === null || isLoopback(address)) return;
  const limiter = rate === "completions" ? env.COMPLETIONS_RATE : env.EMBEDDINGS_RATE;
  const { success } = await limiter.limit({ key: network });
  if (!success) throw new Problem("address_rate_exceeded", { retryAfterS: RATE_RETRY_AFTER_S });
}

/** Counts a refused credential; the address that has had too many is slowed down for a while. For `waitUntil`. */
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
  penalties.set(network, { untilMs: nowMs + PENALTY_MS, nextMs: nowMs + TRICKLE_MS });
  const [oldest] = penalties.keys();
  if (penalties.size > MAX_REMEMBERED && oldest !== undefined) penalties.delete(oldest);
}
