/** Open leases as rows of the outbox: an instance that comes after this one holds them on. Pure. */
import type { OpenLease } from "./leases.ts";
import type { OpenRow, OutboxRow } from "./outbox.ts";

/** What the row of an open lease keeps beside its event. */
type Hold = Omit<OpenLease, "id" | "event" | "heardAtMs">;

export function rowOf({ id, event, heardAtMs: _heardAtMs, ...hold }: OpenLease): OutboxRow {
  return { id, hold: JSON.stringify(hold satisfies Hold), event };
}

/**
 * @param nowMs by the account's own clock: its holder may live, and has as long as ever to say so
 * @returns null for a row of another kind of event, which nobody holds
 */
export function leaseOf({ id, hold, event }: OpenRow, nowMs: number): OpenLease | null {
  const held: Hold = JSON.parse(hold);
  return event.kind === "inference" ? { ...held, id, event, heardAtMs: nowMs } : null;
}
