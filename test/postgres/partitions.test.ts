import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test } from "vitest";
import { inSession } from "#src/postgres/session.ts";
import { deliver } from "#test/support/deliveries.ts";
import { eventWith } from "#test/support/events.ts";

const query = async (text: string, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
  (await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, values))).rows;

/** A table of the test's own, cut by the column `at`. */
let table: string;
async function cutTable(type: "timestamptz" | "date", fallback = true): Promise<void> {
  table = `cut_${crypto.randomUUID().replaceAll("-", "")}`;
  await query(
    `CREATE TABLE ${table} (id int, at ${type}, note text DEFAULT 'x', PRIMARY KEY (id, at)) PARTITION BY RANGE (at)`,
  );
  await query(`CREATE INDEX ${table}_by_note ON ${table} (note)`);
  if (fallback) await query(`CREATE TABLE ${table}_default PARTITION OF ${table} DEFAULT`);
}
beforeEach(() => cutTable("timestamptz"));

const ensure = async (unit: string, first: string, last: string): Promise<unknown> =>
  (await query("SELECT ensure_partitions($1, $2, $3, $4) AS made", table, unit, first, last))[0]?.made;
const drop = async (before: string): Promise<unknown> =>
  (await query("SELECT drop_partitions($1, $2) AS dropped", table, before))[0]?.dropped;

/** Where the rows lie: ids by the end of the partition's name, in order. */
async function places(): Promise<Record<string, unknown>> {
  const rows = await query(
    `SELECT tableoid::regclass::text AS place, array_agg(id ORDER BY id) AS ids FROM ${table} GROUP BY 1 ORDER BY 1`,
  );
  return Object.fromEntries(rows.map(({ place, ids }) => [String(place).slice(table.length + 1), ids]));
}
const parts = async (): Promise<unknown[]> => {
  const text = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1";
  return (await query(text, table)).map(({ name }) => String(name).slice(table.length + 1));
};

describe("partitions are made", () => {
  test.each([
    {
      ...{ unit: "day", first: "2026-02-27T12:00:00Z", last: "2026-03-01T00:00:00Z" },
      made: ["p20260227", "p20260228", "p20260301"],
    },
    { unit: "day", first: "2026-11-21T01:00:00+02:00", last: "2026-11-20T23:59:59Z", made: ["p20261120"] },
    {
      unit: "month",
      first: "2026-12-31T23:59:59Z",
      last: "2027-02-01T00:00:00Z",
      made: ["p202612", "p202701", "p202702"],
    },
    { unit: "year", first: "2026-06-01T00:00:00Z", last: "2027-01-01T00:00:00Z", made: ["p2026", "p2027"] },
    { unit: "day", first: "2026-03-02T00:00:00Z", last: "2026-03-01T00:00:00Z", made: [] },
  ])("by the $unit from $first to $last, in UTC", async ({ unit, first, last, made }) => {
    expect(await ensure(unit, first, last)).toBe(made.length);
    expect(await parts()).toEqual(["default", ...made]);
    expect(await ensure(unit, first, last)).toBe(0);
  });

  test("with the indexes, the key and the defaults of their table", async () => {
    await ensure("day", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z");
    await query(`INSERT INTO ${table} (id, at) VALUES (1, '2026-03-01Z')`);
    expect(await query(`SELECT note FROM ${table}_p20260301`)).toEqual([{ note: "x" }]);
    const indexes = await query("SELECT count(*) FROM pg_indexes WHERE tablename = $1", `${table}_p20260301`);
    expect(indexes).toEqual([{ count: "2" }]);
    const unattached = `SELECT FROM pg_index i WHERE i.indrelid = $1::regclass
      AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = i.indexrelid)`;
    expect(await query(unattached, `${table}_p20260301`)).toEqual([]);
  });

  test("of a table that is cut by a date", async () => {
    await cutTable("date");
    await query(
      `INSERT INTO ${table} (id, at) VALUES (1, '2026-02-28'), (2, '2026-03-01'), (3, '2026-03-31'), (4, '2026-04-01')`,
    );
    await ensure("month", "2026-03-15T00:00:00Z", "2026-03-15T00:00:00Z");
    expect(await places()).toEqual({ default: [1, 4], p202603: [2, 3] });
    expect(await drop("2026-04-01T00:00:00Z")).toEqual([`${table}_p202603`]);
    expect(await places()).toEqual({ default: [4] });
  });

  test("of a table without a default partition", async () => {
    await cutTable("timestamptz", false);
    expect(await ensure("year", "2026-03-15T00:00:00Z", "2026-03-15T00:00:00Z")).toBe(1);
    expect(await drop("2027-01-01T00:00:00Z")).toEqual([`${table}_p2026`]);
  });

  test("once, when two ask at the same time", async () => {
    const asked = await Promise.all([1, 2, 3].map(() => ensure("day", "2026-03-01T00:00:00Z", "2026-03-10T00:00:00Z")));
    expect(asked.sort()).toEqual([0, 0, 10]);
  });

  test.each(["week", "'; DROP TABLE audit_log; --", ""])("by nothing else: %s", async (unit) => {
    await expect(ensure(unit, "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")).rejects.toMatchObject({ code: "22023" });
  });

  test("whatever the session's time zone", async () => {
    await inSession(env.HYPERDRIVE.connectionString, async (session) => {
      await session.query("SET timezone = 'Pacific/Kiritimati'");
      await session.query("SELECT ensure_partitions($1, 'day', '2026-03-01Z', '2026-03-01Z')", [table]);
      await session.query("SELECT ensure_partitions($1, 'month', '2026-04-01Z', '2026-04-01Z')", [table]);
      const { rows } = await session.query("SELECT drop_partitions($1, '2026-03-02Z') AS dropped", [table]);
      expect(rows).toEqual([{ dropped: [`${table}_p20260301`] }]);
    });
    expect(await parts()).toEqual(["default", "p202604"]);
  });
});

describe("rows that came before their partition", () => {
  test("move, and only they", async () => {
    await query(`INSERT INTO ${table} (id, at, note) VALUES (1, '2026-02-28 23:59:59.999999Z', 'a'), (2, '2026-03-01Z', 'b'),
      (3, '2026-03-01 23:59:59.999999Z', 'c'), (4, '2026-03-02Z', 'd')`);
    await ensure("day", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z");
    expect(await places()).toEqual({ default: [1, 4], p20260301: [2, 3] });
    expect(await query(`SELECT string_agg(note, '' ORDER BY id) AS notes FROM ${table}`)).toEqual([{ notes: "abcd" }]);
  });

  test("none is lost or refused while they keep coming", async () => {
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let n = 0; n < 25; n++) {
        await query(
          `INSERT INTO ${table} (id, at) SELECT $1 + i, '2026-03-01Z'::timestamptz + i * interval '6 hours' FROM generate_series(0, 39) AS i`,
          (writer * 25 + n) * 40,
        );
      }
    });
    const maker = async (): Promise<void> => {
      for (let day = 1; day <= 9; day++) await ensure("day", `2026-03-0${day}T00:00:00Z`, `2026-03-0${day}T00:00:00Z`);
    };
    await Promise.all([...writers, maker()]);
    expect(await query(`SELECT count(*) FROM ${table}`)).toEqual([{ count: "4000" }]);
    expect(await query(`SELECT count(*) FROM ${table}_default WHERE at < '2026-03-10Z'`)).toEqual([{ count: "0" }]);
  });
});

describe("what is old is dropped", () => {
  beforeEach(async () => {
    await ensure("day", "2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z");
    await query(`INSERT INTO ${table} (id, at) VALUES (1, '2026-03-01Z'), (2, '2026-03-02Z'), (3, '2026-03-03Z'),
      (4, '2025-01-01Z'), (5, '2026-03-04Z')`);
  });

  test.each([
    {
      before: "2026-03-01T00:00:00Z",
      dropped: [],
      left: { default: [5], p20260301: [1], p20260302: [2], p20260303: [3] },
    },
    { before: "2026-03-02T23:59:59Z", dropped: ["p20260301"], left: { default: [5], p20260302: [2], p20260303: [3] } },
    { before: "2026-03-03T00:00:00Z", dropped: ["p20260301", "p20260302"], left: { default: [5], p20260303: [3] } },
    { before: "2030-01-01T00:00:00Z", dropped: ["p20260301", "p20260302", "p20260303"], left: {} },
  ])("before $before", async ({ before, dropped, left }) => {
    expect(await drop(before)).toEqual(dropped.map((part) => `${table}_${part}`));
    expect(await places()).toEqual(left);
    expect(await drop(before)).toEqual([]);
  });

  test("the default partition stays, and takes what comes", async () => {
    await drop("2030-01-01T00:00:00Z");
    await query(`INSERT INTO ${table} (id, at) VALUES (6, '2026-03-01Z')`);
    expect(await places()).toEqual({ default: [6] });
  });
});

describe("events of any date are in the ledger", () => {
  const DAY_MS = 86_400_000;
  test.each([
    { name: "three weeks ago", days: -21 },
    { name: "next month", days: 31 },
    { name: "1970", days: -Date.now() / DAY_MS },
  ])("$name: in the default partition, and once in its own", async ({ days }) => {
    const [account, atMs] = [crypto.randomUUID(), Math.round(Date.now() + days * DAY_MS)];
    const event = eventWith({ account, atMs });
    expect((await deliver([{ event }])).acked).toEqual(["m0"]);
    const state = () =>
      query(
        `SELECT i.tableoid::regclass::text AS place, u.requests, count(*) OVER () AS rows
       FROM inference_logs i JOIN usage_minute u USING (account) WHERE i.account = $1`,
        account,
      );
    expect(await state()).toEqual([{ place: "inference_logs_default", requests: "1", rows: "1" }]);
    const at = new Date(atMs).toISOString();
    await query("SELECT ensure_partitions('inference_logs', 'day', $1, $1)", at);
    const own = `inference_logs_p${at.slice(0, 10).replaceAll("-", "")}`;
    // Moving it is no news to the sums.
    expect(await state()).toEqual([{ place: own, requests: "1", rows: "1" }]);
    // Delivered again, it is known.
    await deliver([{ event }]);
    expect(await state()).toEqual([{ place: own, requests: "1", rows: "1" }]);
  });
});

test.each(["causeway_writer", "causeway_reader"])("%s may neither make nor drop partitions", async (role) => {
  for (const call of ["ensure_partitions('audit_log', 'month', now(), now())", "drop_partitions('audit_log', now())"]) {
    const asked = inSession(env.HYPERDRIVE.connectionString, async (session) => {
      await session.query(`SET ROLE ${role}`);
      await session.query(`SELECT ${call}`);
    });
    await expect(asked).rejects.toMatchObject({ code: "42501" });
  }
});
