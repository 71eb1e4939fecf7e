import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditLogInsert } from "#src/postgres/audit-log.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession, type Session } from "#src/postgres/session.ts";
import { type DatabaseRole, type Statement, transact, tryEach } from "#src/postgres/transaction.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { eventWith } from "#test/support/events.ts";

const INSUFFICIENT_PRIVILEGE = "42501";
const statement = (text: string, ...values: unknown[]): Statement => ({ text, values });
const FAILING = statement("SELECT 1 / 0");
const DIVISION_BY_ZERO = "22012";

/** SQLSTATE; what is no error stays as it is. */
const codeOf = (cause: unknown): unknown => (cause instanceof Error && "code" in cause ? cause.code : cause);

function inDatabase<T>(work: (session: Session) => Promise<T>, url = env.HYPERDRIVE.connectionString): Promise<T> {
  return inSession(url, work);
}

const run = (role: DatabaseRole, ...statements: Statement[]) =>
  inDatabase((session) => transact(session, role, statements));

async function rows(table: string, id: string): Promise<Record<string, unknown>[]> {
  const found = await inDatabase((session) => session.query(`SELECT * FROM ${table} WHERE id = $1`, [id]));
  return found.rows;
}

describe("one transaction", () => {
  test("gives one result per statement, in order", async () => {
    const results = await run("causeway_reader", statement("SELECT 1 AS n"), statement("SELECT $1::int AS n", 2));
    expect(results.map(({ rows }) => rows)).toEqual([[{ n: 1 }], [{ n: 2 }]]);
  });

  test.each([
    { name: "the first fails", order: (good: Statement) => [FAILING, good] },
    { name: "the last fails", order: (good: Statement) => [good, FAILING] },
  ])("writes nothing when $name, and says why", async ({ order }) => {
    const event = auditWith();
    const running = run("causeway_writer", ...order(auditLogInsert([event])));
    await expect(running).rejects.toMatchObject({ code: DIVISION_BY_ZERO });
    expect(await rows("audit_log", event.id)).toEqual([]);
  });

  test("leaves a session that can be used after a failure", async () => {
    const event = auditWith();
    await inDatabase(async (session) => {
      await expect(transact(session, "causeway_writer", [FAILING])).rejects.toThrow();
      await transact(session, "causeway_writer", [auditLogInsert([event])]);
    });
    expect(await rows("audit_log", event.id)).toHaveLength(1);
  });

  test("puts on its role for itself only", async () => {
    const [within, after] = await inDatabase(async (session) => {
      const who = statement("SELECT current_user AS name");
      const [found] = await transact(session, "causeway_writer", [who]);
      return [found?.rows[0]?.name, (await session.query(who.text)).rows[0]?.name];
    });
    expect(within).toBe("causeway_writer");
    expect(after).toBe(new URL(env.HYPERDRIVE.connectionString).username);
  });
});

/** A column of each table that has no id. */
const COLUMN: Readonly<Record<string, string>> = {
  usage_minute: "requests",
  usage_minute_default: "requests",
  usage_day: "requests",
  model_metrics: "requests",
  reports: "kind",
  job_runs: "name",
};

describe("a row that is written stays as it was written", () => {
  const event = auditWith();
  const inference = eventWith();
  beforeAll(() => run("causeway_writer", inferenceLogsInsert([inference], 0), auditLogInsert([event])));

  const counted = `INSERT INTO inference_logs (id, "timestamp") VALUES ('${inference.id}', now())
    ON CONFLICT (id, "timestamp") DO UPDATE SET prompt_tokens = 0`;
  const forged = `INSERT INTO audit_log (id, "timestamp", actor, action, outcome, recorded_at)
    VALUES (gen_random_uuid(), now(), 'a', 'b', 'ok', '2001-01-01')`;
  const taken = `INSERT INTO audit_log (id, "timestamp", actor, action, outcome)
    VALUES ('${event.id}', now(), 'a', 'b', 'ok') ON CONFLICT (id, "timestamp") DO UPDATE
    SET actor = 'somebody else'`;

  const WRITTEN = ["audit_log", "inference_logs", "feedback", "host_state", "dead_letter"];
  const MADE = ["usage_minute", "usage_day", "model_metrics", "reports", "job_runs"];
  const PARTITIONS = ["inference_logs_default", "audit_log_default", "usage_minute_default"];
  const changesOf = (table: string): string[] => [
    `UPDATE ${table} SET ${COLUMN[table] ?? "id"} = NULL`,
    `DELETE FROM ${table}`,
    `TRUNCATE ${table}`,
    `DROP TABLE ${table}`,
    `ALTER TABLE ${table} DISABLE TRIGGER ALL`,
  ];
  const insertOf = (table: string): string => `INSERT INTO ${table} (${COLUMN[table] ?? "id"}) VALUES (NULL)`;

  test.each<{ role: DatabaseRole; texts: string[] }>([
    {
      role: "causeway_reader",
      texts: [...[...WRITTEN, ...MADE, ...PARTITIONS].flatMap(changesOf), ...[...WRITTEN, ...MADE].map(insertOf)],
    },
    {
      role: "causeway_writer",
      texts: [
        ...[...WRITTEN, ...MADE, ...PARTITIONS].flatMap(changesOf),
        ...[...MADE, ...PARTITIONS].map(insertOf),
        ...[...WRITTEN, ...MADE, ...PARTITIONS, "inference_feedback"].map((table) => `SELECT * FROM ${table}`),
        "SELECT request_id FROM audit_log",
        "SELECT account FROM inference_logs",
        "SELECT body FROM dead_letter",
        "SELECT comment FROM feedback",
        "SELECT host FROM host_state",
        "SELECT in_flight FROM model_metrics",
        "UPDATE model_metrics SET in_flight = 0",
        "SELECT add_to_usage_minute()",
        `INSERT INTO dead_letter (id, queue, message_id, body, reason, attempts, recorded_at)
          VALUES (gen_random_uuid(), '', '', '', '', 1, '2001-01-01')`,
        ...[counted, forged, taken],
        "CREATE TABLE audit_log_of_mine ()",
      ],
    },
  ])("$role may change nothing, nor read or write more than it has to", async ({ role, texts }) => {
    const sets = texts.map((text) => [statement(text)]);
    const causes = await inDatabase((session) => tryEach(session, role, sets));
    const allowed = texts.filter((_, at) => codeOf(causes[at]) !== INSUFFICIENT_PRIVILEGE);
    expect(allowed).toEqual([]);
  });

  test("the reader reads", async () => {
    const text = "SELECT a.actor, i.model FROM audit_log a, inference_logs i WHERE a.id = $1 AND i.id = $2";
    const [found] = await run("causeway_reader", statement(text, event.id, inference.id));
    expect(found?.rows).toEqual([{ actor: event.actor, model: inference.model }]);
  });

  test.each([...WRITTEN, ...MADE, "inference_feedback"])("the reader reads %s", async (table) => {
    await expect(run("causeway_reader", statement(`SELECT * FROM ${table} LIMIT 1`))).resolves.toHaveLength(1);
  });

  test("the sums are written all the same, by the trigger's own rights", async () => {
    const account = crypto.randomUUID();
    await run("causeway_writer", inferenceLogsInsert([eventWith({ account }), eventWith({ account })], 0));
    const text = "SELECT sum(requests)::int AS requests FROM usage_minute WHERE account = $1";
    const [found] = await run("causeway_reader", statement(text, account));
    expect(found?.rows).toEqual([{ requests: 2 }]);
  });

  test("the trigger writes the ledger's own sums, whatever the writer calls so", async () => {
    const account = crypto.randomUUID();
    await inDatabase(async (session) => {
      // Of the session, and so before everything else on its search path.
      await session.query("CREATE TEMPORARY TABLE usage_minute (LIKE public.usage_minute)");
      await session.query("GRANT ALL ON pg_temp.usage_minute TO causeway_writer");
      await transact(session, "causeway_writer", [inferenceLogsInsert([eventWith({ account })], 0)]);
      expect((await session.query("SELECT * FROM pg_temp.usage_minute")).rows).toEqual([]);
    });
    const [found] = await run(
      "causeway_reader",
      statement("SELECT requests FROM usage_minute WHERE account = $1", account),
    );
    expect(found?.rows).toEqual([{ requests: "1" }]);
  });
});

describe("sets of statements tried, each as if it were alone", () => {
  const tried = (...sets: Statement[][]) => inDatabase((session) => tryEach(session, "causeway_writer", sets));
  const codes = (causes: unknown[]) => causes.map(codeOf);

  test("tells why each is refused, in order, and keeps nothing", async () => {
    const [one, two] = [auditWith(), auditWith()];
    const sets = [
      [auditLogInsert([one])],
      [FAILING],
      [auditLogInsert([two]), FAILING, statement("SELECT nothing")],
      [],
      [auditLogInsert([one]), auditLogInsert([two])],
      [statement("DELETE FROM audit_log")],
    ];
    expect(codes(await tried(...sets))).toEqual([
      null,
      DIVISION_BY_ZERO,
      DIVISION_BY_ZERO,
      null,
      null,
      INSUFFICIENT_PRIVILEGE,
    ]);
    expect([...(await rows("audit_log", one.id)), ...(await rows("audit_log", two.id))]).toEqual([]);
  });

  test("leaves a session that can be used", async () => {
    const event = auditWith();
    await inDatabase(async (session) => {
      await tryEach(session, "causeway_writer", [[FAILING]]);
      await transact(session, "causeway_writer", [auditLogInsert([event])]);
    });
    expect(await rows("audit_log", event.id)).toHaveLength(1);
  });

  test("throws where the session breaks: that tells nothing about a statement", async () => {
    const broken = { query: () => Promise.reject(new Error("Connection terminated")) } as unknown as Session;
    await expect(tryEach(broken, "causeway_writer", [[FAILING]])).rejects.toThrow("Connection terminated");
  });
});

describe("a user that may not assume the roles", () => {
  const name = `plain_${crypto.randomUUID().replaceAll("-", "")}`;
  const url = (): string => {
    const own = new URL(env.HYPERDRIVE.connectionString);
    own.username = name;
    own.password = name;
    return own.href;
  };
  const command = (text: string) => inDatabase((session) => session.query(text));
  beforeAll(() =>
    command(`CREATE ROLE ${name} LOGIN PASSWORD '${name}'; GRANT INSERT, SELECT ON audit_log TO ${name}`),
  );
  afterAll(() => command(`DROP OWNED BY ${name}; DROP ROLE ${name}`));

  test("writes and reads with its own rights", async () => {
    const event = auditWith();
    const who = statement("SELECT current_user AS name");
    const [, found] = await inDatabase(
      (session) => transact(session, "causeway_writer", [auditLogInsert([event]), who]),
      url(),
    );
    expect(found?.rows).toEqual([{ name }]);
    expect(await rows("audit_log", event.id)).toHaveLength(1);
  });
});
