import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { hostLoadsInsert } from "#src/postgres/host-loads.ts";
import { inSession } from "#src/postgres/session.ts";
import { transact } from "#src/postgres/transaction.ts";
import type { HostLoadEvent } from "#src/usage/event.ts";
import { hostLoadWith } from "#test/support/events.ts";

test.each<{ name: string; changed: Partial<HostLoadEvent>; row: Record<string, unknown> }>([
  {
    name: "what it had to do",
    changed: {},
    row: { running: 12, waiting: 3, kv_usage: 0.25, in_flight: 14, in_line: 2 },
  },
  {
    name: "of the host, of no model",
    changed: {},
    row: { kind: "load", model: "", timestamp: new Date(1_790_000_000_123) },
  },
  {
    name: "no figures of hours",
    changed: {},
    row: { requests: null, errors: null, error_rate: null, ttft_p50_ms: null },
  },
  {
    name: "what the engine did not tell",
    changed: { running: null, waiting: null, kvUsage: null },
    row: { running: null, waiting: null, kv_usage: null },
  },
  {
    name: "0 is not unknown",
    changed: { running: 0, waiting: 0, kvUsage: 0, inFlight: 0, inLine: 0 },
    row: { running: 0, waiting: 0, kv_usage: 0, in_flight: 0, in_line: 0 },
  },
])("a row is its event, once: $name", async ({ changed, row }) => {
  const event = hostLoadWith({ host: crypto.randomUUID(), ...changed });
  const later = { ...event, id: crypto.randomUUID(), atMs: event.atMs + 60_000 };
  await inSession(env.HYPERDRIVE.connectionString, async (session) => {
    const [first] = await transact(session, "causeway_writer", [hostLoadsInsert([event, event])]);
    const [again] = await transact(session, "causeway_writer", [hostLoadsInsert([event, later])]);
    expect([first?.rows, again?.rows]).toEqual([[{ host: event.host }], [{ host: event.host }]]);
    const text = 'SELECT * FROM model_metrics WHERE host = $1 ORDER BY "timestamp"';
    const { rows } = await session.query(text, [event.host]);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toMatchObject(row);
  });
});

const CHECK_VIOLATION = "23514";
const INSUFFICIENT_PRIVILEGE = "42501";

test.each<{ name: string; role: string; columns: string; values: string; code: string }>([
  {
    name: "the writer cannot forge an hour",
    role: "causeway_writer",
    columns: "requests, errors, error_rate",
    values: "1, 0, 0",
    code: INSUFFICIENT_PRIVILEGE,
  },
  { name: "nor an empty one", role: "causeway_writer", columns: "kind", values: "'hour'", code: CHECK_VIOLATION },
  { name: "an hour has its figures", role: "none", columns: "requests", values: "1", code: CHECK_VIOLATION },
  { name: "a moment is no hour", role: "none", columns: "kind, requests", values: "'load', 1", code: CHECK_VIOLATION },
  { name: "there is no third kind", role: "none", columns: "kind", values: "'day'", code: CHECK_VIOLATION },
])("$name", async ({ role, columns, values, code }) => {
  const asked = inSession(env.HYPERDRIVE.connectionString, async (session) => {
    await session.query(`SET ROLE ${role}`);
    await session.query(
      `INSERT INTO model_metrics ("timestamp", model, host, ${columns}) VALUES (now(), '', 'gpu', ${values})`,
    );
  });
  await expect(asked).rejects.toMatchObject({ code });
});
