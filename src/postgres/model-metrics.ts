/**
 * How models performed on hosts, from `inference_logs`: percentiles, error rates and speed, by the hour into
 * `model_metrics` and over any span for a report. The table's rows of kind `load` are `host-loads.ts`'s.
 */
import { z } from "zod";
import { at } from "./milliseconds.ts";
import type { Session } from "./session.ts";

const PERCENTILES = "ARRAY[0.5, 0.95, 0.99]";

/** A host's speed is what it generated per second of its work on a request, the prompt's included. */
const WORKED = "outcome = 'complete' AND host_ms > 0 AND completion_tokens > 0";

/**
 * The measures of a group of rows. Latencies are those of whole answers: a caller that left, or a host that failed,
 * ends a request early.
 */
const MEASURED = `
  count(*) AS requests,
  count(*) FILTER (WHERE outcome IN ('upstream_error', 'abandoned')) AS errors,
  percentile_cont(${PERCENTILES}) WITHIN GROUP (ORDER BY ttft_ms) AS ttft,
  percentile_cont(${PERCENTILES}) WITHIN GROUP (ORDER BY latency_ms) FILTER (WHERE outcome IN ('complete', 'cached'))
    AS latency,
  count(ttft_ms) AS ttft_requests,
  1000.0 * sum(completion_tokens) FILTER (WHERE ${WORKED})
    / sum(host_ms) FILTER (WHERE ${WORKED})
    AS tokens_per_second,
  sum(prompt_tokens) AS prompt_tokens,
  sum(completion_tokens) AS completion_tokens`;

const ROLL_UP = `
  INSERT INTO model_metrics AS m (
    "timestamp", kind, model, host, requests, errors, error_rate, ttft_p50_ms, ttft_p95_ms, ttft_p99_ms,
    latency_p50_ms, latency_p95_ms, latency_p99_ms, tokens_per_second, metadata)
  SELECT
    $1::timestamp AT TIME ZONE 'UTC', 'hour', model, host, requests, errors, errors::double precision / requests, ttft[1],
    ttft[2], ttft[3], latency[1], latency[2], latency[3], tokens_per_second,
    jsonb_build_object('ttft_requests', ttft_requests, 'prompt_tokens', prompt_tokens,
      'completion_tokens', completion_tokens)
  FROM (
    SELECT model, coalesce(host, '') AS host, ${MEASURED}
    FROM inference_logs
    WHERE "timestamp" >= $1::timestamp AT TIME ZONE 'UTC'
      AND "timestamp" < ($1::timestamp + interval '1 hour') AT TIME ZONE 'UTC'
    GROUP BY 1, 2
  ) AS measured
  ON CONFLICT ("timestamp", model, host, kind) DO UPDATE SET
    requests = excluded.requests, errors = excluded.errors, error_rate = excluded.error_rate,
    ttft_p50_ms = excluded.ttft_p50_ms, ttft_p95_ms = excluded.ttft_p95_ms, ttft_p99_ms = excluded.ttft_p99_ms,
    latency_p50_ms = excluded.latency_p50_ms, latency_p95_ms = excluded.latency_p95_ms,
    latency_p99_ms = excluded.latency_p99_ms, tokens_per_second = excluded.tokens_per_second,
    metadata = excluded.metadata`;

/**
 * Reckons an hour of `model_metrics` anew.
 *
 * @param hour its start, `YYYY-MM-DD HH:00:00` in UTC
 * @returns how many models' rows it has
 */
export async function reckonHour(session: Session, hour: string): Promise<number> {
  return (await session.query(ROLL_UP, [hour])).rowCount ?? 0;
}

const OVER = `
  SELECT
    model, host, requests::double precision, errors::double precision,
    errors::double precision / requests AS error_rate, ttft[1] AS ttft_p50_ms, ttft[2] AS ttft_p95_ms,
    ttft[3] AS ttft_p99_ms, latency[1] AS latency_p50_ms,
    latency[2] AS latency_p95_ms, latency[3] AS latency_p99_ms, tokens_per_second::double precision,
    prompt_tokens::double precision, completion_tokens::double precision
  FROM (
    SELECT model, coalesce(host, '') AS host, ${MEASURED}
    FROM inference_logs
    WHERE "timestamp" >= ${at("$1")} AND "timestamp" < ${at("$2")}
    GROUP BY 1, 2
  ) AS measured
  ORDER BY model, host`;

const measure = z.number().nullable();
const performance = z.object({
  model: z.string(),
  /** Empty where no host worked: cached answers, and requests that none took. */
  host: z.string(),
  requests: z.number(),
  errors: z.number(),
  error_rate: z.number(),
  ttft_p50_ms: measure,
  ttft_p95_ms: measure,
  ttft_p99_ms: measure,
  latency_p50_ms: measure,
  latency_p95_ms: measure,
  latency_p99_ms: measure,
  tokens_per_second: measure,
  prompt_tokens: z.number(),
  completion_tokens: z.number(),
});
export type Performance = z.infer<typeof performance>;

/** How each model performed on each host in a span of time. What nothing was measured of is null. */
export async function readPerformance(session: Session, startMs: number, endMs: number): Promise<Performance[]> {
  const { rows } = await session.query(OVER, [startMs, endMs]);
  return z.array(performance).parse(rows);
}
