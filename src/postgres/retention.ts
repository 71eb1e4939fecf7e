/**
 * How long the ledger keeps what: whole partitions are dropped, content and addresses are cleared in place, and the
 * partitions of the days to come are made. Every step may be repeated at will.
 */
import { z } from "zod";
import type { Session } from "./session.ts";
import { CHANGES_OVERLAP } from "./usage-day.ts";

export type Unit = "day" | "month" | "year";

const ENSURE = "SELECT ensure_partitions($1::regclass, $2, $3, $4) AS made";

/** Makes a table's partitions from a time to another, as far as they are missing. @returns how many */
export async function ensurePartitions(
  session: Session,
  table: string,
  unit: Unit,
  first: Date,
  last: Date,
): Promise<number> {
  const { rows } = await session.query<{ made: number }>(ENSURE, [table, unit, first, last]);
  return rows[0]?.made ?? 0;
}

const DROP = "SELECT drop_partitions($1::regclass, $2) AS dropped";

/** Drops a table's partitions that end at or before a time. @returns their names */
export async function dropPartitions(session: Session, table: string, before: Date): Promise<string[]> {
  const { rows } = await session.query<{ dropped: string[] }>(DROP, [table, before]);
  return rows[0]?.dropped ?? [];
}

// Each of the two finds its index; one condition for both would read a year of minutes.
const TO_CLEAR = `
  SELECT
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "asOf",
    coalesce(array_agg(DISTINCT extract(epoch FROM date_trunc('hour', minute, 'UTC'))::double precision * 1000), '{}') AS hours
  FROM (
    SELECT minute FROM usage_minute
    WHERE minute >= coalesce($2::timestamptz, '-infinity') AND minute < $1
    UNION
    SELECT minute FROM usage_minute
    WHERE changed_at >= coalesce($3::timestamptz, '-infinity') - ${CHANGES_OVERLAP} AND minute < $1
  ) AS due`;

const toClearRow = z.object({ asOf: z.iso.datetime({ precision: 6 }), hours: z.array(z.number()) });

/**
 * The hours before a time whose requests have not been cleared yet, as far as there were any.
 *
 * @param cleared up to when they were; null: not at all
 * @param since what the look before said: hours to which rows came later than that are among them, cleared or not
 * @returns starts of hours, ms since the epoch, oldest first
 */
export async function readHoursToClear(
  session: Session,
  before: Date,
  cleared: string | null,
  since: string | null,
): Promise<{ asOf: string; hours: number[] }> {
  const { rows } = await session.query(TO_CLEAR, [before, cleared, since]);
  const { asOf, hours } = toClearRow.parse(rows[0]);
  return { asOf, hours: hours.sort((one, other) => one - other) };
}

const CLEAR = `
  UPDATE inference_logs SET prompt = NULL, response = NULL, ip_address = NULL
  WHERE "timestamp" >= $1 AND "timestamp" < $2
    AND (prompt IS NOT NULL OR response IS NOT NULL OR ip_address IS NOT NULL)`;

/** Clears the content and the addresses of requests that arrived in a span. @returns how many had any */
export async function clearContent(session: Session, from: Date, to: Date): Promise<number> {
  return (await session.query(CLEAR, [from, to])).rowCount ?? 0;
}

const SILENCE = "UPDATE dead_letter SET body = '' WHERE recorded_at < $1 AND body <> ''";

/** Clears what dead letters held that were recorded before a time: it may be content. @returns how many */
export async function silenceDeadLetters(session: Session, before: Date): Promise<number> {
  return (await session.query(SILENCE, [before])).rowCount ?? 0;
}

const FORGET = "DELETE FROM dead_letter WHERE recorded_at < $1";

/** Forgets dead letters that were recorded before a time. @returns how many */
export async function forgetDeadLetters(session: Session, before: Date): Promise<number> {
  return (await session.query(FORGET, [before])).rowCount ?? 0;
}
