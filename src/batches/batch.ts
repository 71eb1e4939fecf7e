/**
 * What becomes of a batch of requests: which state it is in, which of its lines are being run, and what one event makes
 * of that. Pure: the clock is an argument. What the lines say lies elsewhere.
 *
 * A line is handed out to one holder at a time and ends once. A holder that falls silent loses it, and it is tried again;
 * what comes back of a line that has ended, or of a batch that is over, changes nothing.
 */

export type Status =
  | "validating"
  | "failed"
  | "in_progress"
  | "finalizing"
  | "completed"
  | "expired"
  | "cancelling"
  | "cancelled";
type Over = "failed" | "completed" | "expired" | "cancelled";

/** OpenAI's completion window, the only one there is: `24h`. */
export const WINDOW_MS = 86_400_000;
/** A holder says every 10 s that it lives (`slice.ts`): one that missed six of these is dead. */
export const HOLDER_SILENT_MS = 60_000;
/** Somebody has been called, and nobody has come: the message was lost. */
const LOST_AFTER_MS = 60_000;
/** No line may be run at the moment: a look after so long costs little. */
const IDLE_MS = 5_000;
/** A line that hosts fail at is given up after so many tries. */
export const MAX_TRIES = 3;
/** Refused lines are tried again after this long, doubled with each refusal in a row. */
const PAUSE_MS = { first: 1_000, longest: 60_000 };
/** What a whole account has to wait for. */
const EVERY_MODEL = "";

export type LineError = {
  readonly code: string;
  readonly message: string;
  readonly param: string | null;
  /** In the input file, from 1; null when it is about all of it. */
  readonly line: number | null;
};

/** A line that somebody runs at the moment. */
export type Run = { readonly requestId: string; readonly model: string; readonly heardAtMs: number };
type Pause = { readonly untilMs: number; readonly times: number };

export type Batch = {
  readonly status: Status;
  /** When each status began, ms since the epoch. */
  readonly sinceMs: Readonly<Partial<Record<Status, number>>> & { readonly validating: number };
  readonly total: number;
  readonly completed: number;
  readonly failed: number;
  /** How many lines may be run at once. */
  readonly parallel: number;
  /** By the line's number. */
  readonly running: Readonly<Record<string, Run>>;
  /** Models that had no room, and "" for the account's own limits. */
  readonly pauses: Readonly<Record<string, Pause>>;
  /** When somebody is to be called to run lines. */
  readonly callAtMs: number;
  /** Why it failed, or was stopped. */
  readonly errors: readonly LineError[];
};

/** One line, as far as its fate goes. */
export type Line = {
  /** Runs that hosts failed at, or whose holder died. */
  readonly tries: number;
  readonly how: "completed" | "failed" | null;
};

/** What came of a run. */
export type Outcome =
  | { readonly kind: "completed" }
  /** The request itself is wrong. */
  | { readonly kind: "failed" }
  /** A host or the gateway failed: worth another try. */
  | { readonly kind: "faltered" }
  /** No room for it now: nothing was done, and it is no try. */
  | { readonly kind: "refused"; readonly by: "account" | "model"; readonly retryAfterMs: number }
  /** Its caller may not ask any more: nothing else is run. */
  | { readonly kind: "stopped" };

export function newBatch(parallel: number, nowMs: number): Batch {
  return {
    status: "validating",
    sinceMs: { validating: nowMs },
    total: 0,
    completed: 0,
    failed: 0,
    parallel,
    running: {},
    pauses: {},
    callAtMs: nowMs,
    errors: [],
  };
}

export function isOver({ status }: Batch): boolean {
  return status === "failed" || status === "completed" || status === "expired" || status === "cancelled";
}

/** Its file has been read: so many lines, or what is wrong with them. */
export function validated(batch: Batch, total: number, errors: readonly LineError[], nowMs: number): Batch {
  if (batch.status !== "validating") return batch;
  if (errors.length > 0) return { ...entered(batch, "failed", nowMs), errors };
  return { ...entered(batch, "in_progress", nowMs), total, callAtMs: nowMs };
}

/** Lines that nobody runs and that have not ended. */
export function waitingOf({ total, completed, failed, running }: Batch): number {
  return total - completed - failed - Object.keys(running).length;
}

/** Which lines may be handed out now: those of all models but these; null for none at all. */
export function pausedModels(batch: Batch, nowMs: number): readonly string[] | null {
  if (!hasWork(batch) || nowMs >= expiresAtMs(batch)) return null;
  const paused = Object.keys(batch.pauses).filter((model) => (batch.pauses[model]?.untilMs ?? 0) > nowMs);
  return paused.includes(EVERY_MODEL) ? null : paused;
}

/** A line is handed out. */
export function started(batch: Batch, line: number, run: Omit<Run, "heardAtMs">, nowMs: number): Batch {
  const running = { ...batch.running, [line]: { ...run, heardAtMs: nowMs } };
  return { ...batch, running, callAtMs: nowMs + LOST_AFTER_MS };
}

/** The holder of a line lives. @returns null when the line is not its own any more: it had better stop */
export function renewed(batch: Batch, line: number, requestId: string, nowMs: number): Batch | null {
  const run = batch.running[line];
  if (isOver(batch) || run?.requestId !== requestId) return null;
  return { ...batch, running: { ...batch.running, [line]: { ...run, heardAtMs: nowMs } } };
}

/**
 * A run has ended.
 *
 * @param line its number
 * @param before what was known of it
 * @returns both as they are now; the line has ended when its `how` is not null
 */
export function reported(
  batch: Batch,
  line: number,
  before: Line,
  requestId: string,
  outcome: Outcome,
  nowMs: number,
): { readonly batch: Batch; readonly line: Line } {
  const run = batch.running[line];
  if (isOver(batch) || before.how !== null) return { batch, line: before };
  if (outcome.kind === "completed" || outcome.kind === "failed") return ended(batch, line, before, outcome.kind, nowMs);
  // Somebody else runs it by now, or has put it back.
  if (run?.requestId !== requestId) return { batch, line: before };
  if (outcome.kind === "stopped") {
    const halted = stopped(
      batch,
      { code: "invalid_api_key", message: "What it was ordered with no longer holds." },
      nowMs,
    );
    return { batch: { ...halted, running: without(batch.running, line) }, line: before };
  }
  const tries = before.tries + (outcome.kind === "faltered" ? 1 : 0);
  if (tries >= MAX_TRIES) return ended(batch, line, { tries, how: null }, "failed", nowMs);
  const whose = outcome.kind === "refused" && outcome.by === "account" ? EVERY_MODEL : run.model;
  const retryAfterMs = outcome.kind === "refused" ? outcome.retryAfterMs : 0;
  // Lines that were refused at once were refused once.
  const last = batch.pauses[whose] ?? { untilMs: 0, times: 0 };
  const times = last.untilMs > nowMs ? last.times : last.times + 1;
  const doubledMs = PAUSE_MS.first * 2 ** Math.min(times - 1, 10);
  const untilMs = Math.max(last.untilMs, nowMs + Math.min(PAUSE_MS.longest, Math.max(retryAfterMs, doubledMs)));
  const pauses = { ...batch.pauses, [whose]: { untilMs, times } };
  return { batch: { ...batch, running: without(batch.running, line), pauses }, line: { tries, how: null } };
}

/** Runs whose holders fell silent, each with its line's number. */
export function silent({ running }: Batch, nowMs: number): readonly { readonly line: number; readonly run: Run }[] {
  return Object.entries(running)
    .filter(([, { heardAtMs }]) => Math.abs(nowMs - heardAtMs) >= HOLDER_SILENT_MS)
    .map(([line, run]) => ({ line: Number(line), run }));
}

/** Somebody has run lines for a while, and stops. @param hasMore whether it might have gone on */
export function rested(batch: Batch, hasMore: boolean, nowMs: number): Batch {
  if (hasMore) return { ...batch, callAtMs: nowMs };
  const pausedUntilMs = Object.values(batch.pauses)
    .map(({ untilMs }) => untilMs)
    .filter((untilMs) => untilMs > nowMs);
  return { ...batch, callAtMs: Math.min(nowMs + IDLE_MS, ...pausedUntilMs) };
}

/** Whether somebody is to be called now. */
export function callsNow(batch: Batch, nowMs: number): boolean {
  return hasWork(batch) && nowMs >= batch.callAtMs;
}

/** Somebody has been called. */
export function called(batch: Batch, nowMs: number): Batch {
  return { ...batch, callAtMs: nowMs + LOST_AFTER_MS };
}

/** Its caller wants no more of it. Lines that are running finish. @returns null when it is too late for that */
export function cancelled(batch: Batch, nowMs: number): Batch | null {
  if (batch.status !== "validating" && batch.status !== "in_progress") return null;
  return entered(batch, "cancelling", nowMs);
}

/** Nothing else of it can be run. @param why for its caller, who did not ask for that */
export function stopped(batch: Batch, why: Pick<LineError, "code" | "message">, nowMs: number): Batch {
  return { ...(cancelled(batch, nowMs) ?? batch), errors: [{ ...why, param: null, line: null }] };
}

/** How a batch is to end now; null while it goes on. */
export function endingOf(batch: Batch, nowMs: number): Exclude<Over, "failed"> | null {
  if (batch.status === "finalizing") return "completed";
  if (batch.status === "cancelling") return Object.keys(batch.running).length === 0 ? "cancelled" : null;
  return !isOver(batch) && nowMs >= expiresAtMs(batch) ? "expired" : null;
}

/** It has ended. What was not run by then has failed: the error file says so of each line. */
export function over(batch: Batch, how: Exclude<Over, "failed">, nowMs: number): Batch {
  const failed = batch.total - batch.completed;
  return { ...entered(batch, how, nowMs), failed, running: {}, pauses: {} };
}

/** When it has to be looked at again, ms since the epoch; null when never. */
export function wakeAtMs(batch: Batch): number | null {
  if (isOver(batch)) return null;
  if (batch.status === "validating" || endingOf(batch, 0) !== null) return 0;
  const silentAtMs = Object.values(batch.running).map(({ heardAtMs }) => heardAtMs + HOLDER_SILENT_MS);
  return Math.min(expiresAtMs(batch), ...silentAtMs, ...(hasWork(batch) ? [batch.callAtMs] : []));
}

export function expiresAtMs({ sinceMs }: Batch): number {
  return sinceMs.validating + WINDOW_MS;
}

function ended(
  batch: Batch,
  line: number,
  { tries }: Line,
  how: "completed" | "failed",
  nowMs: number,
): { batch: Batch; line: Line } {
  const { model = EVERY_MODEL } = batch.running[line] ?? {};
  const pauses = without(without(batch.pauses, model), EVERY_MODEL);
  const counted = { ...batch, [how]: batch[how] + 1, running: without(batch.running, line), pauses };
  const isLast = counted.completed + counted.failed === counted.total;
  const after = isLast && batch.status === "in_progress" ? entered(counted, "finalizing", nowMs) : counted;
  return { batch: after, line: { tries, how } };
}

/** One line more could be run, but for pauses. */
function hasWork(batch: Batch): boolean {
  return batch.status === "in_progress" && waitingOf(batch) > 0 && Object.keys(batch.running).length < batch.parallel;
}

function entered(batch: Batch, status: Status, nowMs: number): Batch {
  return { ...batch, status, sinceMs: { ...batch.sinceMs, [status]: nowMs } };
}

function without<T>(record: Readonly<Record<string, T>>, name: string | number): Readonly<Record<string, T>> {
  const { [name]: _gone, ...rest } = record;
  return rest;
}
