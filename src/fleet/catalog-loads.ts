/**
 * Tells the audit trail of every catalog that came into force or was refused, once for each document. What was told is
 * kept in the Fleet object's storage, and so is an event until the queue has it: neither a restart nor an outage of the
 * queue repeats or loses one.
 */
import { v7 as uuidv7 } from "uuid";
import type { CatalogReading } from "#src/catalog/load.ts";
import type { AuditEvent, UsageEvent } from "#src/usage/event.ts";

export class CatalogLoads {
  readonly #sql: SqlStorage;
  readonly #queue: Pick<Queue<UsageEvent>, "send">;

  constructor(sql: SqlStorage, queue: Pick<Queue<UsageEvent>, "send">) {
    this.#sql = sql;
    this.#queue = queue;
    sql.exec("CREATE TABLE IF NOT EXISTS catalog_load (one INTEGER PRIMARY KEY CHECK (one = 1), mark TEXT NOT NULL)");
    sql.exec("CREATE TABLE IF NOT EXISTS unsent (id TEXT PRIMARY KEY, event TEXT NOT NULL)");
  }

  /** Notes one reading and sends what is not sent yet. Never throws: probes do not depend on it. */
  async note(reading: CatalogReading, nowMs: number): Promise<void> {
    try {
      if (reading.document !== null) this.#keep(loadEvent(reading, await digestOf(reading.document), nowMs));
      await this.#send();
    } catch (cause) {
      console.error(JSON.stringify({ at: "fleet.catalog-loads", cause: String(cause) }));
    }
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
    this.#sql.exec("INSERT INTO unsent (id, event) VALUES (?, ?)", event.id, JSON.stringify(event));
  }

  async #send(): Promise<void> {
    for (const { id, event } of this.#sql
      .exec<{ id: string; event: string }>("SELECT id, event FROM unsent")
      .toArray()) {
      await this.#queue.send(JSON.parse(event));
      this.#sql.exec("DELETE FROM unsent WHERE id = ?", id);
    }
  }
}

/** The event of one reading. Of what is wrong with a refused document it names the first. */
function loadEvent({ catalog, refused }: CatalogReading, digest: string, nowMs: number): AuditEvent {
  const [first] = refused;
  const counts = { hosts: catalog.hosts.length, models: catalog.models.length };
  return {
    v: 1,
    kind: "audit",
    id: uuidv7({ msecs: nowMs }),
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
