/**
 * May they, now: from an estimated question to a lease on the caller's account, or the refusal in OpenAI's words. Where
 * the account cannot be reached the catalog may allow a little all the same, which the queue then keeps instead of it.
 */
import { refusal } from "#src/auth/authenticate.ts";
import type { Tier } from "#src/catalog/tier.ts";
import { type Admission, type Denial, type Lease, requestLease } from "#src/limits/admission.ts";
import { allowanceOf, halfOf, tenantCapsOf } from "#src/limits/allowance.ts";
import { rateLimitHeaders } from "#src/limits/headers.ts";
import { takeLocally } from "#src/limits/local-allowance.ts";
import type { Cost } from "#src/limits/windows.ts";
import { Problem, type ProblemCode, type ProblemFacts } from "#src/problem.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import type { KnownCall } from "./call.ts";

/** The account cannot be reached: come back soon. */
const UNREACHABLE_RETRY_AFTER_S = 2;
/** A draft that waits in the queue is taken for abandoned when nothing else was said by then. */
const LOCAL_LEASE_MARGIN_MS = 30_000;

/** Asks the caller's account for a lease; what comes of it is for `leaseOf`. Never rejects. */
export function admission(call: KnownCall, tier: Tier, draft: InferenceEvent, cost: Cost): Promise<Admission> {
  const { accountId, keyId, tenant } = call.principal;
  const allowance = allowanceOf(call.catalog, { tier, keyId }, draft.model);
  return requestLease(() => call.env.ACCOUNT.getByName(accountId), {
    ...(call.isBackground === true ? halfOf(allowance, cost) : allowance),
    cost,
    keyId,
    tenant: tenantCapsOf(call.catalog, tenant),
    askedAtMs: Date.now(),
    ifAbandoned: draft,
  });
}

/**
 * The lease of an admission.
 *
 * @param totalMs how long the request may take at most
 * @throws Problem when there is none
 */
export function leaseOf(
  call: KnownCall,
  tier: Tier,
  draft: InferenceEvent,
  totalMs: number,
  admitted: Admission,
): Lease {
  if (admitted.kind === "admitted") return admitted.lease;
  if (admitted.kind === "key_retired") throw refusal("invalid_token", "the key was revoked");
  if (admitted.kind === "denied") throw denied(admitted);
  call.defer(release(call, draft.id, admitted.late));
  // It is small, and for callers: lines of batches can wait until the account is back.
  const windows =
    call.isBackground === true
      ? null
      : takeLocally(call.isolate.allowances, call.principal.accountId, tier, Date.now());
  if (windows !== null) return localLease(call, draft, totalMs, { windows, slots: [] });
  throw new Problem("limits_unavailable", { retryAfterS: UNREACHABLE_RETRY_AFTER_S, cause: admitted.cause });
}

/** An account that says yes when its caller has gone elsewhere must not hold on to what it reserved. */
async function release(
  call: KnownCall,
  id: string,
  late: Extract<Admission, { kind: "unreachable" }>["late"],
): Promise<void> {
  try {
    if ((await late).kind === "admitted") await call.env.ACCOUNT.getByName(call.principal.accountId).release(id);
  } catch (cause) {
    console.error(JSON.stringify({ at: "admit.late", requestId: id, cause: String(cause) }));
  }
}

/**
 * A lease without an account. The queue holds the draft back until the request must be over; the event of its end comes
 * first then, and the ledger takes an id once.
 */
function localLease(call: KnownCall, draft: InferenceEvent, totalMs: number, standings: Lease["standings"]): Lease {
  const marked = (event: InferenceEvent) => ({ event: { ...event, admittedBy: "local" as const }, outbox: null });
  const delaySeconds = Math.ceil((totalMs + LOCAL_LEASE_MARGIN_MS) / 1000);
  const confirmed = call.env.USAGE.send(marked(draft), { delaySeconds }).then(
    () => true,
    () => false,
  );
  const settle = async (event: InferenceEvent): Promise<void> => {
    await call.env.USAGE.send(marked(event));
  };
  return {
    standings,
    confirmed,
    hold: () => undefined,
    settle,
    // The queue has the draft already.
    release: settle,
  };
}

/** What each unit's refusal is called. OpenAI's names; a spent budget is not waited out by a client. */
const REFUSALS = {
  requests: { code: "rate_limit_exceeded", type: "requests", what: "requests" },
  tokens: { code: "rate_limit_exceeded", type: "tokens", what: "tokens" },
  micros: { code: "insufficient_quota", type: "insufficient_quota", what: "money" },
  "concurrent-requests": { code: "rate_limit_exceeded", type: "requests", what: "requests in flight" },
} as const satisfies Record<
  Denial["violated"]["unit"],
  { code: ProblemCode; type: ProblemFacts["type"]; what: string }
>;

function denied({ violated: { name, unit }, retryAfterMs, standings }: Denial): Problem {
  const { code, type, what } = REFUSALS[unit];
  const headers = rateLimitHeaders(standings);
  if (retryAfterMs === null) {
    const message = `Request too large: it alone needs more ${what} than the limit ${name} allows. Ask for less.`;
    return new Problem(code, { type, message, headers: { ...headers, "x-should-retry": "false" } });
  }
  const seconds = Math.max(1, Math.ceil(retryAfterMs / 1000));
  const message = `Rate limit reached for ${what} (${name}). Please try again in ${seconds}s.`;
  return new Problem(code, { type, message, retryAfterS: seconds, headers });
}
