/**
 * Events of the Fleet object on their way to the queue, kept in its storage until the queue has them: neither a restart
 * nor an outage of the queue loses one. One may be sent twice; the ledger knows it by its id.
 */
import type { UsageEvent, UsageMessage } from "#src/usage/event.ts";

/** Platform limit of `sendBatch`. */
const BATCH_MESSAGES = 100;

export class FleetOutbox {
  readonly #sql: SqlStorage;
  readonly #queue: Pick<Queue<UsageMessage>, "sendBatch">;

  constructor(sql: SqlStorage, queue: Pick<Queue<UsageMessage>, "sendBatch">) {
    this.#sql = sql;
    this.#queue = queue;
    sql.exec("CREATE TABLE IF NOT EXISTS unsent (id TEXT PRIMARY KEY, event TEXT NOT NULL)");
  }

  /** Keeps an event. Synchronous, so that it commits together with whatever it tells of. */
  keep(event: UsageEvent): void {
    this.#sql.exec("INSERT INTO unsent (id, event) VALUES (?, ?)", event.id, JSON.stringify(event));
  }

  /** Sends what is not sent yet, oldest first. Never throws: probes do not depend on it. */
  async send(): Promise<void> {
    try {
      for (let rows = this.#oldest(); rows.length > 0; rows = this.#oldest()) {
        await this.#queue.sendBatch(rows.map(({ event }) => ({ body: { event: JSON.parse(event), outbox: null } })));
        const ids = JSON.stringify(rows.map(({ id }) => id));
        this.#sql.exec("DELETE FROM unsent WHERE id IN (SELECT value FROM json_each(?))", ids);
      }
    } catch (cause) {
      console.error(JSON.stringify({ at: "fleet.outbox", cause: String(cause) }));
    }
  }

  #oldest(): { id: string; event: string }[] {
    const query = "SELECT id, event FROM unsent ORDER BY rowid LIMIT ?";
    return this.#sql.exec<{ id: string; event: string }>(query, BATCH_MESSAGES).toArray();
  }
}
