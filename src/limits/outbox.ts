/**
 * An account's events on their way to the ledger, and the rows of its open leases: one table, one row per request. A
 * settled row stays until the consumer says that the ledger has it, so neither a queue that fails nor one that loses
 * messages loses a request. Owns the table and the queue's producer; decides nothing about limits.
 */
import type { UsageEvent, UsageMessage } from "#src/usage/event.ts";

/** A settled event waits this long for others of the same caller, so that a busy one sends, and hears, once a second. */
const SEND_AFTER_MS = 1_000;
/** What nobody acknowledged is sent again: after this long, then after twice as long each time. */
const RESEND_AFTER_MS = 120_000;
const RESEND_AT_MOST_AFTER_MS = 3_600_000;
/** Between attempts while the queue fails: doubled from the first to the last. */
const RETRY_MS = { first: 1_000, last: 60_000 };
/** Platform limits of `sendBatch`: 100 messages, 256 kB in all; a little is left for each message's own frame. */
const BATCH = { messages: 100, bytes: 240_000 };
/** Of one message: 128 kB. */
const LARGEST_EVENT = 120_000;
/** Platform limit of a stored or bound value: 2 MB, and a character may take three bytes. */
const PART_CHARACTERS = 600_000;

/** When events are sent, for the first time and again; what is left out is as above. */
export type Pace = { readonly sendAfterMs?: number | undefined; readonly resendAfterMs?: number | undefined };

/** A row: an open lease (it has a hold), or a settled event. */
export type OutboxRow = {
  readonly id: string;
  /** What the lease holds, as JSON; null once settled. */
  readonly hold: string | null;
  readonly event: UsageEvent;
};

/** The row of an open lease, as stored. */
export type OpenRow = { readonly id: string; readonly hold: string; readonly event: UsageEvent };

const AMONG = "IN (SELECT value FROM json_each(?))";

type Due = { readonly atMs: number; readonly sends: number };
type Stored = { id: string; hold: string | null; event: string };

export class Outbox {
  readonly #sql: SqlStorage;
  readonly #queue: Pick<Queue<UsageMessage>, "sendBatch">;
  readonly #name: string;
  /** How long a settled event waits for others. */
  readonly sendAfterMs: number;
  readonly #resendAfterMs: number;
  /** Rows not yet in storage, by id; a settle replaces its own admit. */
  readonly #unwritten = new Map<string, OutboxRow>();
  /** Settled rows, and when each is to be sent. */
  readonly #due = new Map<string, Due>();
  /** Rows that are in storage perhaps, and are to be deleted with the next write: one of their own costs as much again. */
  readonly #gone = new Set<string>();
  #failures = 0;
  #notBeforeMs = 0;

  /**
   * @param name the object's id, by which the consumer finds it again
   * @param nowMs rows that are there already are due then: whether they were sent is not known
   */
  constructor(
    sql: SqlStorage,
    queue: Pick<Queue<UsageMessage>, "sendBatch">,
    name: string,
    nowMs: number,
    { sendAfterMs = SEND_AFTER_MS, resendAfterMs = RESEND_AFTER_MS }: Pace = {},
  ) {
    this.#sql = sql;
    this.#queue = queue;
    this.#name = name;
    this.sendAfterMs = sendAfterMs;
    this.#resendAfterMs = resendAfterMs;
    sql.exec("CREATE TABLE IF NOT EXISTS outbox (id TEXT PRIMARY KEY, hold TEXT, event TEXT NOT NULL)");
    for (const { id } of sql.exec<{ id: string }>("SELECT id FROM outbox WHERE hold IS NULL"))
      this.#due.set(id, { atMs: nowMs + this.sendAfterMs, sends: 0 });
  }

  /** The rows of leases that are open, as stored. */
  openRows(): OpenRow[] {
    const rows = this.#sql.exec<Stored>("SELECT id, hold, event FROM outbox WHERE hold IS NOT NULL").toArray();
    return rows.map(({ id, hold, event }) => ({ id, hold: hold ?? "", event: JSON.parse(event) }));
  }

  /** Puts a row down to be written; it replaces one of its id. */
  note(row: OutboxRow, nowMs: number): void {
    this.#gone.delete(row.id);
    this.#unwritten.set(row.id, row);
    if (row.hold === null) this.#due.set(row.id, { atMs: nowMs + this.sendAfterMs, sends: 0 });
  }

  /** The event of a settled row that is still here. */
  settled(id: string): UsageEvent | undefined {
    if (!this.#due.has(id)) return undefined;
    const unwritten = this.#unwritten.get(id);
    if (unwritten !== undefined) return unwritten.event;
    const [row] = this.#sql.exec<Stored>("SELECT event FROM outbox WHERE id = ?", id).toArray();
    return row === undefined ? undefined : JSON.parse(row.event);
  }

  /**
   * Writes what was noted, and deletes what is gone, in one statement each or few. Within the caller's transaction.
   *
   * @throws what the storage throws; then everything is still noted
   */
  write(): void {
    for (const rows of inParts([...this.#unwritten.values()].map((row) => JSON.stringify(row))))
      this.#sql.exec(
        `INSERT INTO outbox (id, hold, event)
         SELECT value ->> 'id', value ->> 'hold', value -> 'event' FROM json_each(?) WHERE true
         ON CONFLICT (id) DO UPDATE SET hold = excluded.hold, event = excluded.event`,
        `[${rows.join()}]`,
      );
    if (this.#gone.size > 0) this.#sql.exec(`DELETE FROM outbox WHERE id ${AMONG}`, JSON.stringify([...this.#gone]));
    this.#unwritten.clear();
    this.#gone.clear();
  }

  /** Takes out the row of a lease that came to nothing: there is nothing to tell of it. It goes with the next write. */
  forget(id: string): void {
    if (this.#due.has(id)) return;
    this.#unwritten.delete(id);
    this.#gone.add(id);
  }

  /**
   * The ledger has these: they need not be kept any longer. They go with the next write; an instance that dies before it
   * leaves them to the next one, which sends them once more, and the ledger takes an id once.
   *
   * @returns whether there is anything to write
   */
  acknowledge(ids: readonly string[]): boolean {
    const known = ids.filter((id) => this.#due.delete(id));
    for (const id of known) {
      this.#unwritten.delete(id);
      this.#gone.add(id);
    }
    return known.length > 0;
  }

  /** Whether the queue did not take what it was sent last. */
  get isFailing(): boolean {
    return this.#failures > 0;
  }

  /** When something is to be sent next, wall clock in ms; null when nothing is left. */
  nextDueAtMs(): number | null {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { atMs } of this.#due.values()) nextMs = Math.min(nextMs, atMs);
    return Number.isFinite(nextMs) ? Math.max(nextMs, this.#notBeforeMs) : null;
  }

  /** Sends what is due. @throws what the queue throws; what it did not take stays due */
  async send(now: () => number): Promise<void> {
    try {
      for (;;) {
        const batch = this.#nextBatch(now());
        if (batch.length === 0) break;
        const sent = batch.map(({ id }) => ({ id, due: this.#due.get(id) }));
        await this.#queue.sendBatch(
          batch.map(({ event }) => ({ body: { event: sendable(event), outbox: this.#name } })),
        );
        for (const { id, due } of sent) this.#sent(id, due, now());
      }
      this.#failures = 0;
    } catch (cause) {
      this.#failures += 1;
      this.#notBeforeMs = now() + Math.min(RETRY_MS.last, RETRY_MS.first * 2 ** (this.#failures - 1));
      throw cause;
    }
  }

  #nextBatch(nowMs: number): Stored[] {
    const due: string[] = [];
    for (const [id, { atMs }] of this.#due) {
      if (atMs <= nowMs && !this.#unwritten.has(id)) due.push(id);
      if (due.length === BATCH.messages) break;
    }
    if (due.length === 0) return [];
    const rows = this.#sql
      .exec<Stored>(`SELECT id, hold, event FROM outbox WHERE id ${AMONG}`, JSON.stringify(due))
      .toArray();
    // Acknowledged meanwhile, or never written.
    const found = new Set(rows.map(({ id }) => id));
    for (const id of due) if (!found.has(id)) this.#due.delete(id);
    let bytes = 0;
    const fitting = rows.findIndex(({ event }, at) => {
      bytes += bytesOf(event) + this.#name.length + 64;
      return bytes > BATCH.bytes && at > 0;
    });
    return fitting === -1 ? rows : rows.slice(0, fitting);
  }

  #sent(id: string, due: Due | undefined, nowMs: number): void {
    // Acknowledged, or settled anew, while the batch was on its way.
    if (due === undefined || this.#due.get(id) !== due) return;
    const afterMs = Math.min(RESEND_AT_MOST_AFTER_MS, this.#resendAfterMs * 2 ** due.sends);
    this.#due.set(id, { atMs: nowMs + afterMs, sends: due.sends + 1 });
  }
}

/** Rows in parts that one value may hold. */
function inParts(rows: readonly string[]): string[][] {
  const parts: string[][] = [];
  let characters = Number.POSITIVE_INFINITY;
  for (const row of rows) {
    characters += row.length;
    if (characters > PART_CHARACTERS) {
      parts.push([]);
      characters = row.length;
    }
    parts.at(-1)?.push(row);
  }
  return parts;
}

/** A stored event as the queue takes it: what is too long is so by its content, and would hold up all others for ever. */
function sendable(stored: string): UsageEvent {
  const event: UsageEvent = JSON.parse(stored);
  const isTooLong = bytesOf(stored) > LARGEST_EVENT;
  return isTooLong && event.kind === "inference" ? { ...event, content: null } : event;
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}
