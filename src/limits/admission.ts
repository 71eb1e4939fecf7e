/**
 * Asking the caller's Account object for a lease. One RPC session: `confirm` follows `admit` on the same stub without
 * waiting for its answer. Never decides anything itself; an object that cannot be reached is a refusal, not a pass.
 */
import type { Tier } from "#src/catalog/schema.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { within } from "#src/within.ts";
import type { AdmitRequest, Decision } from "./account.ts";
import type { Limit, Standing } from "./windows.ts";

/** An object answers within a few ms; one that is cold, moved or overloaded has this long before the caller hears 503. */
const ADMIT_WITHIN_MS = 5_000;

/** What this stage needs of the Account object's stub. */
export type AccountStub = {
  admit(request: AdmitRequest): Promise<Decision>;
  confirm(id: string): Promise<boolean>;
  settle(event: InferenceEvent): Promise<void>;
};

export type Lease = {
  readonly standings: readonly Standing[];
  /** False when the lease could not be made durable; awaited before the first byte leaves. Never rejects. */
  readonly confirmed: Promise<boolean>;
  /** Hands in the event that ends the lease. Tries twice; rejects when the object stays unreachable. */
  settle(event: InferenceEvent): Promise<void>;
};

export type Admission =
  | { readonly kind: "admitted"; readonly lease: Lease }
  | { readonly kind: "denied"; readonly standings: readonly Standing[]; readonly retryAfterMs: number }
  /** The API key was revoked or rotated out since its record was read. */
  | { readonly kind: "key_retired" }
  | { readonly kind: "unreachable"; readonly cause: unknown };

/** The request windows of a tier, with their names in the RateLimit headers. */
export function limitsOf(tier: Tier): Limit[] {
  return [
    { name: "rpm", max: tier.rpm, windowMs: 60_000 },
    { name: "rph", max: tier.rph, windowMs: 3_600_000 },
    { name: "rpd", max: tier.rpd, windowMs: 86_400_000 },
  ];
}

/**
 * One request for a lease.
 *
 * @param connect makes a fresh stub; after a failure the old one is broken and must not be used again
 */
export async function requestLease(connect: () => AccountStub, request: AdmitRequest): Promise<Admission> {
  const { id } = request.ifAbandoned;
  try {
    const account = connect();
    const deciding = account.admit(request);
    const confirmed = account.confirm(id).catch(() => false);
    const decision = await within(ADMIT_WITHIN_MS, deciding);
    if (decision.kind === "key_retired") return decision;
    if (decision.kind === "denied")
      return { kind: "denied", standings: decision.standings, retryAfterMs: decision.retryAfterMs };
    const settle = (event: InferenceEvent): Promise<void> =>
      connect()
        .settle(event)
        .catch(() => connect().settle(event));
    return { kind: "admitted", lease: { standings: decision.standings, confirmed, settle } };
  } catch (cause) {
    return { kind: "unreachable", cause };
  }
}
