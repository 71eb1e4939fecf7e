/** Every job, cut off at any statement and then taken up again, leaves what it leaves when nothing happens to it. */
import { beforeAll, expect, test, vi } from "vitest";
import { DAY_MS, HOUR_MS, startOfDayMs } from "#src/jobs/calendar.ts";
import type { Job } from "#src/jobs/job.ts";
import { JOBS } from "#src/jobs/jobs.ts";
import { rollups } from "#src/jobs/rollups.ts";
import { runDue, runNow } from "#src/jobs/run.ts";
import { emptied, freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { eventWith, hostStateWith } from "#test/support/events.ts";
import {
  cutAt,
  enter,
  enterStates,
  hostsOf,
  leftBehind,
  manyEvents,
  NOW_MS,
  surroundingsOn,
} from "#test/support/jobs.ts";

const TODAY_MS = startOfDayMs(NOW_MS);
const some = (count: number, daysAgo: number) =>
  manyEvents(eventWith, { count, days: 0.08, untilMs: TODAY_MS - daysAgo * DAY_MS });
/** Two of them old enough: one for its content to be cleared, one to be dropped. */
const EVENTS = [...some(40, 0), ...some(10, 7), ...some(4, 40), ...some(4, 100)];
const STATES = Array.from({ length: 30 }, (_, hour) =>
  hostStateWith({ atMs: TODAY_MS - hour * HOUR_MS, state: "up", host: "gpu" }),
);
const DAY_TO_DROP = new Date(TODAY_MS - 100 * DAY_MS);

let database: TestDatabase;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  database = await freshDatabase();
});

/** A ledger with something to do for the job. */
async function prepare(job: Job): Promise<void> {
  await emptied(database);
  await database.query(async (session) => {
    await session.query("SELECT ensure_partitions('inference_logs', 'day', $1, $1)", [DAY_TO_DROP]);
    await session.query(
      `INSERT INTO dead_letter (id, queue, message_id, body, reason, attempts, recorded_at)
       VALUES ('old', 'q', 'm', '{}', 'r', 1, '2024-01-01')`,
    );
  });
  await enter(database, ...EVENTS);
  await enterStates(database, ...STATES);
  // Others read what rollups make.
  if (job !== rollups) await runNow(rollups, { startMs: NOW_MS, endMs: NOW_MS + 1 }, world());
}

const world = () =>
  surroundingsOn(database, {
    hosts: () => Promise.resolve(hostsOf({ id: "gpu", engine: "llamacpp" })),
    expositionOf: () => Promise.resolve("llamacpp:prompt_tokens_total 7\nllamacpp:tokens_predicted_total 9\n"),
  });

/** What a job leaves that is cut off at a statement and taken up again when its run counts as dead. */
async function left(job: Job, statement: number, moment: "before" | "after") {
  await prepare(job);
  const mortal = cutAt(world(), statement, moment);
  await runDue(job, mortal.surroundings).catch(() => undefined);
  await database.query((session) =>
    session.query("UPDATE job_runs SET started_at = started_at - interval '1 hour' WHERE state = 'running'"),
  );
  await runDue(job, world());
  return { statements: mortal.statements(), tables: await leftBehind(database) };
}

/** The lock takes three statements; before that nothing is known of a run. */
const FIRST_OF_RUN = 3;
/** Cuts per job. The long ones do the same over and over for each hour or day. */
const CUTS = 6;

test.each(JOBS.map((job) => ({ name: job.name, job })))("$name", { timeout: 60_000 }, async ({ job }) => {
  const whole = await left(job, Number.POSITIVE_INFINITY, "before");
  expect(whole.tables.runs).toContainEqual(expect.objectContaining({ name: job.name, state: "done" }));
  const last = whole.statements - 1;
  const cuts = Array.from({ length: CUTS }, (_, at) =>
    Math.round(FIRST_OF_RUN + (at * (last - FIRST_OF_RUN)) / (CUTS - 1)),
  );
  for (const [at, statement] of [...new Set(cuts)].entries()) {
    const moment = at % 2 === 0 ? "after" : "before";
    const again = await left(job, statement, moment);
    expect({ statement, moment, ...again.tables }).toEqual({ statement, moment, ...whole.tables });
    expect(again.statements).toBe(statement + 1);
  }
});
