/**
 * `usage_day`, made from `usage_minute` and from nothing else: a day is always reckoned anew as a whole, so doing it
 * twice is doing it once. `usage_minute.changed_at` says which days have news.
 */
import { z } from "zod";
import type { Session } from "./session.ts";

/**
 * Rows are dated by the beginning of the transaction that wrote them and seen at its end. A session lives a minute at
 * most; what was written up to this long before is looked at again.
 */
export const CHANGES_OVERLAP = "interval '5 minutes'";

const CHANGED = `
  SELECT
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS "asOf",
    coalesce(array_agg(DISTINCT date_trunc('hour', minute AT TIME ZONE 'UTC')::text), '{}') AS hours
  FROM usage_minute
  WHERE changed_at >= coalesce($1::timestamptz, '-infinity') - ${CHANGES_OVERLAP}`;

const changedRow = z.object({ asOf: z.iso.datetime({ precision: 6 }), hours: z.array(z.string()) });

export type ChangedHours = {
  /** By the database's clock: where the next look goes on. */
  readonly asOf: string;
  /** Starts of hours, `YYYY-MM-DD HH:00:00` in UTC, oldest first. */
  readonly hours: readonly string[];
};

/**
 * The hours whose usage changed.
 *
 * @param since what a look before said; null for all there is
 */
export async function readChangedHours(session: Session, since: string | null): Promise<ChangedHours> {
  const { rows } = await session.query(CHANGED, [since]);
  const { asOf, hours } = changedRow.parse(rows[0]);
  return { asOf, hours: hours.sort() };
}

const SUMS = [
  "requests",
  "errors",
  "cached_requests",
  "estimated_requests",
  "unpriced_requests",
  "prompt_tokens",
  "completion_tokens",
  "cached_tokens",
  "saved_tokens",
  "cost_micros",
  "latency_ms",
  "ttft_ms",
  "ttft_requests",
];
const KEY = "account, user_id, tenant, key_id, model, host";

const RECKON = `
  INSERT INTO usage_day AS d (day, ${KEY}, ${SUMS.join(", ")}, rolled_at)
  SELECT $1::date, ${KEY}, ${SUMS.map((column) => `sum(${column})`).join(", ")}, now()
  FROM usage_minute
  WHERE minute >= $1::timestamp AT TIME ZONE 'UTC' AND minute < ($1::timestamp + interval '1 day') AT TIME ZONE 'UTC'
  GROUP BY ${KEY}
  ON CONFLICT (account, day, model, host, key_id, tenant, user_id) DO UPDATE
  SET ${SUMS.map((column) => `${column} = excluded.${column}`).join(", ")}, rolled_at = excluded.rolled_at
  WHERE (${SUMS.map((column) => `d.${column}`).join(", ")})
    IS DISTINCT FROM (${SUMS.map((column) => `excluded.${column}`).join(", ")})`;

/**
 * Reckons a day anew.
 *
 * @param day `YYYY-MM-DD`, UTC
 * @returns how many rows are new or differ
 */
export async function reckonDay(session: Session, day: string): Promise<number> {
  return (await session.query(RECKON, [day])).rowCount ?? 0;
}
