/**
 * Tells the ledger what hosts had to do: a sample of each host in every minute of the clock in which the pool was
 * awake. Which minute was told last is kept in the Fleet object's storage, so that a restart tells none twice.
 */
import type { HostLoadEvent } from "#src/usage/event.ts";
import { uuidv7 } from "#src/uuid.ts";
import type { HostLoad } from "./load.ts";
import type { FleetOutbox } from "./outbox.ts";

const EVERY_MS = 60_000;

/** A host at one moment. */
export type LoadSample = {
  readonly host: string;
  /** In the engine's own words. */
  readonly load: HostLoad;
  /** Requests that the pool has in flight there. */
  readonly inFlight: number;
  /** Requests that wait for it in the gateway's own line. */
  readonly waiting: number;
};

export class LoadSamples {
  readonly #sql: SqlStorage;
  readonly #outbox: FleetOutbox;

  constructor(sql: SqlStorage, outbox: FleetOutbox) {
    this.#sql = sql;
    this.#outbox = outbox;
    sql.exec("CREATE TABLE IF NOT EXISTS load_told (one INTEGER PRIMARY KEY CHECK (one = 1), minute INTEGER NOT NULL)");
  }

  /** Notes how hosts are, as often as one likes. Synchronous: what was told, and that it was, commit together. */
  note(samples: readonly LoadSample[], nowMs: number): void {
    const minute = Math.floor(nowMs / EVERY_MS);
    const [told] = this.#sql.exec<{ minute: number }>("SELECT minute FROM load_told").toArray();
    if (told?.minute === minute || samples.length === 0) return;
    this.#sql.exec(
      "INSERT INTO load_told (one, minute) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET minute = excluded.minute",
      minute,
    );
    for (const sample of samples) this.#outbox.keep(eventOf(sample, nowMs));
  }
}

function eventOf({ host, load, inFlight, waiting: inLine }: LoadSample, atMs: number): HostLoadEvent {
  return { v: 1, kind: "host_load", id: uuidv7(atMs), atMs, host, ...load, inFlight, inLine };
}
