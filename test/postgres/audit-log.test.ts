import { env } from "cloudflare:workers";
import { beforeAll, describe, expect, test } from "vitest";
import { type AuditFilter, type AuditPosition, auditLogInsert, readAuditLog } from "#src/postgres/audit-log.ts";
import { inSession } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import type { AuditEvent } from "#src/usage/event.ts";
import { auditWith } from "#test/support/audit-events.ts";

const EVERYTHING: AuditFilter = {
  actor: null,
  action: null,
  target: null,
  outcome: null,
  ip: null,
  from: null,
  to: null,
  after: null,
};

async function insert(...events: AuditEvent[]): Promise<unknown[]> {
  const [inserted] = await inSession(env.HYPERDRIVE.connectionString, (session) =>
    transact(session, "causeway_writer", [auditLogInsert(events)]),
  );
  return inserted?.rows.map(({ id }) => id) ?? [];
}

function read(filter: Partial<AuditFilter>, limit = 200) {
  return inSession(env.HYPERDRIVE.connectionString, (session) =>
    readAuditLog(session, { ...EVERYTHING, ...filter }, limit),
  );
}

describe("a row is its event", () => {
  test.each<{ name: string; changed: Partial<AuditEvent>; row: Record<string, unknown> }>([
    { name: "who and what", changed: {}, row: { action: "key.revoke", target: "key_1" } },
    { name: "time to the ms", changed: {}, row: { timestamp: "2026-09-21T14:13:20.123000Z" } },
    { name: "IPv4", changed: {}, row: { ip: "203.0.113.7" } },
    { name: "IPv6", changed: { ip: "2001:db8::7" }, row: { ip: "2001:db8::7" } },
    {
      name: "nulls",
      changed: { target: null, ip: null, requestId: null, keyId: null },
      row: { target: null, ip: null, request_id: null, key_id: null },
    },
    { name: "a key", changed: { keyId: "key_9" }, row: { key_id: "key_9" } },
    {
      name: "detail of every kind",
      changed: { detail: { text: `'"\\u0000`, number: 1.5, yes: true, none: null } },
      row: { detail: { text: `'"\\u0000`, number: 1.5, yes: true, none: null } },
    },
    { name: "no detail", changed: { detail: {} }, row: { detail: {} } },
  ])("$name", async ({ changed, row }) => {
    const event = auditWith({ actor: crypto.randomUUID(), ...changed });
    expect(await insert(event)).toEqual([event.id]);
    const { id, actor, action, outcome } = event;
    expect(await read({ actor })).toEqual([expect.objectContaining({ id, actor, action, outcome, ...row })]);
  });
});

test("a row that is there stays as it is, and only new ids are returned", async () => {
  const [old, fresh] = [auditWith({ actor: crypto.randomUUID() }), auditWith()];
  await insert(old);
  expect(await insert({ ...old, outcome: "failed" }, fresh, fresh)).toEqual([fresh.id]);
  expect(await read({ actor: old.actor })).toEqual([expect.objectContaining({ outcome: "ok" })]);
});

describe("filters", () => {
  const target = crypto.randomUUID();
  const AT_MS = Date.parse("2026-03-01T12:00:00.000Z");
  const events: Record<string, AuditEvent> = {
    plain: auditWith({ target, atMs: AT_MS }),
    other: auditWith({ target, atMs: AT_MS + 1, actor: "other", action: "key.issue", ip: "203.0.113.99" }),
    denied: auditWith({ target, atMs: AT_MS + 2, outcome: "denied", ip: "2001:db8::1" }),
    nowhere: auditWith({ target, atMs: AT_MS + 3, ip: null }),
  };
  beforeAll(() => insert(...Object.values(events)));

  test.each<{ filter: Partial<AuditFilter>; found: string[] }>([
    { filter: {}, found: ["nowhere", "denied", "other", "plain"] },
    { filter: { actor: "other" }, found: ["other"] },
    { filter: { actor: "othe" }, found: [] },
    { filter: { actor: "%" }, found: [] },
    { filter: { action: "key.issue" }, found: ["other"] },
    { filter: { outcome: "denied" }, found: ["denied"] },
    { filter: { outcome: "ok", actor: "admin-user" }, found: ["nowhere", "plain"] },
    { filter: { ip: "203.0.113.7" }, found: ["plain"] },
    { filter: { ip: "203.0.113.0/24" }, found: ["other", "plain"] },
    { filter: { ip: "2001:db8::/32" }, found: ["denied"] },
    { filter: { ip: "0.0.0.0/0" }, found: ["other", "plain"] },
    { filter: { from: "2026-03-01T12:00:00.001Z" }, found: ["nowhere", "denied", "other"] },
    { filter: { to: "2026-03-01T12:00:00.001Z" }, found: ["plain"] },
    { filter: { from: "2026-03-01T13:00:00.001+01:00", to: "2026-03-01T12:00:00.002Z" }, found: ["other"] },
  ])("$filter", async ({ filter, found }) => {
    const rows = await read({ target, ...filter });
    expect(rows.map(({ id }) => id)).toEqual(found.map((name) => events[name]?.id));
  });
});

test("pages hold every row once: rows of one moment too, and of moments closer than a millisecond", async () => {
  const target = crypto.randomUUID();
  const same = Array.from({ length: 7 }, () => auditWith({ target }));
  await insert(...same);
  // What another program writes is timed to the microsecond.
  await inSession(env.HYPERDRIVE.connectionString, (session) =>
    session.query(
      `INSERT INTO audit_log (id, "timestamp", actor, action, target, outcome)
       SELECT gen_random_uuid(), '2026-09-21T14:13:20.123Z'::timestamptz + n * interval '1 microsecond', 'a', 'b', $1, 'ok'
       FROM generate_series(1, 8) AS n`,
      [target],
    ),
  );
  const seen: string[] = [];
  let after: AuditPosition | null = null;
  for (;;) {
    const page: AuditPosition[] = await read({ target, after }, 2);
    seen.push(...page.map(({ id }) => id));
    after = page.at(-1) ?? null;
    if (after === null) break;
    // What is written meanwhile is newer and moves no page.
    await insert(auditWith({ target, atMs: 1_790_000_001_000 }));
  }
  expect(new Set(seen).size).toBe(15);
  expect(seen).toHaveLength(15);
});

test.each<{ filter: Partial<AuditFilter>; index: string }>([
  { filter: {}, index: "audit_log_by_time" },
  { filter: { actor: "nobody" }, index: "audit_log_by_actor" },
  { filter: { action: "nothing" }, index: "audit_log_by_action" },
  { filter: { target: "nothing" }, index: "audit_log_by_target" },
])("a page of many rows is read by $index", async ({ filter, index }) => {
  const { plan, indexes } = await inSession(env.HYPERDRIVE.connectionString, async (session) => {
    await session.query("BEGIN");
    await session.query(`
      INSERT INTO audit_log (id, "timestamp", actor, action, target, outcome)
      SELECT gen_random_uuid(), now() - n * interval '1 second', 'actor' || n % 500, 'action' || n % 50, 'target' || n % 500, 'ok'
      FROM generate_series(1, 20000) AS n`);
    await session.query("ANALYZE audit_log");
    let text = "";
    const explaining = {
      query: (statement: unknown, values?: unknown[]) => {
        if (typeof statement !== "string" || !statement.includes("FROM audit_log"))
          return Promise.resolve({ rows: [] });
        return session.query(`EXPLAIN ${statement}`, values).then(({ rows }) => {
          text = JSON.stringify(rows);
          return { rows: [] };
        });
      },
    };
    await readAuditLog(explaining as unknown as typeof session, { ...EVERYTHING, ...filter }, 51);
    // The index of the table is one of each of its partitions.
    const { rows } = await session.query(
      "SELECT inhrelid::regclass AS name FROM pg_inherits WHERE inhparent = $1::regclass",
      [index],
    );
    await session.query("ROLLBACK");
    return { plan: text, indexes: rows.map(({ name }) => String(name)) };
  });
  expect(indexes.filter((name) => plan.includes(name))).not.toEqual([]);
});
