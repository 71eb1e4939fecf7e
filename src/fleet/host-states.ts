/**
 * Tells the ledger how hosts are: every change of state or slots, and once an hour all the same, so that what was not
 * said is not taken for what did not change. What was told last is kept in the Fleet object's storage.
 */
import type { Host } from "#src/catalog/schema.ts";
import type { HostStateEvent } from "#src/usage/event.ts";
import { uuidv7 } from "#src/uuid.ts";
import type { HostHealth } from "./health.ts";
import type { FleetOutbox } from "./outbox.ts";

/** Readers take an hour and five minutes of silence for not knowing. */
export const TOLD_EVERY_MS = 3_600_000;
/** Told of a host that the catalog no longer has; it is no state of a host that it has. */
const GONE = "gone";

/** What was told of a host last. */
export type Told = { readonly state: string; readonly slots: number; readonly atMs: number };

/** A host as it is now. */
export type Present = Pick<Host, "id" | "slots"> & {
  readonly health: HostHealth;
  /** What the last probe found wrong, in its own words; null when nothing. */
  readonly reason: string | null;
};

/**
 * What there is to tell. Pure.
 *
 * @param told by host
 * @param hosts every host of the catalog in force
 */
export function toTell(
  told: ReadonlyMap<string, Told>,
  hosts: readonly Present[],
  nowMs: number,
): Pick<HostStateEvent, "host" | "state" | "previous" | "slots" | "reason">[] {
  const present = hosts.flatMap(({ id: host, slots, health, reason }) => {
    const last = told.get(host);
    const { state } = health;
    const facts = { host, state, slots, previous: last?.state ?? null };
    if (last?.state !== state) return [{ ...facts, reason: reasonOf(health, reason) }];
    if (last.slots !== slots) return [{ ...facts, reason: "slots" }];
    // A clock that was set back must not silence a host for as long.
    return Math.abs(nowMs - last.atMs) >= TOLD_EVERY_MS ? [{ ...facts, reason: "hourly" }] : [];
  });
  const gone = [...told].filter(([host]) => !hosts.some(({ id }) => id === host));
  const farewells = gone.map(([host, { state, slots }]) => {
    return { host, state: GONE, previous: state, slots, reason: "left the catalog" };
  });
  return [...present, ...farewells];
}

function reasonOf({ lastResult, inRow }: HostHealth, reason: string | null): string | null {
  return lastResult === null ? null : `${reason ?? lastResult}, ${inRow} in a row`;
}

export class HostStates {
  readonly #sql: SqlStorage;
  readonly #outbox: FleetOutbox;

  constructor(sql: SqlStorage, outbox: FleetOutbox) {
    this.#sql = sql;
    this.#outbox = outbox;
    sql.exec(
      `CREATE TABLE IF NOT EXISTS told (
         host TEXT PRIMARY KEY, state TEXT NOT NULL, slots INTEGER NOT NULL, at_ms INTEGER NOT NULL)`,
    );
  }

  /** Notes how the catalog's hosts are. Synchronous: what was told, and that it was, commit together. */
  note(hosts: readonly Present[], nowMs: number): void {
    const rows = this.#sql.exec<{ host: string; state: string; slots: number; at_ms: number }>("SELECT * FROM told");
    const told = new Map(rows.toArray().map(({ host, at_ms, ...last }) => [host, { ...last, atMs: at_ms }]));
    for (const facts of toTell(told, hosts, nowMs)) {
      const { host, state, slots } = facts;
      if (state === GONE) this.#sql.exec("DELETE FROM told WHERE host = ?", host);
      else {
        this.#sql.exec(
          `INSERT INTO told (host, state, slots, at_ms) VALUES (?, ?, ?, ?) ON CONFLICT (host)
           DO UPDATE SET state = excluded.state, slots = excluded.slots, at_ms = excluded.at_ms`,
          ...[host, state, slots, nowMs],
        );
      }
      this.#outbox.keep({ v: 1, kind: "host_state", id: uuidv7(nowMs), atMs: nowMs, ...facts });
    }
  }
}
