import { beforeEach, describe, expect, test, vi } from "vitest";
import { DAY_MS, dayOf, startOfDayMs } from "#src/jobs/calendar.ts";
import { retention } from "#src/jobs/retention.ts";
import { runNow } from "#src/jobs/run.ts";
import { periodAt } from "#src/jobs/schedule.ts";
import { freshDatabase, type TestDatabase } from "#test/support/database.ts";
import { eventWith } from "#test/support/events.ts";
import { enter, NOW_MS, surroundingsOn } from "#test/support/jobs.ts";

const MONTHLY = ["audit_log", "usage_minute", "usage_day", "model_metrics", "host_state", "feedback"];
const TODAY_MS = startOfDayMs(NOW_MS);
let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase();
  vi.spyOn(console, "log").mockReturnValue();
});

async function retain(daysLater = 0): Promise<Record<string, unknown>> {
  const nowMs = NOW_MS + daysLater * DAY_MS;
  const ran = await runNow(
    retention,
    periodAt(retention.schedule, nowMs),
    surroundingsOn(database, { now: () => nowMs }),
  );
  if (ran.kind !== "done") throw new Error(JSON.stringify(ran));
  return ran.result;
}

/** A request with content, so many days before today. */
const aged = (days: number, ms = 0) =>
  eventWith({ atMs: TODAY_MS - days * DAY_MS + ms, ip: "203.0.113.7", content: { prompt: "p", response: "r" } });

async function partitionsOf(table: string): Promise<string[]> {
  const rows = await database.rows(
    `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = $1::text::regclass AND c.relname NOT LIKE '%default' ORDER BY 1`,
    [table],
  );
  return rows.map(({ relname }) => String(relname));
}
const makePartition = (table: string, unit: string, at: string) =>
  database.query((session) =>
    session.query("SELECT ensure_partitions($1::text::regclass, $2, $3, $3)", [table, unit, at]),
  );

describe("what a request said and where it came from", () => {
  const contentOf = async ({ id }: { id: string }): Promise<unknown[]> => {
    const [row] = await database.rows(
      "SELECT prompt, response, host(ip_address) AS ip FROM inference_logs WHERE id = $1",
      [id],
    );
    return [row?.prompt, row?.response, row?.ip];
  };
  const KEPT = ["p", "r", "203.0.113.7"];
  const CLEARED = [null, null, null];

  test("is cleared when its day was over 30 days ago, and nothing else of it is", async () => {
    const [kept, last, old, ancient] = [aged(30), aged(31, DAY_MS - 1), aged(31), aged(90)];
    await enter(database, kept, last, old, ancient);
    expect(await retain()).toMatchObject({
      rows_cleared: 3,
      cleared_before: new Date(TODAY_MS - 30 * DAY_MS).toISOString(),
    });
    expect(await contentOf(kept)).toEqual(KEPT);
    for (const gone of [last, old, ancient]) expect(await contentOf(gone)).toEqual(CLEARED);
    const [row] = await database.rows("SELECT tokens_used, account FROM inference_logs WHERE id = $1", [old.id]);
    expect(row).toEqual({ tokens_used: 18, account: old.account });
  });

  test("is cleared a day at a time from then on, once", async () => {
    await enter(database, aged(30), aged(29), aged(28));
    expect(await retain()).toMatchObject({ hours_cleared: 0, rows_cleared: 0 });
    expect(await retain(1)).toMatchObject({ hours_cleared: 1, rows_cleared: 1 });
    expect(await retain(3)).toMatchObject({ rows_cleared: 2 });
    await database.query((session) =>
      session.query("UPDATE usage_minute SET changed_at = changed_at - interval '1 day'"),
    );
    expect(await retain(4)).toMatchObject({ hours_cleared: 0, rows_cleared: 0 });
  });

  test("is cleared too where it comes later than that", async () => {
    await retain();
    const late = aged(45);
    await enter(database, late);
    expect(await retain(1)).toMatchObject({ rows_cleared: 1 });
    expect(await contentOf(late)).toEqual(CLEARED);
  });
});

describe("partitions", () => {
  test("are dropped when they have been kept, and not before", async () => {
    const day = (days: number) => new Date(TODAY_MS - days * DAY_MS).toISOString();
    const name = (days: number) => `inference_logs_p${dayOf(TODAY_MS - days * DAY_MS).replaceAll("-", "")}`;
    for (const days of [89, 90, 91, 120]) await makePartition("inference_logs", "day", day(days));
    await enter(database, aged(90), aged(91, DAY_MS - 1), aged(300));
    const { dropped } = await retain();
    expect(dropped).toEqual([name(120), name(91)]);
    expect(await partitionsOf("inference_logs")).toEqual(expect.arrayContaining([name(89), name(90)]));
    // Also what lay in no partition of its own.
    expect(await database.rows('SELECT "timestamp" FROM inference_logs')).toHaveLength(1);
    expect(await retain()).toMatchObject({ dropped: [], partitions_made: 0 });
  });

  test("of all but requests and reports are kept a year", async () => {
    for (const table of MONTHLY)
      for (const day of ["2025-10-15", "2025-11-15"]) await makePartition(table, "month", day);
    const { dropped } = await retain();
    expect(dropped).toEqual(MONTHLY.map((table) => `${table}_p202510`));
    for (const table of MONTHLY) expect(await partitionsOf(table)).toContain(`${table}_p202511`);
  });

  test("of reports are kept five years, and what has no partitions as long as it should", async () => {
    await makePartition("reports", "year", "2020-06-01");
    await makePartition("reports", "year", "2021-06-01");
    await database.query(async (session) => {
      const letters = "INSERT INTO dead_letter (id, queue, message_id, body, reason, attempts, recorded_at) VALUES ";
      await session.query(
        `${letters} ('old', 'q', 'm', '{}', 'r', 1, '2025-11-20'), ('new', 'q', 'm', '{}', 'r', 1, '2025-11-22')`,
      );
      const runs = "INSERT INTO job_runs (name, period_start, period_end, state) VALUES ";
      await session.query(
        `${runs} ('old', '2021-11-19', '2021-11-20', 'done'), ('new', '2021-11-23', '2021-11-24', 'done')`,
      );
    });
    const { dropped } = await retain();
    expect(dropped).toEqual(["reports_p2020"]);
    expect(await partitionsOf("reports")).toContain("reports_p2021");
    expect(await database.rows("SELECT id FROM dead_letter")).toEqual([{ id: "new" }]);
    expect(await database.rows("SELECT name FROM job_runs WHERE name <> 'retention'")).toEqual([{ name: "new" }]);
  });

  test("are made ahead: two weeks, two months, a year", async () => {
    await retain(400);
    const at = NOW_MS + 400 * DAY_MS;
    expect(new Date(at).toISOString()).toMatch(/^2027-12-26/);
    const days = await partitionsOf("inference_logs");
    expect([days[0], days.at(-1), days.length]).toEqual(["inference_logs_p20271226", "inference_logs_p20280109", 15]);
    for (const table of MONTHLY)
      expect((await partitionsOf(table)).slice(-3)).toEqual([
        `${table}_p202712`,
        `${table}_p202801`,
        `${table}_p202802`,
      ]);
    expect((await partitionsOf("reports")).slice(-2)).toEqual(["reports_p2027", "reports_p2028"]);
  });
});
