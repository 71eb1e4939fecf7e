-- Up Migration

-- What the fleet tells: who chose a request's host, and once a minute what each host had to do.

ALTER TABLE inference_logs ADD COLUMN placed_by text NOT NULL DEFAULT 'fleet';
COMMENT ON COLUMN inference_logs.placed_by IS 'Who chose the host: fleet, or local: the isolate by what it knew last, while the fleet could not be reached.';

-- A table of two kinds of rows: hours of a model on a host, and moments of a host. What one kind does not have is null,
-- so that sums and averages over all rows are those of the kind that has it.
ALTER TABLE model_metrics
  ADD COLUMN kind text NOT NULL DEFAULT 'hour',
  ADD COLUMN running integer,
  ADD COLUMN waiting integer,
  ADD COLUMN kv_usage double precision,
  ADD COLUMN in_flight integer,
  ADD COLUMN in_line integer;
ALTER TABLE model_metrics DROP CONSTRAINT model_metrics_pkey;
ALTER TABLE model_metrics ADD PRIMARY KEY ("timestamp", model, host, kind);
ALTER TABLE model_metrics
  ALTER COLUMN requests DROP NOT NULL,
  ALTER COLUMN errors DROP NOT NULL,
  ALTER COLUMN error_rate DROP NOT NULL,
  ADD CONSTRAINT model_metrics_kind CHECK (
    CASE kind
      WHEN 'hour' THEN requests IS NOT NULL AND errors IS NOT NULL AND error_rate IS NOT NULL
      WHEN 'load' THEN model = '' AND requests IS NULL AND in_flight IS NOT NULL AND in_line IS NOT NULL
      ELSE false
    END);

COMMENT ON COLUMN model_metrics.kind IS 'hour: how a model did on a host; load: what a host had to do at a moment, once a minute.';
COMMENT ON COLUMN model_metrics."timestamp" IS 'The start of the hour, or the moment.';
COMMENT ON COLUMN model_metrics.model IS 'Empty in rows of kind load: they are of the host.';
COMMENT ON COLUMN model_metrics.running IS 'Requests that the engine worked on; null when it did not tell.';
COMMENT ON COLUMN model_metrics.waiting IS 'Requests that waited inside the engine; null when it did not tell.';
COMMENT ON COLUMN model_metrics.kv_usage IS 'Part of the KV cache in use, 0 to 1; null when the engine did not tell.';
COMMENT ON COLUMN model_metrics.in_flight IS 'Requests that the gateway had in flight on the host.';
COMMENT ON COLUMN model_metrics.in_line IS 'Requests that waited for the host in the gateway''s own line.';

-- Moments only: a row of kind hour needs columns that the writer has no right to.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_writer') THEN
    GRANT INSERT ("timestamp", kind, model, host, running, waiting, kv_usage, in_flight, in_line),
      SELECT ("timestamp", kind, model, host) ON model_metrics TO causeway_writer;
  END IF;
END
$$;

-- Down Migration

DELETE FROM model_metrics WHERE kind <> 'hour';
ALTER TABLE model_metrics DROP CONSTRAINT model_metrics_kind, DROP CONSTRAINT model_metrics_pkey;
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_writer') THEN
    REVOKE INSERT ("timestamp", kind, model, host, running, waiting, kv_usage, in_flight, in_line),
      SELECT ("timestamp", kind, model, host) ON model_metrics FROM causeway_writer;
  END IF;
END
$$;
ALTER TABLE model_metrics
  DROP COLUMN kind,
  DROP COLUMN running,
  DROP COLUMN waiting,
  DROP COLUMN kv_usage,
  DROP COLUMN in_flight,
  DROP COLUMN in_line,
  ALTER COLUMN requests SET NOT NULL,
  ALTER COLUMN errors SET NOT NULL,
  ALTER COLUMN error_rate SET NOT NULL,
  ADD PRIMARY KEY ("timestamp", model, host);
COMMENT ON COLUMN model_metrics."timestamp" IS 'The start of the hour.';
COMMENT ON COLUMN model_metrics.model IS NULL;

ALTER TABLE inference_logs DROP COLUMN placed_by;
