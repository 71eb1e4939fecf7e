/** What each host and model had to do day by day, from `usage_day`, and how long hosts were up, from `host_state`. */
import { z } from "zod";
import { at } from "./milliseconds.ts";
import type { Session } from "./session.ts";

const LOAD = `
  SELECT
    day::text, model, host, sum(requests)::double precision AS requests,
    sum(prompt_tokens + completion_tokens)::double precision AS tokens,
    sum(latency_ms)::double precision AS "busyMs"
  FROM usage_day
  WHERE day >= $1::date AND day <= $2::date
  GROUP BY 1, 2, 3
  ORDER BY 1, 2, 3`;

const loadRow = z.object({
  /** `YYYY-MM-DD`, UTC. */
  day: z.string(),
  model: z.string(),
  /** Empty where no host worked. */
  host: z.string(),
  requests: z.number(),
  tokens: z.number(),
  /** From arrival to end, summed over requests: how long slots were taken, and waited for. */
  busyMs: z.number(),
});
export type DailyLoad = z.infer<typeof loadRow>;

/** The load of days from the first to the last, both inclusive. */
export async function readDailyLoad(session: Session, firstDay: string, lastDay: string): Promise<DailyLoad[]> {
  const { rows } = await session.query(LOAD, [firstDay, lastDay]);
  return z.array(loadRow).parse(rows);
}

/** The fleet says every host's state once an hour. Where it says nothing for longer, nothing is known. */
const SILENCE = "interval '65 minutes'";

const UPTIME = `
  WITH said AS (
    SELECT
      host, state, slots, "timestamp" AS since,
      least(lead("timestamp") OVER (PARTITION BY host ORDER BY "timestamp", id), "timestamp" + ${SILENCE}) AS until
    FROM host_state
    WHERE "timestamp" >= ${at("$1")} - ${SILENCE}
      AND "timestamp" < ${at("$2")}
  ), lasted AS (
    SELECT
      host, state, slots, since,
      greatest(0, extract(epoch FROM least(until, ${at("$2")})
        - greatest(since, ${at("$1")}))) * 1000 AS ms
    FROM said
  )
  SELECT
    host, (array_agg(slots ORDER BY since DESC))[1] AS slots,
    coalesce(sum(ms) FILTER (WHERE state = 'up'), 0)::double precision AS "upMs",
    coalesce(sum(ms) FILTER (WHERE state IN ('up', 'down', 'loading')), 0)::double precision AS "knownMs"
  FROM lasted
  GROUP BY host
  ORDER BY host`;

const uptimeRow = z.object({
  host: z.string(),
  /** As last said. */
  slots: z.number(),
  upMs: z.number(),
  /** How long its state was known at all. */
  knownMs: z.number(),
});
export type Uptime = z.infer<typeof uptimeRow>;

/** How long each host was up between two times, ms since the epoch. */
export async function readUptime(session: Session, startMs: number, endMs: number): Promise<Uptime[]> {
  const { rows } = await session.query(UPTIME, [startMs, endMs]);
  return z.array(uptimeRow).parse(rows);
}
