import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Batch,
  called,
  callsNow,
  cancelled,
  endingOf,
  HOLDER_SILENT_MS,
  isOver,
  type Line,
  MAX_TRIES,
  newBatch,
  type Outcome,
  over,
  pausedModels,
  renewed,
  reported,
  rested,
  silent,
  started,
  validated,
  WINDOW_MS,
  waitingOf,
  wakeAtMs,
} from "#src/batches/batch.ts";

const NOW_MS = 1_790_000_000_000;
const FRESH: Line = { tries: 0, how: null };
const MANY = 8;
const busy = (by: "account" | "model", retryAfterMs = 0): Outcome => ({ kind: "refused", by, retryAfterMs });

/** A batch of so many lines that has just begun. */
const begun = (total: number): Batch => validated(newBatch(MANY, NOW_MS), total, [], NOW_MS);
const running = (batch: Batch, line: number, model = "m", nowMs = NOW_MS): Batch =>
  started(batch, line, { requestId: `r${line}`, model }, nowMs);
const told = (batch: Batch, line: number, outcome: Outcome, before = FRESH, nowMs = NOW_MS) =>
  reported(batch, line, before, `r${line}`, outcome, nowMs);
const ERROR = { code: "invalid_json_line", message: "", param: null, line: 1 };

describe("from status to status", () => {
  const cases: { name: string; batch: Batch; is: Partial<Batch> }[] = [
    { name: "new", batch: newBatch(MANY, NOW_MS), is: { status: "validating", total: 0 } },
    { name: "a good file", batch: begun(3), is: { status: "in_progress", total: 3 } },
    {
      name: "a bad file",
      batch: validated(newBatch(MANY, NOW_MS), 2, [ERROR], NOW_MS),
      is: { status: "failed", total: 0, errors: [ERROR] },
    },
    {
      name: "a line of two has ended",
      batch: told(running(begun(2), 1), 1, { kind: "completed" }).batch,
      is: { status: "in_progress", completed: 1, running: {} },
    },
    {
      name: "the last line has ended",
      batch: told(running(begun(1), 1), 1, { kind: "failed" }).batch,
      is: { status: "finalizing", failed: 1 },
    },
    {
      name: "everything has ended, and is written",
      batch: over(told(running(begun(1), 1), 1, { kind: "completed" }).batch, "completed", NOW_MS),
      is: { status: "completed", total: 1, completed: 1, failed: 0 },
    },
    {
      name: "cancelled while a line runs",
      batch: cancelled(running(begun(2), 1), NOW_MS) ?? begun(0),
      is: { status: "cancelling", running: { 1: { requestId: "r1", model: "m", heardAtMs: NOW_MS } } },
    },
    {
      name: "cancelled before its file was read",
      batch: validated(cancelled(newBatch(MANY, NOW_MS), NOW_MS) ?? begun(0), 2, [], NOW_MS),
      is: { status: "cancelling", total: 0 },
    },
    {
      name: "expired: what was not run has failed",
      batch: over(told(running(begun(3), 1), 1, { kind: "completed" }).batch, "expired", NOW_MS),
      is: { status: "expired", total: 3, completed: 1, failed: 2 },
    },
    {
      name: "its caller's key was revoked",
      batch: told(running(begun(2), 1), 1, { kind: "stopped" }).batch,
      is: { status: "cancelling", running: {}, errors: [expect.objectContaining({ code: "invalid_api_key" })] },
    },
  ];
  test.each(cases)("$name", ({ batch, is }) => {
    expect(batch).toMatchObject(is);
    expect(batch.running).toEqual(is.running ?? batch.running);
    expect(batch.sinceMs[batch.status]).toBe(NOW_MS);
  });

  test.each(["completed", "expired", "cancelled"] as const)("%s is the end: nothing changes it", (how) => {
    const end = over(running(begun(2), 1), how, NOW_MS);
    expect(isOver(end)).toBe(true);
    expect(cancelled(end, NOW_MS)).toBeNull();
    expect(told(end, 1, { kind: "completed" })).toEqual({ batch: end, line: FRESH });
    expect(renewed(end, 1, "r1", NOW_MS)).toBeNull();
    expect(pausedModels(end, NOW_MS)).toBeNull();
    expect([endingOf(end, NOW_MS + WINDOW_MS), wakeAtMs(end)]).toEqual([null, null]);
  });

  test.each<{ name: string; batch: Batch; atMs: number; how: string | null }>([
    { name: "in progress", batch: begun(1), atMs: NOW_MS, how: null },
    { name: "just before its time is over", batch: begun(1), atMs: NOW_MS + WINDOW_MS - 1, how: null },
    { name: "when its time is over", batch: begun(1), atMs: NOW_MS + WINDOW_MS, how: "expired" },
    {
      name: "never read, when its time is over",
      batch: newBatch(MANY, NOW_MS),
      atMs: NOW_MS + WINDOW_MS,
      how: "expired",
    },
    {
      name: "cancelled, a line runs",
      batch: cancelled(running(begun(1), 1), NOW_MS) ?? begun(1),
      atMs: NOW_MS,
      how: null,
    },
    { name: "cancelled, none runs", batch: cancelled(begun(1), NOW_MS) ?? begun(1), atMs: NOW_MS, how: "cancelled" },
  ])("$name: ends as $how", ({ batch, atMs, how }) => {
    expect(endingOf(batch, atMs)).toBe(how);
  });
});

describe("a line", () => {
  test("that a host fails at is tried again, three times in all", () => {
    let batch = begun(1);
    let line = FRESH;
    const tries: unknown[] = [];
    for (let nth = 0; nth < MAX_TRIES; nth++) {
      ({ batch, line } = told(running(batch, 1), 1, { kind: "faltered" }, line));
      tries.push([line.tries, line.how, batch.failed, batch.status]);
    }
    expect(tries).toEqual([
      [1, null, 0, "in_progress"],
      [2, null, 0, "in_progress"],
      [3, "failed", 1, "finalizing"],
    ]);
  });

  test("without room waits as often as it takes", () => {
    let batch = begun(1);
    for (let nth = 0; nth < 50; nth++) {
      const after = told(running(batch, 1), 1, busy("model"));
      expect(after.line).toEqual(FRESH);
      batch = after.batch;
    }
    expect(batch).toMatchObject({ status: "in_progress", failed: 0 });
  });

  test("that has ended has ended, whoever says what", () => {
    const { batch, line } = told(running(begun(2), 1), 1, { kind: "completed" });
    for (const kind of ["completed", "failed", "faltered", "stopped"] as const)
      expect(told(batch, 1, { kind }, line)).toEqual({ batch, line });
  });

  test("of a holder that was given up: its answer counts, its failure does not", () => {
    const other = started(begun(2), 1, { requestId: "later", model: "m" }, NOW_MS);
    for (const outcome of [{ kind: "faltered" }, { kind: "stopped" }, busy("model")] as const)
      expect(told(other, 1, outcome)).toEqual({ batch: other, line: FRESH });
    expect(told(other, 1, { kind: "completed" })).toMatchObject({
      batch: { completed: 1 },
      line: { how: "completed" },
    });
  });

  test("is its holder's until that has been silent for a minute", () => {
    const batch = running(begun(1), 1);
    expect(silent(batch, NOW_MS + HOLDER_SILENT_MS - 1)).toEqual([]);
    expect(silent(batch, NOW_MS + HOLDER_SILENT_MS)).toMatchObject([{ line: 1, run: { requestId: "r1" } }]);
    const heard = renewed(batch, 1, "r1", NOW_MS + 10_000);
    expect(silent(heard ?? batch, NOW_MS + HOLDER_SILENT_MS)).toEqual([]);
    expect(renewed(batch, 1, "another", NOW_MS)).toBeNull();
    expect(renewed(batch, 2, "r1", NOW_MS)).toBeNull();
  });
});

describe("who may be run", () => {
  const afterRefusal = (outcome: Outcome) => told(running(begun(3), 1), 1, outcome).batch;
  test.each<{ name: string; batch: Batch; atMs?: number; paused: readonly string[] | null }>([
    { name: "everyone", batch: begun(2), paused: [] },
    { name: "nobody before the file is read", batch: newBatch(MANY, NOW_MS), paused: null },
    { name: "nobody when all run", batch: running(begun(1), 1), paused: null },
    { name: "nobody when enough run", batch: running({ ...begun(3), parallel: 1 }, 1), paused: null },
    { name: "nobody after the time", batch: begun(2), atMs: WINDOW_MS, paused: null },
    { name: "nobody after it was cancelled", batch: cancelled(begun(2), NOW_MS) ?? begun(0), paused: null },
    { name: "all but a model without room", batch: afterRefusal(busy("model")), paused: ["m"] },
    { name: "everyone again, a second later", batch: afterRefusal(busy("model")), atMs: 1_000, paused: [] },
    { name: "nobody of an account at its limit", batch: afterRefusal(busy("account")), paused: null },
    { name: "as long as the limit says", batch: afterRefusal(busy("account", 9_000)), atMs: 8_999, paused: null },
    { name: "not longer than a minute", batch: afterRefusal(busy("account", 9e6)), atMs: 60_000, paused: [] },
    { name: "all but a model whose host failed", batch: afterRefusal({ kind: "faltered" }), paused: ["m"] },
  ])("$name", ({ batch, atMs = 0, paused }) => {
    expect(pausedModels(batch, NOW_MS + atMs)).toEqual(paused);
  });

  test("the pause doubles with each refusal, up to a minute, and an answer ends it", () => {
    let batch = begun(3);
    let nowMs = NOW_MS;
    const pauses: number[] = [];
    for (let nth = 0; nth < 8; nth++) {
      // Two lines at once: one refusal.
      for (const line of [1, 3]) ({ batch } = told(running(batch, line), line, busy("model"), FRESH, nowMs));
      const untilMs = batch.pauses.m?.untilMs ?? 0;
      pauses.push(untilMs - nowMs);
      nowMs = untilMs;
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    expect(told(running(batch, 2), 2, { kind: "completed" }).batch.pauses).toEqual({});
  });
});

describe("who is called when", () => {
  test.each<{ name: string; batch: Batch; inMs: number | null }>([
    { name: "a new one is looked at", batch: newBatch(MANY, NOW_MS), inMs: null },
    { name: "one that may run is called", batch: begun(1), inMs: 0 },
    { name: "called, and nobody came", batch: called(begun(1), NOW_MS), inMs: 60_000 },
    { name: "called, and a line was begun", batch: running(called(begun(2), NOW_MS), 1), inMs: 60_000 },
    { name: "as many run as may", batch: running({ ...begun(2), parallel: 1 }, 1), inMs: HOLDER_SILENT_MS },
    { name: "its only line runs: until its holder is silent", batch: running(begun(1), 1), inMs: HOLDER_SILENT_MS },
    { name: "time was up, and there is more", batch: rested(called(begun(1), NOW_MS), true, NOW_MS), inMs: 0 },
    { name: "nothing could be run", batch: rested(begun(1), false, NOW_MS), inMs: 5_000 },
    {
      name: "a model had no room for a second",
      batch: rested(told(running(begun(1), 1), 1, busy("model")).batch, false, NOW_MS),
      inMs: 1_000,
    },
    { name: "cancelled, and none runs", batch: cancelled(begun(1), NOW_MS) ?? begun(1), inMs: null },
  ])("$name", ({ batch, inMs }) => {
    expect(wakeAtMs(batch)).toBe(inMs === null ? 0 : NOW_MS + inMs);
    expect(callsNow(batch, NOW_MS)).toBe(inMs === 0);
  });
});

/** A world in which anything may be late, lost, said twice or said by the dead. */
class World {
  nowMs = NOW_MS;
  batch: Batch;
  readonly lines: Line[];
  /** How often each line ended. */
  readonly ends: number[];
  readonly #runs: { line: number; requestId: string }[] = [];
  #minted = 0;

  constructor(total: number) {
    this.batch = validated(newBatch(3, NOW_MS), total, [], NOW_MS);
    this.lines = Array.from({ length: total }, () => FRESH);
    this.ends = this.lines.map(() => 0);
  }

  claim(): void {
    const paused = pausedModels(this.batch, this.nowMs);
    const line = this.lines.findIndex(({ how }, at) => how === null && this.batch.running[at] === undefined);
    if (paused === null || line === -1 || paused.includes("m")) return;
    const requestId = `r${this.#minted++}`;
    this.#runs.push({ line, requestId });
    this.batch = started(this.batch, line, { requestId, model: "m" }, this.nowMs);
  }

  /** Any run there ever was says something, be it for the first time or not. */
  report(pick: number, outcome: Outcome): void {
    const run = this.#runs[pick % Math.max(1, this.#runs.length)];
    if (run !== undefined) this.take(run.line, run.requestId, outcome);
  }

  take(line: number, requestId: string, outcome: Outcome): void {
    const before = this.lines[line] ?? FRESH;
    const after = reported(this.batch, line, before, requestId, outcome, this.nowMs);
    if (before.how === null && after.line.how !== null) this.ends[line] = (this.ends[line] ?? 0) + 1;
    this.batch = after.batch;
    this.lines[line] = after.line;
  }

  alarm(): void {
    for (const { line, run } of silent(this.batch, this.nowMs)) this.take(line, run.requestId, { kind: "faltered" });
    const how = endingOf(this.batch, this.nowMs);
    if (how !== null) {
      // What the error file is told of.
      for (const [line, { how: ended }] of this.lines.entries())
        if (ended === null) this.ends[line] = (this.ends[line] ?? 0) + 1;
      this.batch = over(this.batch, how, this.nowMs);
    } else if (callsNow(this.batch, this.nowMs)) this.batch = called(this.batch, this.nowMs);
  }

  check(): void {
    const { total, completed, failed, running: runs } = this.batch;
    const counted = (how: Line["how"]) => this.lines.filter((line) => line.how === how).length;
    expect(completed).toBe(counted("completed"));
    if (!isOver(this.batch)) {
      expect(failed).toBe(counted("failed"));
      expect(waitingOf(this.batch)).toBe(counted(null) - Object.keys(runs).length);
    } else expect(completed + failed).toBe(total);
    expect(Object.keys(runs).length).toBeLessThanOrEqual(3);
    for (const line of Object.keys(runs)) expect(this.lines[Number(line)]?.how).toBeNull();
    expect(Math.max(0, ...this.ends)).toBeLessThanOrEqual(1);
  }
}

const outcome = fc.oneof(
  fc.constantFrom<Outcome>({ kind: "completed" }, { kind: "failed" }, { kind: "faltered" }),
  fc.record({
    kind: fc.constant("refused" as const),
    by: fc.constantFrom("account" as const, "model" as const),
    retryAfterMs: fc.nat(90_000),
  }),
);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ do: "claim" as const }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("report" as const), pick: fc.nat(), outcome }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("pass" as const), ms: fc.nat(90_000) }) },
  { weight: 3, arbitrary: fc.constant({ do: "alarm" as const }) },
  { weight: 1, arbitrary: fc.constantFrom({ do: "rest" as const }, { do: "restart" as const }) },
);
/** A cancellation or the end of the day somewhere, or neither. */
const turn = fc.constantFrom("cancel", "expire", "stop", "none");

test("any order of deliveries, duplicates, losses, restarts and cancellations: each line ends once, and the counts add up", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 6 }),
      fc.array(step, { maxLength: 60 }),
      turn,
      fc.nat(60),
      (total, steps, what, at) => {
        const world = new World(total);
        for (const [nth, one] of [...steps, { do: "alarm" as const }].entries()) {
          if (nth === at && what === "cancel") world.batch = cancelled(world.batch, world.nowMs) ?? world.batch;
          if (nth === at && what === "expire") world.nowMs += WINDOW_MS;
          if (nth === at && what === "stop") world.report(nth, { kind: "stopped" });
          if (one.do === "claim") world.claim();
          else if (one.do === "report") world.report(one.pick, one.outcome);
          else if (one.do === "pass") world.nowMs += one.ms;
          else if (one.do === "alarm") world.alarm();
          else if (one.do === "rest" && !isOver(world.batch)) world.batch = rested(world.batch, true, world.nowMs);
          // All that is known after a restart is what was written.
          else if (one.do === "restart") world.batch = JSON.parse(JSON.stringify(world.batch));
          world.check();
        }
        // Nobody does anything any more but the alarm, whenever it asks to be woken: at last when the day is over.
        for (let nth = 0; nth < 30 && !isOver(world.batch); nth++) {
          world.nowMs = nth === 20 ? world.nowMs + WINDOW_MS : Math.max(world.nowMs, wakeAtMs(world.batch) ?? 0);
          world.alarm();
        }
        world.check();
        expect(isOver(world.batch)).toBe(true);
        expect(world.ends).toEqual(world.lines.map(() => 1));
      },
    ),
    { numRuns: 300 },
  );
});
