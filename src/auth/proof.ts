/**
 * What a credential's word rests on, and whether it still holds: for what outlives the request that brought it, a socket
 * or a ticket. The credential itself is kept nowhere.
 */
import type { TokenWorld } from "./jwt.ts";
import { keysFor } from "./key-ring.ts";
import type { Principal } from "./principal.ts";

export type Proof = {
  /** When the token or the key expires, in ms since the epoch. */
  readonly untilMs: number;
  /** The issuer's key that signed the token; null for an API key, whose end its account knows. */
  readonly signedBy: { readonly issuer: string; readonly kid: string } | null;
};

/** Who is asking, and for how long that may be believed. */
export type Identity = { readonly principal: Principal; readonly proof: Proof };

/**
 * Whether a proof is still good: not expired, and its issuer still trusted with the key that signed it. Where the
 * issuer's keys cannot be had, nobody can tell, and what was proven stands. Never throws.
 */
export async function holds({ untilMs, signedBy }: Proof, world: TokenWorld): Promise<boolean> {
  if (world.now() >= untilMs) return false;
  if (signedBy === null) return true;
  if (!world.issuers.some(({ issuer }) => issuer === signedBy.issuer)) return false;
  const inHand = await keysFor(world.ringOf(signedBy.issuer), signedBy.kid, { ...world, epoch: await world.epoch() });
  return inHand?.hasKid !== false;
}
