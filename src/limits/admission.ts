/**
 * Asking the caller's Account object for a lease. `confirm` follows `admit` on the same stub without
 * waiting for its answer. While the request runs, the lease is renewed. Never decides anything itself; an object that
 * cannot be reached is a refusal, not a pass.
 */
import type { InferenceEvent } from "#src/usage/event.ts";
import { within } from "#src/within.ts";
import type { AccountRequest } from "./account.do.ts";
import type { Decision, Standings } from "./account.ts";
import type { Progress } from "./leases.ts";

/** An object answers within a few ms; one that is cold, moved or overloaded has this long before the caller hears 503. */
const ADMIT_WITHIN_MS = 5_000;
/** A holder that the account has not heard of for three of these counts as dead. Most requests are over before the first. */
const RENEW_EVERY_MS = 10_000;

/** What this stage needs of the Account object's stub. */
export type AccountStub = {
  admit(request: AccountRequest): Promise<Decision>;
  confirm(id: string): Promise<boolean>;
  renew(id: string, progress: Progress): Promise<boolean>;
  settle(event: InferenceEvent): Promise<void>;
  release(id: string): Promise<void>;
};

export type Lease = {
  readonly standings: Standings;
  /** False when the lease could not be made durable; awaited before the first byte leaves. Never rejects. */
  readonly confirmed: Promise<boolean>;
  /** Says every 10 s that the request goes on, and what is known of it by then; until it is settled. */
  hold(progress: () => Progress): void;
  /** Hands in the event that ends the lease. Tries twice; rejects when the object stays unreachable. */
  settle(event: InferenceEvent): Promise<void>;
  /**
   * Undoes the admission of a request that no host was asked for: it neither counts nor is told of. Rejects when the
   * object cannot be reached.
   *
   * @param unserved the event that ends the lease where an admission cannot be undone
   */
  release(unserved: InferenceEvent): Promise<void>;
};

export type Denial = Extract<Decision, { kind: "denied" }>;

export type Admission =
  | { readonly kind: "admitted"; readonly lease: Lease }
  | Denial
  /** The API key was revoked or rotated out since its record was read. */
  | { readonly kind: "key_retired" }
  | {
      readonly kind: "unreachable";
      readonly cause: unknown;
      /** What the account decides after all, when it was only late. */
      readonly late: Promise<Decision>;
    };

/**
 * One request for a lease.
 *
 * @param connect makes a fresh stub; after a failure the old one is broken and must not be used again
 */
export async function requestLease(connect: () => AccountStub, request: AccountRequest): Promise<Admission> {
  const { id } = request.ifAbandoned;
  let deciding: Promise<Decision> | null = null;
  try {
    const account = connect();
    deciding = account.admit(request);
    const confirmed = account.confirm(id).catch(() => false);
    const decision = await within(ADMIT_WITHIN_MS, deciding);
    if (decision.kind !== "admitted") return decision;
    return { kind: "admitted", lease: leaseOn(connect, id, decision.standings, confirmed) };
  } catch (cause) {
    return { kind: "unreachable", cause, late: deciding ?? Promise.reject(cause) };
  }
}

function leaseOn(connect: () => AccountStub, id: string, standings: Standings, confirmed: Promise<boolean>): Lease {
  let renewing: ReturnType<typeof setInterval> | null = null;
  return {
    standings,
    confirmed,
    hold(progress) {
      renewing ??= setInterval(() => {
        // One that fails is followed by another; after three the account gives the request up.
        connect()
          .renew(id, progress())
          .catch(() => false);
      }, RENEW_EVERY_MS);
    },
    settle(event) {
      if (renewing !== null) clearInterval(renewing);
      return connect()
        .settle(event)
        .catch((cause: unknown) => {
          if (isOverloaded(cause)) throw cause;
          return connect().settle(event);
        });
    },
    release() {
      if (renewing !== null) clearInterval(renewing);
      return connect().release(id);
    },
  };
}

/** The platform marks what an object with too much to do refuses; asking again makes it worse. */
function isOverloaded(cause: unknown): boolean {
  return cause instanceof Error && "overloaded" in cause && cause.overloaded === true;
}
