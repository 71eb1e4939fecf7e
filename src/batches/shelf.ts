/**
 * One account's files and batches together: what an event of a batch does to its lines and its files. Synchronous, so
 * that whatever one call changes is written in one go; the clock is an argument. Calls nobody.
 */
import { openAiError, Problem } from "#src/problem.ts";
import { uuidv7 } from "#src/uuid.ts";
import {
  type Batch,
  endingOf,
  newBatch,
  over,
  pausedModels,
  reported,
  silent,
  started,
  stopped,
  validated,
  wakeAtMs,
} from "./batch.ts";
import { BatchStore, type Order, type Ordered } from "./batch-store.ts";
import { FileStore } from "./file-store.ts";
import { checkFile } from "./input-file.ts";
import { isError, readLine } from "./input-line.ts";
import { type Answered, LARGEST_RESULT, ranLine, UNRUN, unrunLine } from "./result-line.ts";
import type { HandedOut } from "./slice.ts";

/** After the end of its batch content is kept for so long, and an input file that no batch asks for as long. */
export const KEPT_MS = 7 * 86_400_000;
/** Batches of one account that are not over. */
const MOST_OPEN = 20;
const HOLDER_DIED: Answered = {
  outcome: { kind: "faltered" },
  status: 500,
  body: JSON.stringify(openAiError(new Problem("internal_error"))),
};
const TOO_LARGE = { code: "result_too_large", message: `The answer is larger than ${LARGEST_RESULT} bytes.` };
/** A result that cannot be kept is not asked for: its tokens would be spent again and again. */
const STORAGE_FULL = { code: "storage_full", message: "There is no room for more results. Delete files." };

export class Shelf {
  readonly files: FileStore;
  readonly batches: BatchStore;

  constructor(sql: SqlStorage) {
    this.files = new FileStore(sql);
    this.batches = new BatchStore(sql);
  }

  /** Takes an order. @param parallel how many of its lines may be run at once */
  order(order: Order, parallel: number, nowMs: number): Ordered | "no_file" | "full" {
    if (this.files.get(order.inputFileId)?.purpose !== "batch") return "no_file";
    if (this.batches.open().length >= MOST_OPEN || this.batches.isFull() || this.files.isFull(0)) return "full";
    const batch = newBatch(parallel, nowMs);
    this.files.expire(order.inputFileId, null);
    for (const [id, name] of [
      [order.outputFileId, "output"],
      [order.errorFileId, "error"],
    ] as const) {
      const made = { createdAtMs: nowMs, expiresAtMs: null };
      this.files.create({ id, filename: `${order.id}_${name}.jsonl`, purpose: "batch_output", ...made }, false);
    }
    this.batches.add(order, batch, wakeAtMs(batch) ?? 0);
    return { order, batch };
  }

  /** Hands out a line to run; null when there is none to be run now. */
  claim(id: string, nowMs: number): HandedOut | null {
    const known = this.batches.get(id);
    const paused = known === null ? null : pausedModels(known.batch, nowMs);
    if (known === null || paused === null) return null;
    const { order, batch } = known;
    if (!this.files.hasRoom(LARGEST_RESULT)) {
      this.put(id, stopped(batch, STORAGE_FULL, nowMs));
      return null;
    }
    for (const { line, model } of this.batches.waiting(id)) {
      if (batch.running[line] !== undefined || paused.includes(model)) continue;
      const requestId = uuidv7(nowMs);
      this.put(id, started(batch, line, { requestId, model }, nowMs));
      const { endpoint, principal, signedBy, residency } = order;
      const asked = { endpoint, principal, signedBy, residency, body: this.#bodyOf(order, line) };
      return { batch: id, line, requestId, startedAtMs: nowMs, ...asked };
    }
    return null;
  }

  /** Takes what came of a run. Safe to repeat. */
  take(id: string, line: number, requestId: string, answered: Answered, nowMs: number): void {
    const known = this.batches.get(id);
    const before = this.batches.line(id, line);
    if (known === null || before === null) return;
    const isTooLarge = answered.body.length > LARGEST_RESULT;
    const outcome = isTooLarge ? ({ kind: "failed" } as const) : answered.outcome;
    const after = reported(known.batch, line, before, requestId, outcome, nowMs);
    if (after.line.how !== null && before.how === null) {
      const { customId } = before;
      const text = isTooLarge ? unrunLine(customId, requestId, TOO_LARGE) : ranLine(customId, requestId, answered);
      const { outputFileId, errorFileId } = known.order;
      this.files.append(after.line.how === "completed" ? outputFileId : errorFileId, new TextEncoder().encode(text));
    }
    this.batches.putLine(id, line, after.line);
    this.put(id, after.batch);
  }

  /** Does what time has made due of a batch: reads its file, gives up the dead, ends it. @returns it as it is then */
  upkeep({ id }: Order, nowMs: number): Batch | null {
    const known = this.batches.get(id);
    if (known === null) return null;
    if (known.batch.status === "validating") this.#validate(known, nowMs);
    for (const { line, run } of silent(known.batch, nowMs)) this.take(id, line, run.requestId, HOLDER_DIED, nowMs);
    const now = this.batches.get(id);
    const how = now === null ? null : endingOf(now.batch, nowMs);
    if (now !== null && how !== null) this.#end(now, how, nowMs);
    return this.batches.get(id)?.batch ?? null;
  }

  /** Whether a batch that is not over reads this file. @param except the id of one that does not count */
  isInUse(file: string, except = ""): boolean {
    return this.batches.open().some(({ order }) => order.inputFileId === file && order.id !== except);
  }

  put(id: string, batch: Batch): void {
    this.batches.put(id, batch, wakeAtMs(batch));
  }

  /** Deletes what was kept for long enough. */
  sweep(nowMs: number): void {
    this.files.sweep(nowMs);
    this.batches.sweep(nowMs);
  }

  /** When something is due, ms since the epoch; null when nothing will be. */
  nextDueMs(): number | null {
    const due = [this.batches.nextWakeMs(), this.files.nextExpiryMs()].filter((atMs) => atMs !== null);
    return due.length === 0 ? null : Math.min(...due);
  }

  #validate({ order, batch }: Ordered, nowMs: number): void {
    const { id, inputFileId, endpoint } = order;
    const { lines, errors } = checkFile((line) => this.files.line(inputFileId, line), endpoint);
    this.put(id, validated(batch, lines.length, errors, nowMs));
    if (errors.length > 0) this.#close(order, nowMs);
    else for (const line of lines) this.batches.addLine(id, line);
  }

  /** The end: what was not run says so, and results are shown. */
  #end({ order, batch }: Ordered, how: keyof typeof UNRUN, nowMs: number): void {
    const reason = UNRUN[how];
    if (reason !== null) {
      const unrun = [...this.batches.waiting(order.id)].map(({ customId }) =>
        unrunLine(customId, uuidv7(nowMs), reason),
      );
      this.files.append(order.errorFileId, new TextEncoder().encode(unrun.join("")));
    }
    this.put(order.id, over(batch, how, nowMs));
    this.#close(order, nowMs);
  }

  /** Shows the files of a batch that is over, until all of it is deleted. */
  #close({ id, inputFileId, outputFileId, errorFileId }: Order, nowMs: number): void {
    const expiresAtMs = nowMs + KEPT_MS;
    this.batches.close(id, expiresAtMs);
    for (const file of [outputFileId, errorFileId]) {
      if (this.files.sizeOf(file) === 0) this.files.remove(file);
      else {
        this.files.show(file);
        this.files.expire(file, expiresAtMs);
      }
    }
    if (!this.isInUse(inputFileId, id)) this.files.expire(inputFileId, expiresAtMs);
  }

  #bodyOf({ inputFileId, endpoint }: Order, line: number): string {
    const bytes = this.files.line(inputFileId, line) ?? new Uint8Array(0);
    const read = readLine(new TextDecoder().decode(bytes).trim(), line, endpoint);
    if (isError(read)) throw new Error(`line ${line} of ${inputFileId} was checked and is wrong`);
    return read.body;
  }
}
