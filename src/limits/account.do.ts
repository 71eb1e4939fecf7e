/**
 * The caller's Account object: a thin shell over `account.ts` that owns storage, one timer, one alarm and the outbox.
 *
 * `admit` decides in memory and answers at once; rows are written behind it, coalesced. `confirm` travels with `admit`
 * and resolves when the lease is durable: the caller awaits it before the first byte leaves, which hides behind any
 * real first token. `settle` overwrites the lease's row with the whole event (idempotent by id, and complete in itself).
 * The alarm sends settled events to the queue and turns expired leases into `abandoned` events.
 *
 * Promises are shared between calls here: all calls of one object run in one context, unlike requests in a Worker.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "#src/env.ts";
import type { UsageEvent } from "#src/usage/event.ts";
import {
  type AccountState,
  type AdmitRequest,
  admit,
  type Decision,
  isRetired,
  type LedgerRow,
  NEW_ACCOUNT,
  retireKey,
} from "./account.ts";

/** Rows of requests this close together share one write. Measured: 5 to 10 ms costs least without being felt. */
const FLUSH_AFTER_MS = 5;
/** A settled event waits this long for others of the same caller, so that a burst is one batch. */
const SEND_AFTER_MS = 250;
/** Between attempts while the queue fails: doubled from the first to the last. */
const SEND_RETRY_MS = { first: 1_000, last: 60_000 };
/** Platform limit of `sendBatch`. */
const BATCH_MESSAGES = 100;

type StoredRow = { id: string; event: string };

export class Account extends DurableObject<Env> {
  #state: AccountState;
  /** Rows not yet in storage, by lease id; a settle replaces its own admit. */
  readonly #unwritten = new Map<string, LedgerRow>();
  /** Leases that nobody settled yet, with the time they expire. */
  readonly #open = new Map<string, number>();
  #flush: Promise<void> | null = null;
  /** When the alarm is set for; null when unknown or not set. */
  #alarmAtMs: number | null = null;
  #failedSends = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { sql } = ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS ledger (id TEXT PRIMARY KEY, expires_ms INTEGER, event TEXT NOT NULL)");
    sql.exec("CREATE TABLE IF NOT EXISTS state (one INTEGER PRIMARY KEY CHECK (one = 1), value TEXT NOT NULL)");
    const [stored] = sql.exec<{ value: string }>("SELECT value FROM state").toArray();
    this.#state = stored === undefined ? NEW_ACCOUNT : { ...NEW_ACCOUNT, ...JSON.parse(stored.value) };
    const leases = sql.exec<{ id: string; expires_ms: number }>(
      "SELECT id, expires_ms FROM ledger WHERE expires_ms IS NOT NULL",
    );
    for (const { id, expires_ms } of leases) this.#open.set(id, expires_ms);
    // Unknown, the alarm would be put off to the end of this instance's first lease, and all that waits with it.
    void ctx.blockConcurrencyWhile(async () => {
      this.#alarmAtMs = await ctx.storage.getAlarm();
      if (this.#alarmAtMs === null) this.#armForWhatIsLeft(Date.now());
    });
  }

  /** Admits or refuses one request, from memory. */
  admit(request: AdmitRequest): Decision {
    const { state, decision, row } = admit(this.#state, request, Date.now());
    this.#state = state;
    if (row !== null) this.#note(row);
    return decision;
  }

  /**
   * Waits until a lease is durable.
   *
   * @returns false when the object does not hold the lease: it was refused, or lost with an instance that died
   */
  async confirm(id: string): Promise<boolean> {
    if (!this.#open.has(id)) return false;
    await this.#written();
    return true;
  }

  /** Puts an event on its way to the ledger, ending its lease if it has one; resolves when durable. Safe to repeat. */
  async settle(event: UsageEvent): Promise<void> {
    this.#note({ id: event.id, expiresMs: null, event });
    await this.#written();
  }

  /**
   * Ends an API key of this owner; from `fromMs` on nothing is admitted with it.
   *
   * @param fromMs wall clock; in the future for a key that is being rotated
   */
  async retireKey(keyId: string, fromMs: number): Promise<void> {
    this.#state = retireKey(this.#state, keyId, fromMs, Date.now());
    this.#flush ??= this.#flushSoon();
    await this.#written();
  }

  /** Whether a key still opens something, for routes that need no lease. */
  isKeyRetired(keyId: string): boolean {
    return isRetired(this.#state, keyId, Date.now());
  }

  /** Never throws: the platform drops an alarm after six failures. */
  override async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    try {
      this.#sweep(Date.now());
      await this.#send();
      this.#failedSends = 0;
    } catch (cause) {
      this.#failedSends += 1;
      console.error(JSON.stringify({ at: "account.alarm", failedSends: this.#failedSends, cause: String(cause) }));
    }
    this.#armForWhatIsLeft(Date.now());
  }

  #note(row: LedgerRow): void {
    this.#unwritten.set(row.id, row);
    if (row.expiresMs === null) this.#open.delete(row.id);
    else this.#open.set(row.id, row.expiresMs);
    this.#flush ??= this.#flushSoon();
  }

  async #written(): Promise<void> {
    await this.#flush;
    await this.ctx.storage.sync();
  }

  async #flushSoon(): Promise<void> {
    await scheduler.wait(FLUSH_AFTER_MS);
    this.#flush = null;
    const rows = [...this.#unwritten.values()];
    // No await between these statements: they commit together or not at all.
    this.ctx.storage.sql.exec(
      `INSERT INTO ledger (id, expires_ms, event)
       SELECT value ->> 'id', value ->> 'expiresMs', value -> 'event' FROM json_each(?) WHERE true
       ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms, event = excluded.event`,
      JSON.stringify(rows),
    );
    this.ctx.storage.sql.exec(
      "INSERT INTO state (one, value) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET value = excluded.value",
      JSON.stringify(this.#state),
    );
    this.#unwritten.clear();
    const nowMs = Date.now();
    for (const { expiresMs } of rows) this.#arm(expiresMs ?? nowMs + SEND_AFTER_MS);
  }

  #arm(atMs: number): void {
    if (this.#alarmAtMs !== null && this.#alarmAtMs <= atMs) return;
    this.#alarmAtMs = atMs;
    this.ctx.waitUntil(this.ctx.storage.setAlarm(atMs));
  }

  /** Expired leases become events; their rows say so from then on. */
  #sweep(nowMs: number): void {
    this.ctx.storage.sql.exec("UPDATE ledger SET expires_ms = NULL WHERE expires_ms <= ?", nowMs);
    for (const [id, expiresMs] of this.#open) if (expiresMs <= nowMs) this.#open.delete(id);
  }

  async #send(): Promise<void> {
    const { sql } = this.ctx.storage;
    for (;;) {
      const rows = sql
        .exec<StoredRow>("SELECT id, event FROM ledger WHERE expires_ms IS NULL LIMIT ?", BATCH_MESSAGES)
        .toArray();
      if (rows.length === 0) return;
      await this.env.USAGE.sendBatch(rows.map(({ event }) => ({ body: JSON.parse(event) })));
      // A row that was settled anew while the batch was on its way holds another event, and stays.
      sql.exec(
        `DELETE FROM ledger WHERE (id, event) IN (SELECT value ->> 'id', value ->> 'event' FROM json_each(?))`,
        JSON.stringify(rows),
      );
    }
  }

  #armForWhatIsLeft(nowMs: number): void {
    const [unsent] = this.ctx.storage.sql.exec("SELECT 1 FROM ledger WHERE expires_ms IS NULL LIMIT 1").toArray();
    const retryMs = Math.min(SEND_RETRY_MS.last, SEND_RETRY_MS.first * 2 ** Math.max(0, this.#failedSends - 1));
    if (unsent !== undefined) this.#arm(nowMs + (this.#failedSends > 0 ? retryMs : SEND_AFTER_MS));
    if (this.#open.size > 0) this.#arm(Math.min(...this.#open.values()));
  }
}
