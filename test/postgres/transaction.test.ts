import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { auditLogInsert } from "#src/postgres/audit-log.ts";
import { inferenceLogsInsert } from "#src/postgres/inference-logs.ts";
import { inSession, type Session } from "#src/postgres/session.ts";
import { type DatabaseRole, type Statement, transact } from "#src/postgres/transaction.ts";
import { auditWith } from "#test/support/audit-events.ts";
import { eventWith } from "#test/support/events.ts";

const INSUFFICIENT_PRIVILEGE = "42501";
const statement = (text: string, ...values: unknown[]): Statement => ({ text, values });
const FAILING = statement("SELECT 1 / 0");
const DIVISION_BY_ZERO = "22012";

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

describe("a row that is written stays as it was written", () => {
  const event = auditWith();
  const inference = eventWith();
  beforeAll(() => run("causeway_writer", inferenceLogsInsert([inference], 0), auditLogInsert([event])));

  const forged = `INSERT INTO audit_log (id, "timestamp", actor, action, outcome, recorded_at)
    VALUES (gen_random_uuid(), now(), 'a', 'b', 'ok', '2001-01-01')`;
  const taken = `INSERT INTO audit_log (id, "timestamp", actor, action, outcome)
    VALUES ('${event.id}', now(), 'a', 'b', 'ok') ON CONFLICT (id, "timestamp") DO UPDATE
    SET actor = 'somebody else'`;

  test.each<{ role: DatabaseRole; text: string }>([
    ...["audit_log", "inference_logs"].flatMap((table) => [
      { role: "causeway_writer" as const, text: `UPDATE ${table} SET request_id = gen_random_uuid()` },
      { role: "causeway_writer" as const, text: `DELETE FROM ${table}` },
      { role: "causeway_writer" as const, text: `TRUNCATE ${table}` },
      { role: "causeway_writer" as const, text: `DROP TABLE ${table}` },
      { role: "causeway_writer" as const, text: `SELECT * FROM ${table}` },
      { role: "causeway_writer" as const, text: `SELECT request_id FROM ${table}` },
      { role: "causeway_writer" as const, text: `ALTER TABLE ${table} DISABLE TRIGGER ALL` },
      { role: "causeway_reader" as const, text: `UPDATE ${table} SET request_id = NULL` },
      { role: "causeway_reader" as const, text: `DELETE FROM ${table}` },
      { role: "causeway_reader" as const, text: `TRUNCATE ${table}` },
      { role: "causeway_reader" as const, text: `INSERT INTO ${table} (id) VALUES (gen_random_uuid())` },
    ]),
    { role: "causeway_writer", text: forged },
    { role: "causeway_writer", text: taken },
    { role: "causeway_writer", text: "CREATE TABLE audit_log_of_mine ()" },
  ])("$role may not: $text", async ({ role, text }) => {
    await expect(run(role, statement(text))).rejects.toMatchObject({ code: INSUFFICIENT_PRIVILEGE });
    expect(await rows("audit_log", event.id)).toEqual([expect.objectContaining({ actor: event.actor })]);
    expect(await rows("inference_logs", inference.id)).toHaveLength(1);
  });

  test("the reader reads", async () => {
    const text = "SELECT a.actor, i.model FROM audit_log a, inference_logs i WHERE a.id = $1 AND i.id = $2";
    const [found] = await run("causeway_reader", statement(text, event.id, inference.id));
    expect(found?.rows).toEqual([{ actor: event.actor, model: inference.model }]);
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
