/**
 * One account's files and batches: a thin shell over `batch.ts` and two stores. It hands lines out to whoever the queue
 * calls, takes their results, and looks after the rest by alarm: files to check, holders that fell silent, messages that
 * were lost, the end of the 24 hours, and content that is kept long enough.
 *
 * What one call changes is written in one go, since nothing is awaited in between.
 */
import { DurableObject } from "cloudflare:workers";
import { v7 as uuidv7 } from "uuid";
import type { Env } from "#src/env.ts";
import { openAiError, Problem } from "#src/problem.ts";
import {
  type Batch,
  called,
  callsNow,
  cancelled,
  endingOf,
  isOver,
  newBatch,
  over,
  pausedModels,
  renewed,
  reported,
  rested,
  silent,
  started,
  validated,
  wakeAtMs,
} from "./batch.ts";
import { BatchStore, type Order, type Ordered } from "./batch-store.ts";
import { FileStore, type Place, type StoredFile } from "./file-store.ts";
import { checkFile } from "./input-file.ts";
import { isError, readLine } from "./input-line.ts";
import { type Answered, LARGEST_RESULT, ranLine, UNRUN, unrunLine } from "./result-line.ts";
import type { HandedOut } from "./slice.ts";

/** After the end of its batch content is kept for so long, and an input file that no batch asks for as long. */
export const KEPT_MS = 7 * 86_400_000;
/** Batches of one account that are not over. */
const MOST_OPEN = 20;
/** What an alarm could not do is tried again. */
const RETRY_MS = 10_000;
const HOLDER_DIED: Answered = {
  outcome: { kind: "faltered" },
  status: 500,
  body: JSON.stringify(openAiError(new Problem("internal_error"))),
};
const TOO_LARGE = { code: "result_too_large", message: `The answer is larger than ${LARGEST_RESULT} bytes.` };

/** A message of the queue `batches`: it only says that a batch may have lines to run. */
export type BatchCall = { readonly v: 1; readonly account: string; readonly batch: string };

export class Batches extends DurableObject<Env> {
  readonly #files: FileStore;
  readonly #batches: BatchStore;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#files = new FileStore(ctx.storage.sql);
    this.#batches = new BatchStore(ctx.storage.sql);
  }

  /** Keeps an input file. @returns null when the account keeps as much as it may */
  async addFile(file: Pick<StoredFile, "id" | "filename">, bytes: Uint8Array): Promise<StoredFile | null> {
    if (this.#files.isFull(bytes.byteLength)) return null;
    const createdAtMs = Date.now();
    this.#files.create({ ...file, purpose: "batch", createdAtMs, expiresAtMs: createdAtMs + KEPT_MS }, true);
    this.#files.append(file.id, bytes);
    await this.#arm();
    return this.#files.get(file.id);
  }

  /** Oldest first. */
  files(): StoredFile[] {
    return this.#files.all();
  }

  file(id: string): StoredFile | null {
    return this.#files.get(id);
  }

  /** A part of a file's content, and where to read on; null when there is no such file. */
  content(id: string, from: Place, aboutBytes: number): { bytes: Uint8Array; next: Place | null } | null {
    return this.#files.get(id) === null ? null : this.#files.content(id, from, aboutBytes);
  }

  removeFile(id: string): "removed" | "unknown" | "in_use" {
    if (this.#files.get(id) === null) return "unknown";
    if (this.#isInUse(id)) return "in_use";
    this.#files.remove(id);
    return "removed";
  }

  /** @param parallel how many of its lines may be run at once */
  async addBatch(order: Order, parallel: number): Promise<Ordered | "no_file" | "full"> {
    if (this.#files.get(order.inputFileId)?.purpose !== "batch") return "no_file";
    if (this.#batches.open().length >= MOST_OPEN || this.#files.isFull(0)) return "full";
    const batch = newBatch(parallel, Date.now());
    this.#files.expire(order.inputFileId, null);
    for (const [id, name] of [
      [order.outputFileId, "output"],
      [order.errorFileId, "error"],
    ] as const) {
      const made = { createdAtMs: Date.now(), expiresAtMs: null };
      this.#files.create({ id, filename: `${order.id}_${name}.jsonl`, purpose: "batch_output", ...made }, false);
    }
    this.#batches.add(order, batch, wakeAtMs(batch) ?? 0);
    await this.#arm();
    return { order, batch };
  }

  /** Oldest first. */
  batches(): Ordered[] {
    return this.#batches.all();
  }

  batch(id: string): Ordered | null {
    return this.#batches.get(id);
  }

  async cancel(id: string): Promise<Ordered | "unknown" | "too_late"> {
    const known = this.#batches.get(id);
    if (known === null) return "unknown";
    const batch = cancelled(known.batch, Date.now());
    if (batch === null) return known.batch.status === "cancelling" ? known : "too_late";
    this.#put(id, batch);
    await this.#arm();
    return { ...known, batch };
  }

  /** Hands out a line to run; null when there is none to be run now. */
  async claim(id: string): Promise<HandedOut | null> {
    const known = this.#batches.get(id);
    if (known === null) return null;
    const { order, batch } = known;
    const startedAtMs = Date.now();
    const paused = pausedModels(batch, startedAtMs);
    if (paused === null) return null;
    for (const { line, model } of this.#batches.waiting(id)) {
      if (batch.running[line] !== undefined || paused.includes(model)) continue;
      const requestId = uuidv7({ msecs: startedAtMs });
      this.#put(id, started(batch, line, { requestId, model }, startedAtMs));
      await this.#arm();
      return { batch: id, line, requestId, startedAtMs, ...order, body: this.#bodyOf(order, line) };
    }
    return null;
  }

  /** The holder of a line lives. @returns false when it had better stop */
  renew(id: string, line: number, requestId: string): boolean {
    const known = this.#batches.get(id);
    const batch = known === null ? null : renewed(known.batch, line, requestId, Date.now());
    if (batch !== null) this.#put(id, batch);
    return batch !== null;
  }

  /** Takes the result of a line. Safe to repeat. */
  async report(id: string, line: number, requestId: string, answered: Answered): Promise<void> {
    this.#take(id, line, requestId, answered, Date.now());
    await this.#arm();
  }

  /** Whoever was called stops. @param hasMore whether it might have gone on */
  async rest(id: string, hasMore: boolean): Promise<void> {
    const known = this.#batches.get(id);
    if (known === null || isOver(known.batch)) return;
    this.#put(id, rested(known.batch, hasMore, Date.now()));
    await this.#arm();
  }

  /** Never throws: the platform drops an alarm after six failures. */
  override async alarm(): Promise<void> {
    let soonestMs = 0;
    for (const { order } of this.#batches.open()) {
      try {
        await this.#look(order);
      } catch (cause) {
        console.error(JSON.stringify({ at: "batches.alarm", batch: order.id, cause: String(cause) }));
        soonestMs = Date.now() + RETRY_MS;
      }
    }
    this.#files.sweep(Date.now());
    this.#batches.sweep(Date.now());
    await this.#arm(soonestMs);
  }

  /** Whatever is due of one batch. */
  async #look(order: Order): Promise<void> {
    const nowMs = Date.now();
    const { id } = order;
    const batchNow = (): Batch | undefined => this.#batches.get(id)?.batch;
    if (batchNow()?.status === "validating") this.#validate(order, nowMs);
    const before = batchNow();
    if (before === undefined) return;
    for (const { line, run } of silent(before, nowMs)) this.#take(id, line, run.requestId, HOLDER_DIED, nowMs);
    const batch = batchNow() ?? before;
    const how = endingOf(batch, nowMs);
    if (how !== null) this.#end(order, batch, how, nowMs);
    else if (callsNow(batch, nowMs)) {
      this.#put(id, called(batch, nowMs));
      await this.env.BATCH_CALLS.send({ v: 1, account: this.ctx.id.toString(), batch: id }).catch((cause: unknown) => {
        console.error(JSON.stringify({ at: "batches.call", batch: id, cause: String(cause) }));
        const now = batchNow();
        if (now !== undefined) this.#put(id, rested(now, false, Date.now()));
      });
    }
  }

  #validate(order: Order, nowMs: number): void {
    const { id, inputFileId, endpoint } = order;
    const known = this.#batches.get(id);
    if (known === null) return;
    const { lines, errors } = checkFile((line) => this.#files.line(inputFileId, line), endpoint);
    const batch = validated(known.batch, lines.length, errors, nowMs);
    if (errors.length === 0) for (const line of lines) this.#batches.addLine(id, line);
    else this.#shelve(order, nowMs);
    this.#put(id, batch);
  }

  #take(id: string, line: number, requestId: string, answered: Answered, nowMs: number): void {
    const known = this.#batches.get(id);
    const before = this.#batches.line(id, line);
    if (known === null || before === null) return;
    const isTooLarge = answered.body.length > LARGEST_RESULT;
    const outcome = isTooLarge ? ({ kind: "failed" } as const) : answered.outcome;
    const after = reported(known.batch, line, before, requestId, outcome, nowMs);
    if (after.line.how !== null && before.how === null) {
      const { customId } = before;
      const text = isTooLarge ? unrunLine(customId, requestId, TOO_LARGE) : ranLine(customId, requestId, answered);
      const { outputFileId, errorFileId } = known.order;
      this.#files.append(after.line.how === "completed" ? outputFileId : errorFileId, new TextEncoder().encode(text));
    }
    this.#batches.putLine(id, line, after.line);
    this.#put(id, after.batch);
  }

  /** The end: what was not run says so, and results are shown. */
  #end(order: Order, batch: Batch, how: keyof typeof UNRUN, nowMs: number): void {
    const reason = UNRUN[how];
    if (reason !== null) {
      const unrun = [...this.#batches.waiting(order.id)].map(({ customId }) => unrunLine(customId, uuidv7(), reason));
      this.#files.append(order.errorFileId, new TextEncoder().encode(unrun.join("")));
    }
    this.#put(order.id, over(batch, how, nowMs));
    this.#shelve(order, nowMs);
  }

  /** Shows the files of a batch that is over, until all of it is deleted. */
  #shelve({ id, inputFileId, outputFileId, errorFileId }: Order, nowMs: number): void {
    const expiresAtMs = nowMs + KEPT_MS;
    this.#batches.close(id, expiresAtMs);
    for (const file of [outputFileId, errorFileId]) {
      if (this.#files.sizeOf(file) === 0) this.#files.remove(file);
      else {
        this.#files.show(file);
        this.#files.expire(file, expiresAtMs);
      }
    }
    if (!this.#isInUse(inputFileId, id)) this.#files.expire(inputFileId, expiresAtMs);
  }

  #isInUse(file: string, except = ""): boolean {
    return this.#batches.open().some(({ order }) => order.inputFileId === file && order.id !== except);
  }

  #bodyOf({ inputFileId, endpoint }: Order, line: number): string {
    const bytes = this.#files.line(inputFileId, line) ?? new Uint8Array(0);
    const read = readLine(new TextDecoder().decode(bytes).trim(), line, endpoint);
    if (isError(read)) throw new Error(`line ${line} of ${inputFileId} was checked and is wrong`);
    return read.body;
  }

  #put(id: string, batch: Batch): void {
    this.#batches.put(id, batch, wakeAtMs(batch));
  }

  /** Sets the alarm for whatever comes first. */
  async #arm(notBeforeMs = 0): Promise<void> {
    const due = [this.#batches.nextWakeMs(), this.#files.nextExpiryMs()].filter((atMs) => atMs !== null);
    if (due.length === 0) return;
    const atMs = Math.max(Date.now(), notBeforeMs, Math.min(...due));
    if ((await this.ctx.storage.getAlarm()) !== atMs) await this.ctx.storage.setAlarm(atMs);
  }
}
