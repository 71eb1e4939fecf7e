-- Up Migration

-- What the batch jobs make of the ledger, and their own book. Written with the gateway's own rights.

-- usage_minute by the day, recomputed and never counted up.
CREATE TABLE usage_day (
  day                date NOT NULL,
  account            text NOT NULL,
  user_id            text NOT NULL,
  tenant             text NOT NULL,
  key_id             text NOT NULL,
  model              text NOT NULL,
  host               text NOT NULL,
  requests           bigint NOT NULL DEFAULT 0,
  errors             bigint NOT NULL DEFAULT 0,
  cached_requests    bigint NOT NULL DEFAULT 0,
  estimated_requests bigint NOT NULL DEFAULT 0,
  unpriced_requests  bigint NOT NULL DEFAULT 0,
  prompt_tokens      bigint NOT NULL DEFAULT 0,
  completion_tokens  bigint NOT NULL DEFAULT 0,
  cached_tokens      bigint NOT NULL DEFAULT 0,
  saved_tokens       bigint NOT NULL DEFAULT 0,
  cost_micros        bigint NOT NULL DEFAULT 0,
  latency_ms         bigint NOT NULL DEFAULT 0,
  ttft_ms            bigint NOT NULL DEFAULT 0,
  ttft_requests      bigint NOT NULL DEFAULT 0,
  rolled_at          timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (account, day, model, host, key_id, tenant, user_id)
) PARTITION BY RANGE (day);
CREATE TABLE usage_day_default PARTITION OF usage_day DEFAULT;
COMMENT ON COLUMN usage_day.day IS 'In UTC.';
CREATE INDEX usage_day_by_time ON usage_day (day);

-- How each model did on each host, by the hour.
CREATE TABLE model_metrics (
  "timestamp"       timestamptz NOT NULL,
  model             text NOT NULL,
  host              text NOT NULL,
  requests          bigint NOT NULL,
  errors            bigint NOT NULL,
  error_rate        double precision NOT NULL,
  ttft_p50_ms       double precision,
  ttft_p95_ms       double precision,
  ttft_p99_ms       double precision,
  latency_p50_ms    double precision,
  latency_p95_ms    double precision,
  latency_p99_ms    double precision,
  tokens_per_second double precision,
  metadata          jsonb NOT NULL DEFAULT '{}',
  PRIMARY KEY ("timestamp", model, host)
) PARTITION BY RANGE ("timestamp");
CREATE TABLE model_metrics_default PARTITION OF model_metrics DEFAULT;
COMMENT ON COLUMN model_metrics."timestamp" IS 'The start of the hour.';

CREATE TABLE reports (
  kind         text NOT NULL,
  period_start timestamptz NOT NULL,
  period_end   timestamptz NOT NULL,
  body         jsonb NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (kind, period_start)
) PARTITION BY RANGE (period_start);
CREATE TABLE reports_default PARTITION OF reports DEFAULT;

SELECT
  ensure_partitions('usage_day', 'month', now() - interval '1 day', now() + interval '2 months'),
  ensure_partitions('model_metrics', 'month', now() - interval '1 day', now() + interval '2 months'),
  ensure_partitions('reports', 'year', now() - interval '1 day', now() + interval '1 year');

CREATE TABLE job_runs (
  name         text NOT NULL,
  period_start timestamptz NOT NULL,
  period_end   timestamptz NOT NULL,
  state        text NOT NULL CHECK (state IN ('running', 'done', 'failed')),
  attempts     integer NOT NULL DEFAULT 1,
  started_at   timestamptz NOT NULL DEFAULT now(),
  finished_at  timestamptz,
  result       jsonb,
  reason       text,
  PRIMARY KEY (name, period_start)
);
CREATE INDEX job_runs_by_time ON job_runs (period_start);

-- Makes the table of embeddings once the server has pgvector; until then there is none. Called again at each start.
-- Returns whether the table is there.
CREATE FUNCTION ensure_embeddings() RETURNS boolean
LANGUAGE plpgsql
AS $$
DECLARE
  vector regtype;
BEGIN
  IF to_regclass('embeddings') IS NOT NULL THEN RETURN true; END IF;
  IF NOT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') THEN RETURN false; END IF;
  PERFORM pg_advisory_xact_lock(hashtextextended('embeddings', 0));
  BEGIN
    CREATE EXTENSION IF NOT EXISTS vector;
  EXCEPTION
    -- Its files are there in part, or this user may not.
    WHEN insufficient_privilege OR feature_not_supported OR undefined_file THEN RETURN false;
  END;
  SELECT t.oid::regtype INTO STRICT vector
  FROM pg_extension e JOIN pg_type t ON t.typnamespace = e.extnamespace
  WHERE e.extname = 'vector' AND t.typname = 'vector';
  EXECUTE format('CREATE TABLE IF NOT EXISTS embeddings (
    id           uuid PRIMARY KEY,
    content_hash text NOT NULL,
    model        text NOT NULL,
    user_id      text NOT NULL,
    embedding    %s NOT NULL,
    metadata     jsonb NOT NULL DEFAULT ''{}'',
    "timestamp"  timestamptz NOT NULL)', vector);
  CREATE INDEX IF NOT EXISTS embeddings_by_content ON embeddings (content_hash, model);
  RETURN true;
END
$$;
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION ensure_embeddings() SET search_path = %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION ensure_embeddings() FROM PUBLIC;
SELECT ensure_embeddings();

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_reader') THEN
    GRANT SELECT ON usage_day, model_metrics, reports, job_runs TO causeway_reader;
  END IF;
END
$$;

-- Down Migration

DROP TABLE IF EXISTS embeddings;
DROP FUNCTION ensure_embeddings();
DROP TABLE job_runs;
DROP TABLE reports;
DROP TABLE model_metrics;
DROP TABLE usage_day;
