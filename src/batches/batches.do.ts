/**
 * One account's files and batches: a thin shell over `shelf.ts`. It hands lines out to whoever the queue calls, takes
 * their results, and looks after the rest by alarm: files to check, holders that fell silent, messages that were lost,
 * the end of the 24 hours, and content that was kept for long enough.
 */
import { DurableObject } from "cloudflare:workers";
import type { Env } from "#src/env.ts";
import { called, callsNow, cancelled, isOver, renewed, rested } from "./batch.ts";
import type { Order, Ordered } from "./batch-store.ts";
import type { Place, StoredFile } from "./file-store.ts";
import type { Answered } from "./result-line.ts";
import { KEPT_MS, Shelf } from "./shelf.ts";
import type { HandedOut } from "./slice.ts";

/** What an alarm could not do is tried again. */
const RETRY_MS = 10_000;

/** A message of the queue `batches`: it only says that a batch may have lines to run. */
export type BatchCall = { readonly v: 1; readonly account: string; readonly batch: string };

export class Batches extends DurableObject<Env> {
  readonly #shelf: Shelf;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#shelf = new Shelf(ctx.storage.sql);
  }

  /** Keeps an input file. @returns null when the account keeps as much as it may */
  async addFile(file: Pick<StoredFile, "id" | "filename">, bytes: Uint8Array): Promise<StoredFile | null> {
    const { files } = this.#shelf;
    if (files.isFull(bytes.byteLength)) return null;
    const createdAtMs = Date.now();
    files.create({ ...file, purpose: "batch", createdAtMs, expiresAtMs: createdAtMs + KEPT_MS }, true);
    files.append(file.id, bytes);
    await this.#arm();
    return files.get(file.id);
  }

  /** Oldest first. */
  files(): StoredFile[] {
    return this.#shelf.files.all();
  }

  file(id: string): StoredFile | null {
    return this.#shelf.files.get(id);
  }

  /** A part of a file's content, and where to read on; null when there is no such file. */
  content(id: string, from: Place, aboutBytes: number): { bytes: Uint8Array; next: Place | null } | null {
    const { files } = this.#shelf;
    return files.get(id) === null ? null : files.content(id, from, aboutBytes);
  }

  removeFile(id: string): "removed" | "unknown" | "in_use" {
    if (this.#shelf.files.get(id) === null) return "unknown";
    if (this.#shelf.isInUse(id)) return "in_use";
    this.#shelf.files.remove(id);
    return "removed";
  }

  /** @param parallel how many of its lines may be run at once */
  async addBatch(order: Order, parallel: number): Promise<Ordered | "no_file" | "full"> {
    const ordered = this.#shelf.order(order, parallel, Date.now());
    await this.#arm();
    return ordered;
  }

  /** Newest first; null when there is none to begin behind. */
  batches(after: string | null, count: number): Ordered[] | null {
    return this.#shelf.batches.page(after, count);
  }

  batch(id: string): Ordered | null {
    return this.#shelf.batches.get(id);
  }

  async cancel(id: string): Promise<Ordered | "unknown" | "too_late"> {
    const known = this.#shelf.batches.get(id);
    if (known === null) return "unknown";
    const batch = cancelled(known.batch, Date.now());
    if (batch === null) return known.batch.status === "cancelling" ? known : "too_late";
    this.#shelf.put(id, batch);
    await this.#arm();
    return { ...known, batch };
  }

  /** Hands out a line to run; null when there is none to be run now. */
  async claim(id: string): Promise<HandedOut | null> {
    const line = this.#shelf.claim(id, Date.now());
    if (line !== null) await this.#arm();
    return line;
  }

  /** The holder of a line lives. @returns false when it had better stop */
  renew(id: string, line: number, requestId: string): boolean {
    const known = this.#shelf.batches.get(id);
    const batch = known === null ? null : renewed(known.batch, line, requestId, Date.now());
    if (batch !== null) this.#shelf.put(id, batch);
    return batch !== null;
  }

  /** Takes the result of a line. Safe to repeat. */
  async report(id: string, line: number, requestId: string, answered: Answered): Promise<void> {
    this.#shelf.take(id, line, requestId, answered, Date.now());
    await this.#arm();
  }

  /** Whoever was called stops. @param hasMore whether it might have gone on */
  async rest(id: string, hasMore: boolean): Promise<void> {
    const known = this.#shelf.batches.get(id);
    if (known === null || isOver(known.batch)) return;
    this.#shelf.put(id, rested(known.batch, hasMore, Date.now()));
    await this.#arm();
  }

  /** Never throws: the platform drops an alarm after six failures. */
  override async alarm(): Promise<void> {
    let notBeforeMs = 0;
    const attempt = async (batch: string | null, work: () => Promise<void> | void): Promise<void> => {
      try {
        await work();
      } catch (cause) {
        console.error(JSON.stringify({ at: "batches.alarm", batch, cause: String(cause) }));
        notBeforeMs = Date.now() + RETRY_MS;
      }
    };
    for (const { order } of this.#shelf.batches.open()) await attempt(order.id, () => this.#look(order));
    await attempt(null, () => this.#shelf.sweep(Date.now()));
    await this.#arm(notBeforeMs);
  }

  /** Whatever is due of one batch. A message that cannot be sent is sent later. */
  async #look(order: Order): Promise<void> {
    const nowMs = Date.now();
    const batch = this.#shelf.upkeep(order, nowMs);
    if (batch === null || !callsNow(batch, nowMs)) return;
    this.#shelf.put(order.id, called(batch, nowMs));
    await this.env.BATCH_CALLS.send({ v: 1, account: this.ctx.id.toString(), batch: order.id });
  }

  /** Sets the alarm for whatever comes first. */
  async #arm(notBeforeMs = 0): Promise<void> {
    const dueMs = this.#shelf.nextDueMs();
    if (dueMs === null) return;
    const atMs = Math.max(Date.now(), notBeforeMs, dueMs);
    const setMs = await this.ctx.storage.getAlarm();
    // One that comes too early looks again: it costs less than to put it off with every line.
    if (setMs === null || atMs < setMs) await this.ctx.storage.setAlarm(atMs);
  }
}
