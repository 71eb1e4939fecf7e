/** Putting an audit event on its way: through the actor's own outbox where there is an actor, else straight to the queue. */
import type { Problem } from "#src/problem.ts";
import type { AuditEvent } from "#src/usage/event.ts";
import { uuidv7 } from "#src/uuid.ts";
import type { Call, KnownCall } from "./call.ts";
import { type Flood, NO_FLOOD, sample } from "./flood.ts";

export type Act = Pick<AuditEvent, "action" | "target" | "outcome"> & { readonly detail?: AuditEvent["detail"] };

/**
 * How much of the denials this isolate has recorded. Strangers and known callers are counted apart: a storm of made-up
 * credentials must not hide what somebody tries from within.
 */
export type Denials = { strangers: Flood; known: Flood };

export const newDenials = (): Denials => ({ strangers: NO_FLOOD, known: NO_FLOOD });

/**
 * Records an act behind the response. The outbox makes it as durable as a usage event; without an actor there is no
 * outbox, and what the queue refuses is kept in the log.
 */
export function recordAct(call: Call | KnownCall, act: Act): void {
  const principal = principalOf(call);
  const nowMs = Date.now();
  const event: AuditEvent = {
    v: 1,
    kind: "audit",
    id: uuidv7(nowMs),
    atMs: nowMs,
    actor: principal?.userId ?? "anonymous",
    keyId: principal?.keyId ?? null,
    action: act.action,
    target: act.target,
    ip: call.address,
    outcome: act.outcome,
    requestId: call.requestId,
    // The names of two issuers' users may be equal; their accounts are not.
    detail: { ...act.detail, ...(principal?.keyId === null ? { account: principal.accountId } : {}) },
  };
  call.defer(send(call, principal?.accountId ?? null, event));
}

/**
 * Records that a caller was kept from something, unless such events come in floods.
 *
 * @param target the route's pattern or what the policy withheld, never the caller's own text
 */
export function recordDenial(call: Call | KnownCall, target: string, problem: Problem): void {
  const { denials } = call.isolate;
  const principal = principalOf(call);
  const crowd = principal === null ? "strangers" : "known";
  const { flood, suppressed } = sample(denials[crowd], principal?.accountId ?? call.address ?? "", Date.now());
  denials[crowd] = flood;
  if (suppressed === null) return;
  const { cause } = problem.facts;
  recordAct(call, {
    action: "access.denied",
    target,
    outcome: "denied",
    detail: {
      code: problem.code,
      method: call.request.method,
      // The door's own words. An error's message could hold anything.
      ...(typeof cause === "string" ? { reason: cause } : {}),
      ...(suppressed > 0 ? { suppressed } : {}),
    },
  });
}

function principalOf(call: Call | KnownCall): KnownCall["principal"] | null {
  return "principal" in call ? call.principal : null;
}

/** An event that went both ways is one row: the ledger knows it by its id. */
async function send({ env }: Call, accountId: string | null, event: AuditEvent): Promise<void> {
  const report = (at: string) => (cause: unknown) => {
    console.error(JSON.stringify({ at, event, cause: String(cause) }));
    return false;
  };
  const kept =
    accountId !== null &&
    (await env.ACCOUNT.getByName(accountId)
      .settle(event)
      .then(() => true)
      .catch(report("record.outbox")));
  if (!kept) await env.USAGE.send({ event, outbox: null }).catch(report("record.lost"));
}
