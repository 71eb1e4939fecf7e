/** What a span of time came to for the business, from `usage_minute`: in all, by tenant, by model, and by both. */
import { z } from "zod";
import { at, ms } from "./milliseconds.ts";
import type { Session } from "./session.ts";
import { CHANGES_OVERLAP } from "./usage-day.ts";

const FIGURES = `
  SELECT
    grouping(tenant, model) AS grouped, tenant, model, sum(requests)::double precision AS requests,
    count(DISTINCT account)::integer AS users, sum(errors)::double precision AS errors,
    sum(prompt_tokens)::double precision AS prompt_tokens,
    sum(completion_tokens)::double precision AS completion_tokens,
    sum(cost_micros)::double precision AS cost_micros, sum(unpriced_requests)::double precision AS unpriced_requests,
    sum(cached_requests)::double precision AS cached_requests, sum(saved_tokens)::double precision AS saved_tokens,
    sum(estimated_requests)::double precision AS estimated_requests
  FROM usage_minute
  WHERE minute >= ${at("$1")} AND minute < ${at("$2")}
  GROUP BY GROUPING SETS ((), (tenant), (model), (tenant, model))
  ORDER BY 1, 2, 3`;

const amount = z
  .number()
  .nullable()
  .transform((value) => value ?? 0);
const figuresRow = z.object({
  /** Bits of what the row sums over: 2 tenants, 1 models. */
  grouped: z.number(),
  tenant: z.string().nullable(),
  model: z.string().nullable(),
  requests: amount,
  users: z.number(),
  errors: amount,
  prompt_tokens: amount,
  completion_tokens: amount,
  cost_micros: amount,
  unpriced_requests: amount,
  cached_requests: amount,
  saved_tokens: amount,
  estimated_requests: amount,
});
export type BusinessFigures = z.infer<typeof figuresRow>;

/** The figures of a span of whole minutes. There is always a row for all of it. */
export async function readBusinessFigures(
  session: Session,
  startMs: number,
  endMs: number,
): Promise<BusinessFigures[]> {
  const { rows } = await session.query(FIGURES, [startMs, endMs]);
  return z.array(figuresRow).parse(rows);
}

const STALE = `
  SELECT
    ${ms("r.period_start")} AS "startMs", ${ms("r.period_end")} AS "endMs"
  FROM reports r
  WHERE r.kind = $1 AND r.period_start >= ${at("$2")}
    AND EXISTS (
      SELECT FROM usage_minute u
      WHERE u.changed_at > r.created_at - ${CHANGES_OVERLAP} AND u.minute >= r.period_start AND u.minute < r.period_end)
  ORDER BY r.period_start`;

/** Periods of reports, since a time, whose usage may have changed after they were made. */
export async function readStaleReports(
  session: Session,
  kind: string,
  sinceMs: number,
): Promise<{ startMs: number; endMs: number }[]> {
  const { rows } = await session.query(STALE, [kind, sinceMs]);
  return z.array(z.object({ startMs: z.number(), endMs: z.number() })).parse(rows);
}
