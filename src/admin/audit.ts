/**
 * `GET /admin/audit`: who did what to what, from where and when, newest first. Filters are exact; a page goes on where
 * the one before ended, whatever came in between.
 */
import { z } from "zod";
import { askDatabase } from "#src/ingress/ask-database.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { decodeCursor, encodeCursor } from "#src/ingress/cursor.ts";
import { limitField, nameField, queryOf } from "#src/ingress/fields.ts";
import { type AuditPosition, readAuditLog } from "#src/postgres/audit-log.ts";
import { AUDIT_OUTCOMES } from "#src/usage/event.ts";

const DEFAULT_PAGE = 50;
const MAX_PAGE = 200;

/** Postgres knows no year 0, and a time without a zone means another one everywhere. */
const time = z.iso
  .datetime({ offset: true, error: "a time such as 2026-11-21T08:00:00Z; write + as %2B" })
  .regex(/^[1-9]/, "a year from 1000 on");
const address = z.union([z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()], {
  error: "an address, or a network such as 203.0.113.0/24",
});

const position = z.tuple([time, z.uuid()]);
const cursor = z.string().transform((text, context): AuditPosition => {
  const parsed = position.safeParse(decodeCursor(text));
  if (parsed.success) return { timestamp: parsed.data[0], id: parsed.data[1] };
  context.addIssue("what `next` said of the page before");
  return z.NEVER;
});

const query = z.strictObject({
  actor: nameField.nullable().default(null),
  action: nameField.nullable().default(null),
  target: nameField.nullable().default(null),
  outcome: z
    .enum(AUDIT_OUTCOMES, `one of ${AUDIT_OUTCOMES.join(", ")}`)
    .nullable()
    .default(null),
  ip: address.nullable().default(null),
  from: time.nullable().default(null),
  to: time.nullable().default(null),
  cursor: cursor.nullable().default(null),
  limit: limitField(DEFAULT_PAGE, MAX_PAGE),
});

/** @throws Problem `invalid_value` for a wrong query, `unavailable` when Postgres cannot be reached within a second */
export async function auditPage(call: KnownCall): Promise<Response> {
  const { cursor, limit, ...filter } = queryOf(query, call.request.url);
  const rows = await askDatabase(call, (session) => readAuditLog(session, { ...filter, after: cursor }, limit + 1));
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  return Response.json({
    data,
    next: rows.length > limit && last !== undefined ? encodeCursor([last.timestamp, last.id]) : null,
  });
}
