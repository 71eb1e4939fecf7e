/**
 * Tells the audit trail of every catalog that came into force or was refused, once for each document. What was told is
 * kept in the Fleet object's storage.
 */
import type { CatalogReading } from "#src/catalog/load.ts";
import type { AuditEvent } from "#src/usage/event.ts";
import { uuidv7 } from "#src/uuid.ts";
import type { FleetOutbox } from "./outbox.ts";

export class CatalogLoads {
  readonly #sql: SqlStorage;
  readonly #outbox: FleetOutbox;

  constructor(sql: SqlStorage, outbox: FleetOutbox) {
    this.#sql = sql;
    this.#outbox = outbox;
    sql.exec("CREATE TABLE IF NOT EXISTS catalog_load (one INTEGER PRIMARY KEY CHECK (one = 1), mark TEXT NOT NULL)");
  }

  /** Notes one reading. Nothing to note where KV could not be asked. */
  async note(reading: CatalogReading, nowMs: number): Promise<void> {
    if (reading.document !== null) this.#keep(loadEvent(reading, await digestOf(reading.document), nowMs));
  }

  #keep(event: AuditEvent): void {
    // The same document may be refused by one version of the gateway and taken by the next.
    const mark = `${event.outcome} ${event.detail.digest}`;
    const [told] = this.#sql.exec<{ mark: string }>("SELECT mark FROM catalog_load").toArray();
    if (told?.mark === mark) return;
    // No await between these statements: they commit together or not at all.
    this.#sql.exec(
      "INSERT INTO catalog_load (one, mark) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET mark = excluded.mark",
      mark,
    );
    this.#outbox.keep(event);
  }
}

/** The event of one reading. Of what is wrong with a refused document it names the first. */
function loadEvent({ catalog, refused }: CatalogReading, digest: string, nowMs: number): AuditEvent {
  const [first] = refused;
  const counts = { hosts: catalog.hosts.length, models: catalog.models.length };
  return {
    v: 1,
    kind: "audit",
    id: uuidv7(nowMs),
    atMs: nowMs,
    actor: "system",
    keyId: null,
    action: "catalog.load",
    target: "catalog",
    ip: null,
    outcome: first === undefined ? "ok" : "failed",
    requestId: null,
    detail: first === undefined ? { digest, ...counts } : { digest, path: first.path, reason: first.reason },
  };
}

async function digestOf(document: string): Promise<string> {
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(document)));
  return `sha256:${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
