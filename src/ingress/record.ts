/** Putting an audit event on its way: through the actor's own outbox where there is an actor, else straight to the queue. */
import { v7 as uuidv7 } from "uuid";
import type { AuditEvent } from "#src/usage/event.ts";
import type { Call, KnownCall } from "./call.ts";

export type Act = Pick<AuditEvent, "action" | "target" | "outcome"> & { readonly detail?: AuditEvent["detail"] };

/**
 * Records an act behind the response. The outbox makes it as durable as a usage event; without an actor there is no
 * outbox, and what the queue refuses is kept in the log.
 */
export function recordAct(call: Call | KnownCall, act: Act): void {
  const principal = "principal" in call ? call.principal : null;
  const event: AuditEvent = {
    v: 1,
    kind: "audit",
    id: uuidv7(),
    atMs: Date.now(),
    actor: principal?.userId ?? "anonymous",
    keyId: principal?.keyId ?? null,
    action: act.action,
    target: act.target,
    ip: call.address,
    outcome: act.outcome,
    requestId: call.requestId,
    detail: act.detail ?? {},
  };
  call.defer(send(call, principal?.accountId ?? null, event));
}

async function send({ env }: Call, accountId: string | null, event: AuditEvent): Promise<void> {
  try {
    if (accountId === null) await env.USAGE.send(event);
    else await env.ACCOUNT.getByName(accountId).settle(event);
  } catch (cause) {
    console.error(JSON.stringify({ at: "record.lost", event, cause: String(cause) }));
  }
}
