/** Audit events for tests: a plausible one, changed where the test says so. */
import type { AuditEvent } from "#src/usage/event.ts";

/** An act of an administrator's, with a fresh id. */
export function auditWith(changed: Partial<AuditEvent> = {}): AuditEvent {
  return {
    v: 1,
    kind: "audit",
    id: crypto.randomUUID(),
    atMs: 1_790_000_000_123,
    actor: "admin-user",
    keyId: null,
    action: "key.revoke",
    target: "key_1",
    ip: "203.0.113.7",
    outcome: "ok",
    requestId: crypto.randomUUID(),
    detail: { reason: "lost" },
    ...changed,
  };
}
