/** Writing and reading `audit_log`. One statement for a batch; a row that is there already is left as it is. */
import { z } from "zod";
import type { AuditEvent } from "#src/usage/event.ts";
import type { Session } from "./session.ts";
import { type Statement, transact } from "./transaction.ts";

const INSERT = `
  INSERT INTO audit_log (id, "timestamp", actor, key_id, action, target, ip, outcome, request_id, detail)
  SELECT
    id, to_timestamp("atMs" / 1000), actor, "keyId", action, target, ip, outcome, "requestId", detail
  FROM json_to_recordset($1::json) AS e (
    id uuid, "atMs" double precision, actor text, "keyId" text, action text, target text, ip inet, outcome text,
    "requestId" uuid, detail jsonb)
  ON CONFLICT (id, "timestamp") DO NOTHING
  RETURNING id`;

/** Inserts events and returns the ids that were new. */
export function auditLogInsert(events: readonly AuditEvent[]): Statement {
  return { text: INSERT, values: [JSON.stringify(events)] };
}

/** Where a page ends: the next one holds what is older. */
export type AuditPosition = {
  /** To the microsecond, as Postgres keeps it. */
  readonly timestamp: string;
  readonly id: string;
};

/** Each one that is not null has to fit. */
export type AuditFilter = {
  readonly actor: string | null;
  readonly action: string | null;
  readonly target: string | null;
  readonly outcome: AuditEvent["outcome"] | null;
  /** An address, or a network in CIDR notation. */
  readonly ip: string | null;
  /** ISO 8601, inclusive. */
  readonly from: string | null;
  /** ISO 8601, exclusive. */
  readonly to: string | null;
  readonly after: AuditPosition | null;
};

const auditRow = z.object({
  id: z.uuid(),
  timestamp: z.string(),
  actor: z.string(),
  key_id: z.string().nullable(),
  action: z.string(),
  target: z.string().nullable(),
  ip: z.string().nullable(),
  outcome: z.string(),
  request_id: z.string().nullable(),
  detail: z.record(z.string(), z.unknown()),
});
export type AuditRow = z.infer<typeof auditRow>;

// Planned with its parameters in hand, so that what is null costs nothing and the rest finds its index.
const SELECT = `
  SELECT
    id, to_char("timestamp" AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "timestamp", actor, key_id, action,
    target, host(ip) AS ip, outcome, request_id, detail
  FROM audit_log AS a
  WHERE ($1::text IS NULL OR actor = $1)
    AND ($2::text IS NULL OR action = $2)
    AND ($3::text IS NULL OR target = $3)
    AND ($4::text IS NULL OR outcome = $4)
    AND ($5::inet IS NULL OR ip <<= $5)
    AND ($6::timestamptz IS NULL OR a."timestamp" >= $6)
    AND ($7::timestamptz IS NULL OR a."timestamp" < $7)
    AND ($8::timestamptz IS NULL OR (a."timestamp", id) < ($8, $9::uuid))
  ORDER BY a."timestamp" DESC, id DESC
  LIMIT $10`;

/** The newest rows that fit, newest first. */
export async function readAuditLog(session: Session, filter: AuditFilter, limit: number): Promise<AuditRow[]> {
  const { actor, action, target, outcome, ip, from, to, after } = filter;
  const position = [after?.timestamp ?? null, after?.id ?? null];
  const values = [actor, action, target, outcome, ip, from, to, ...position, limit];
  const [found] = await transact(session, "causeway_reader", [{ text: SELECT, values }]);
  return z.array(auditRow).parse(found?.rows);
}
