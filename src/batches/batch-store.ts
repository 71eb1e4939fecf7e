/**
 * The batches of one account and the fate of their lines, in its Batches object's SQLite. What the lines say is in their
 * input file; what came of them in their output and error files.
 */
import type { Principal } from "#src/auth/principal.ts";
import type { Proof } from "#src/auth/proof.ts";
import type { Batch, Line } from "./batch.ts";
import type { Endpoint } from "./input-line.ts";

/** What was ordered, which nothing changes afterwards. */
export type Order = {
  readonly id: string;
  readonly inputFileId: string;
  /** Where results go; shown when the batch is over and there are any. */
  readonly outputFileId: string;
  readonly errorFileId: string;
  readonly endpoint: Endpoint;
  readonly metadata: Readonly<Record<string, string>> | null;
  /** Who asks, as of the order. */
  readonly principal: Principal;
  /** The issuer's key by which that was proven: without trust in it nothing is run. Null for an API key. */
  readonly signedBy: Proof["signedBy"];
  /** What the order said of where its lines may be answered. */
  readonly residency: "on-prem" | null;
};
export type Ordered = { readonly order: Order; readonly batch: Batch };

/** Of one account, those that are over with them: with the errors of its file one may take 50 KB. */
export const MOST_BATCHES = 1_000;

/** A line that may be handed out. */
export type Waiting = { readonly line: number; readonly customId: string; readonly model: string };

type Row = { ordered: string; batch: string };

const read = ({ ordered, batch }: Row): Ordered => ({ order: JSON.parse(ordered), batch: JSON.parse(batch) });

export class BatchStore {
  readonly #sql: SqlStorage;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
    sql.exec(`CREATE TABLE IF NOT EXISTS batches (
      seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, ordered TEXT NOT NULL, batch TEXT NOT NULL,
      wake_ms INTEGER, expires_ms INTEGER)`);
    sql.exec(`CREATE TABLE IF NOT EXISTS lines (
      batch TEXT NOT NULL, line INTEGER NOT NULL, custom_id TEXT NOT NULL, model TEXT NOT NULL, tries INTEGER NOT NULL,
      how TEXT, PRIMARY KEY (batch, line)) WITHOUT ROWID`);
    // A long batch is not looked through from its beginning for every line.
    sql.exec("CREATE INDEX IF NOT EXISTS waiting ON lines (batch, line) WHERE how IS NULL");
  }

  add(order: Order, batch: Batch, wakeAtMs: number): void {
    this.#sql.exec(
      "INSERT INTO batches (id, ordered, batch, wake_ms) VALUES (?, ?, ?, ?)",
      ...[order.id, JSON.stringify(order), JSON.stringify(batch), wakeAtMs],
    );
  }

  get(id: string): Ordered | null {
    const [row] = this.#sql.exec<Row>("SELECT ordered, batch FROM batches WHERE id = ?", id).toArray();
    return row === undefined ? null : read(row);
  }

  /** @param wakeAtMs null for one that is over */
  put(id: string, batch: Batch, wakeAtMs: number | null): void {
    this.#sql.exec("UPDATE batches SET batch = ?, wake_ms = ? WHERE id = ?", JSON.stringify(batch), wakeAtMs, id);
  }

  /** Whether there are as many as an account may keep. */
  isFull(): boolean {
    return this.#sql.exec<{ kept: number }>("SELECT COUNT(*) AS kept FROM batches").one().kept >= MOST_BATCHES;
  }

  /**
   * Newest first.
   *
   * @param after the id that they begin behind; null for the newest
   * @returns so many at most; null when there is no such id
   */
  page(after: string | null, count: number): Ordered[] | null {
    const [from] = this.#sql.exec<{ seq: number }>("SELECT seq FROM batches WHERE id = ?", after).toArray();
    if (after !== null && from === undefined) return null;
    return this.#sql
      .exec<Row>(
        "SELECT ordered, batch FROM batches WHERE seq < ? ORDER BY seq DESC LIMIT ?",
        ...[from?.seq ?? Number.MAX_SAFE_INTEGER, count],
      )
      .toArray()
      .map(read);
  }

  /** Those that are not over. */
  open(): Ordered[] {
    return this.#sql
      .exec<Row>("SELECT ordered, batch FROM batches WHERE wake_ms IS NOT NULL ORDER BY seq")
      .toArray()
      .map(read);
  }

  nextWakeMs(): number | null {
    return this.#sql.exec<{ at: number | null }>("SELECT MIN(IFNULL(wake_ms, expires_ms)) AS at FROM batches").one().at;
  }

  addLine(id: string, { line, customId, model }: Waiting): void {
    this.#sql.exec(
      "INSERT INTO lines (batch, line, custom_id, model, tries) VALUES (?, ?, ?, ?, 0)",
      ...[id, line, customId, model],
    );
  }

  /** What is known of a line; null when there is no such line. */
  line(id: string, line: number): (Line & Waiting) | null {
    const [row] = this.#sql
      .exec<{ custom_id: string; model: string; tries: number; how: Line["how"] }>(
        "SELECT custom_id, model, tries, how FROM lines WHERE batch = ? AND line = ?",
        ...[id, line],
      )
      .toArray();
    return row === undefined ? null : { line, customId: row.custom_id, ...row };
  }

  putLine(id: string, line: number, { tries, how }: Line): void {
    this.#sql.exec("UPDATE lines SET tries = ?, how = ? WHERE batch = ? AND line = ?", tries, how, id, line);
  }

  /** Lines that have not ended, in their order. */
  *waiting(id: string): Generator<Waiting> {
    for (const { line, custom_id, model } of this.#sql.exec<{ line: number; custom_id: string; model: string }>(
      "SELECT line, custom_id, model FROM lines WHERE batch = ? AND how IS NULL ORDER BY line",
      id,
    ))
      yield { line, customId: custom_id, model };
  }

  /** Its lines are needed no more; the batch itself is kept until then. */
  close(id: string, expiresAtMs: number): void {
    this.#sql.exec("DELETE FROM lines WHERE batch = ?", id);
    this.#sql.exec("UPDATE batches SET expires_ms = ? WHERE id = ?", expiresAtMs, id);
  }

  /** Deletes those that have expired. */
  sweep(nowMs: number): void {
    this.#sql.exec("DELETE FROM batches WHERE wake_ms IS NULL AND expires_ms <= ?", nowMs);
  }
}
