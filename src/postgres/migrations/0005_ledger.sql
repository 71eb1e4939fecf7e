-- Up Migration

-- What the consumer writes: one row per event, cut by time, and the minute's sums of the requests.
--
-- A table that is cut by time cannot promise that an id is unique, only an id with its time. An event's time is fixed
-- when its id is minted, so the two are as good as the id.

ALTER TABLE inference_logs RENAME TO inference_logs_whole;
ALTER TABLE inference_logs_whole RENAME CONSTRAINT inference_logs_pkey TO inference_logs_whole_pkey;
DROP INDEX inference_logs_by_user, inference_logs_by_time;

CREATE TABLE inference_logs (
  id                uuid NOT NULL,
  workflow_id       text,
  prompt            text,
  response          text,
  tokens_used       bigint NOT NULL,
  latency_ms        integer NOT NULL,
  model             text NOT NULL,
  user_id           text NOT NULL,
  ip_address        inet,
  "timestamp"       timestamptz NOT NULL,
  cost_estimate     numeric(18, 6),
  metadata          jsonb NOT NULL DEFAULT '{}',
  request_id        uuid NOT NULL,
  key_id            text,
  tier              text NOT NULL,
  route             text NOT NULL,
  host              text,
  served_as         text,
  prompt_tokens     integer NOT NULL,
  completion_tokens integer NOT NULL,
  saved_tokens      integer NOT NULL,
  estimated         boolean NOT NULL,
  ttft_ms           integer,
  finish_reason     text,
  outcome           text NOT NULL,
  attempts          integer NOT NULL,
  cache             text NOT NULL,
  account           text NOT NULL,
  tenant            text,
  trace_id          text,
  cached_tokens     integer,
  queue_wait_ms     integer,
  host_ms           integer,
  admitted_by       text NOT NULL DEFAULT 'account',
  price_version     text,
  PRIMARY KEY (id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE TABLE inference_logs_default PARTITION OF inference_logs DEFAULT;

COMMENT ON COLUMN inference_logs.prompt IS 'Null unless the catalog asks to store content; cleared after 30 days.';
COMMENT ON COLUMN inference_logs.response IS 'Null unless the catalog asks to store content; cleared after 30 days.';
COMMENT ON COLUMN inference_logs.ip_address IS 'Cleared after 30 days.';
COMMENT ON COLUMN inference_logs.cost_estimate IS 'US dollars; null when the model has no price.';
COMMENT ON COLUMN inference_logs.estimated IS 'True when the engine did not tell the tokens and the gateway counted.';
COMMENT ON COLUMN inference_logs.account IS 'Whose request it was: names the limits'' Account object. Empty in rows from before it was recorded.';
COMMENT ON COLUMN inference_logs.cached_tokens IS 'Of the prompt''s, those in the engine''s prefix cache; null when it did not say.';
COMMENT ON COLUMN inference_logs.admitted_by IS 'account, or local: by the isolate''s own allowance while the account could not be reached.';

CREATE INDEX inference_logs_by_user ON inference_logs (user_id, "timestamp");
CREATE INDEX inference_logs_by_time ON inference_logs ("timestamp");

-- Sums of one minute. A name that there is none of is empty, because a key cannot hold null.
CREATE TABLE usage_minute (
  minute             timestamptz NOT NULL,
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
  changed_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (account, minute, model, host, key_id, tenant, user_id)
) PARTITION BY RANGE (minute);
CREATE TABLE usage_minute_default PARTITION OF usage_minute DEFAULT;

COMMENT ON COLUMN usage_minute.errors IS 'Outcome upstream_error or abandoned.';
COMMENT ON COLUMN usage_minute.cost_micros IS 'Micro-dollars of the priced requests.';
COMMENT ON COLUMN usage_minute.ttft_requests IS 'How many requests ttft_ms is the sum of.';

CREATE INDEX usage_minute_by_time ON usage_minute (minute);
-- Of the kind that an update need not touch, since most updates change nothing else that is indexed.
CREATE INDEX usage_minute_by_change ON usage_minute USING brin (changed_at);

-- A name as the sums know it. A row of an index holds about 2,700 bytes, and no caller may keep a request out of the
-- ledger by a long name: what is longer than a sixth of that keeps its beginning and is told apart by its hash.
CREATE FUNCTION ledger_name(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN name IS NULL THEN ''
  WHEN octet_length(name) <= 400 THEN name
  ELSE left(name, 90) || '#' || md5(name)
END;

-- Adds to the sums what a statement added to the ledger: rows that ON CONFLICT passed over are not among them, so an
-- event that is delivered again counts once. In the order of the key, so that no two writers wait in a circle.
-- It works with its owner's rights: the writer itself can neither read nor change a sum.
CREATE FUNCTION add_to_usage_minute() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
  INSERT INTO usage_minute AS u (
    account, minute, model, host, key_id, tenant, user_id, requests, errors, cached_requests, estimated_requests,
    unpriced_requests, prompt_tokens, completion_tokens, cached_tokens, saved_tokens, cost_micros, latency_ms, ttft_ms,
    ttft_requests)
  SELECT
    ledger_name(a.account), date_trunc('minute', a."timestamp", 'UTC'), ledger_name(a.model), ledger_name(a.host),
    ledger_name(a.key_id), ledger_name(a.tenant), ledger_name(a.user_id), count(*),
    count(*) FILTER (WHERE a.outcome IN ('upstream_error', 'abandoned')), count(*) FILTER (WHERE a.cache = 'hit'),
    count(*) FILTER (WHERE a.estimated), count(*) FILTER (WHERE a.cost_estimate IS NULL), sum(a.prompt_tokens),
    sum(a.completion_tokens), coalesce(sum(a.cached_tokens), 0), sum(a.saved_tokens),
    coalesce(sum(a.cost_estimate) * 1000000, 0), sum(a.latency_ms), coalesce(sum(a.ttft_ms), 0), count(a.ttft_ms)
  FROM added a
  GROUP BY 1, 2, 3, 4, 5, 6, 7
  ORDER BY 1, 2, 3, 4, 5, 6, 7
  ON CONFLICT (account, minute, model, host, key_id, tenant, user_id) DO UPDATE SET
    requests           = u.requests + excluded.requests,
    errors             = u.errors + excluded.errors,
    cached_requests    = u.cached_requests + excluded.cached_requests,
    estimated_requests = u.estimated_requests + excluded.estimated_requests,
    unpriced_requests  = u.unpriced_requests + excluded.unpriced_requests,
    prompt_tokens      = u.prompt_tokens + excluded.prompt_tokens,
    completion_tokens  = u.completion_tokens + excluded.completion_tokens,
    cached_tokens      = u.cached_tokens + excluded.cached_tokens,
    saved_tokens       = u.saved_tokens + excluded.saved_tokens,
    cost_micros        = u.cost_micros + excluded.cost_micros,
    latency_ms         = u.latency_ms + excluded.latency_ms,
    ttft_ms            = u.ttft_ms + excluded.ttft_ms,
    ttft_requests      = u.ttft_requests + excluded.ttft_requests,
    changed_at         = excluded.changed_at;
  RETURN NULL;
END
$$;
-- Its names mean the ledger's tables, whatever the caller's search path. (Nobody needs the right to execute a trigger's
-- function for the trigger to fire; it would let others put it on tables of their own.)
DO $$ BEGIN
  EXECUTE format('ALTER FUNCTION add_to_usage_minute() SET search_path = pg_catalog, %I, pg_temp', current_schema());
END $$;
REVOKE ALL ON FUNCTION add_to_usage_minute() FROM PUBLIC;

CREATE TRIGGER inference_logs_usage AFTER INSERT ON inference_logs
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION add_to_usage_minute();

-- As far back as rows are kept; what is older still lies in the default partition.
SELECT
  ensure_partitions('inference_logs', 'day', greatest(oldest, now() - interval '90 days'), now() + interval '14 days'),
  ensure_partitions('usage_minute', 'month', greatest(oldest, now() - interval '90 days'), now() + interval '2 months')
FROM (SELECT least(min("timestamp"), now() - interval '1 day') FROM inference_logs_whole) AS found (oldest);

-- The trigger sums these rows up, too.
INSERT INTO inference_logs SELECT *, '' FROM inference_logs_whole;
DROP TABLE inference_logs_whole;

ALTER TABLE audit_log RENAME TO audit_log_whole;
ALTER TABLE audit_log_whole RENAME CONSTRAINT audit_log_pkey TO audit_log_whole_pkey;
DROP INDEX audit_log_by_time, audit_log_by_actor, audit_log_by_action, audit_log_by_target, audit_log_by_outcome,
  audit_log_by_ip;

CREATE TABLE audit_log (
  id          uuid NOT NULL,
  "timestamp" timestamptz NOT NULL,
  actor       text NOT NULL,
  key_id      text,
  action      text NOT NULL,
  target      text,
  ip          inet,
  outcome     text NOT NULL,
  request_id  uuid,
  detail      jsonb NOT NULL DEFAULT '{}',
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE TABLE audit_log_default PARTITION OF audit_log DEFAULT;

COMMENT ON COLUMN audit_log."timestamp" IS 'When it happened, by the clock of the edge.';
COMMENT ON COLUMN audit_log.recorded_at IS 'When the row was written, by the clock of the database; the writer cannot set it.';

-- One per filter of GET /admin/audit, each in the order in which pages are read.
CREATE INDEX audit_log_by_time ON audit_log ("timestamp", id);
CREATE INDEX audit_log_by_actor ON audit_log (actor, "timestamp", id);
CREATE INDEX audit_log_by_action ON audit_log (action, "timestamp", id);
CREATE INDEX audit_log_by_target ON audit_log (target, "timestamp", id);
CREATE INDEX audit_log_by_outcome ON audit_log (outcome, "timestamp", id);
CREATE INDEX audit_log_by_ip ON audit_log (ip);

SELECT ensure_partitions('audit_log', 'month', greatest(oldest, now() - interval '1 year'), now() + interval '2 months')
FROM (SELECT least(min("timestamp"), now() - interval '1 day') FROM audit_log_whole) AS found (oldest);
INSERT INTO audit_log SELECT * FROM audit_log_whole;
DROP TABLE audit_log_whole;

-- What callers thought of answers. They may say so again; the newest counts.
CREATE TABLE feedback (
  id           uuid NOT NULL,
  "timestamp"  timestamptz NOT NULL,
  request_id   uuid NOT NULL,
  account      text NOT NULL,
  user_id      text NOT NULL,
  satisfaction smallint,
  accuracy     double precision,
  comment      text,
  PRIMARY KEY (id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE TABLE feedback_default PARTITION OF feedback DEFAULT;

COMMENT ON COLUMN feedback.satisfaction IS '1 to 10.';
COMMENT ON COLUMN feedback.accuracy IS '0 to 1.';

CREATE INDEX feedback_by_request ON feedback (request_id, "timestamp", id);

CREATE VIEW inference_feedback AS
SELECT
  f.request_id, f.id AS feedback_id, f."timestamp" AS feedback_timestamp, f.satisfaction, f.accuracy, f.comment,
  i."timestamp", i.account, i.user_id, i.tenant, i.key_id, i.workflow_id, i.route, i.model, i.host, i.served_as,
  i.outcome, i.finish_reason, i.tokens_used, i.latency_ms, i.ttft_ms, i.cost_estimate
FROM feedback f
JOIN inference_logs i ON i.id = f.request_id AND i.account = f.account
WHERE NOT EXISTS (
  SELECT FROM feedback newer
  WHERE newer.request_id = f.request_id AND newer.account = f.account
    AND (newer."timestamp", newer.id) > (f."timestamp", f.id)
);
COMMENT ON VIEW inference_feedback IS 'The newest feedback on each request, beside the request.';

-- What the fleet thought of its hosts: every change, and a sample each hour.
CREATE TABLE host_state (
  id          uuid NOT NULL,
  "timestamp" timestamptz NOT NULL,
  host        text NOT NULL,
  state       text NOT NULL,
  previous    text,
  slots       integer NOT NULL,
  reason      text,
  PRIMARY KEY (id, "timestamp")
) PARTITION BY RANGE ("timestamp");
CREATE TABLE host_state_default PARTITION OF host_state DEFAULT;
CREATE INDEX host_state_by_host ON host_state (host, "timestamp");

SELECT
  ensure_partitions('feedback', 'month', now() - interval '1 day', now() + interval '2 months'),
  ensure_partitions('host_state', 'month', now() - interval '1 day', now() + interval '2 months');

-- What came by the queue and could not be written, for somebody to look at. It may hold what the event held.
CREATE TABLE dead_letter (
  id          text PRIMARY KEY,
  queue       text NOT NULL,
  message_id  text NOT NULL,
  body        text NOT NULL,
  reason      text NOT NULL,
  attempts    integer NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN dead_letter.id IS 'The event''s id where the body has one, else the message''s.';
COMMENT ON COLUMN dead_letter.body IS 'The message as JSON.';

CREATE INDEX dead_letter_by_time ON dead_letter (recorded_at);

-- The roles of migration 0002, where they are. The writer only adds rows; what it reads is what ON CONFLICT and RETURNING
-- read. Partitions are reached through their tables and grant nothing themselves.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_writer') THEN
    GRANT INSERT, SELECT (id, "timestamp") ON inference_logs, feedback, host_state TO causeway_writer;
    GRANT INSERT (id, "timestamp", actor, key_id, action, target, ip, outcome, request_id, detail),
      SELECT (id, "timestamp") ON audit_log TO causeway_writer;
    GRANT INSERT (id, queue, message_id, body, reason, attempts), SELECT (id) ON dead_letter TO causeway_writer;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_reader') THEN
    GRANT SELECT ON inference_logs, usage_minute, audit_log, feedback, inference_feedback, host_state, dead_letter
      TO causeway_reader;
  END IF;
END
$$;

-- Down Migration

DROP TABLE dead_letter;
DROP TABLE host_state;
DROP VIEW inference_feedback;
DROP TABLE feedback;

ALTER TABLE inference_logs RENAME TO inference_logs_cut;
ALTER TABLE inference_logs_cut RENAME CONSTRAINT inference_logs_pkey TO inference_logs_cut_pkey;
DROP INDEX inference_logs_by_user, inference_logs_by_time;

CREATE TABLE inference_logs (
  id                uuid PRIMARY KEY,
  workflow_id       text,
  prompt            text,
  response          text,
  tokens_used       bigint NOT NULL,
  latency_ms        integer NOT NULL,
  model             text NOT NULL,
  user_id           text NOT NULL,
  ip_address        inet,
  "timestamp"       timestamptz NOT NULL,
  cost_estimate     numeric(18, 6),
  metadata          jsonb NOT NULL DEFAULT '{}',
  request_id        uuid NOT NULL,
  key_id            text,
  tier              text NOT NULL,
  route             text NOT NULL,
  host              text,
  served_as         text,
  prompt_tokens     integer NOT NULL,
  completion_tokens integer NOT NULL,
  saved_tokens      integer NOT NULL,
  estimated         boolean NOT NULL,
  ttft_ms           integer,
  finish_reason     text,
  outcome           text NOT NULL,
  attempts          integer NOT NULL,
  cache             text NOT NULL
);
COMMENT ON COLUMN inference_logs.prompt IS 'Null unless the catalog asks to store content.';
COMMENT ON COLUMN inference_logs.response IS 'Null unless the catalog asks to store content.';
COMMENT ON COLUMN inference_logs.cost_estimate IS 'US dollars; null when the model has no price.';
COMMENT ON COLUMN inference_logs.estimated IS 'True when the engine did not tell the tokens and the gateway counted.';

INSERT INTO inference_logs
SELECT
  id, workflow_id, prompt, response, tokens_used, latency_ms, model, user_id, ip_address, "timestamp", cost_estimate,
  metadata, request_id, key_id, tier, route, host, served_as, prompt_tokens, completion_tokens, saved_tokens, estimated,
  ttft_ms, finish_reason, outcome, attempts, cache
FROM inference_logs_cut
ON CONFLICT (id) DO NOTHING;
DROP TABLE inference_logs_cut;
DROP FUNCTION add_to_usage_minute();
DROP TABLE usage_minute;
DROP FUNCTION ledger_name(text);
CREATE INDEX inference_logs_by_user ON inference_logs (user_id, "timestamp");
CREATE INDEX inference_logs_by_time ON inference_logs ("timestamp");

ALTER TABLE audit_log RENAME TO audit_log_cut;
ALTER TABLE audit_log_cut RENAME CONSTRAINT audit_log_pkey TO audit_log_cut_pkey;
DROP INDEX audit_log_by_time, audit_log_by_actor, audit_log_by_action, audit_log_by_target, audit_log_by_outcome,
  audit_log_by_ip;

CREATE TABLE audit_log (
  id          uuid PRIMARY KEY,
  "timestamp" timestamptz NOT NULL,
  actor       text NOT NULL,
  key_id      text,
  action      text NOT NULL,
  target      text,
  ip          inet,
  outcome     text NOT NULL,
  request_id  uuid,
  detail      jsonb NOT NULL DEFAULT '{}',
  recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN audit_log."timestamp" IS 'When it happened, by the clock of the edge.';
COMMENT ON COLUMN audit_log.recorded_at IS 'When the row was written, by the clock of the database; the writer cannot set it.';

INSERT INTO audit_log SELECT * FROM audit_log_cut ON CONFLICT (id) DO NOTHING;
DROP TABLE audit_log_cut;
CREATE INDEX audit_log_by_time ON audit_log ("timestamp", id);
CREATE INDEX audit_log_by_actor ON audit_log (actor, "timestamp", id);
CREATE INDEX audit_log_by_action ON audit_log (action, "timestamp", id);
CREATE INDEX audit_log_by_target ON audit_log (target, "timestamp", id);
CREATE INDEX audit_log_by_outcome ON audit_log (outcome, "timestamp", id);
CREATE INDEX audit_log_by_ip ON audit_log (ip);

DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_writer') THEN
    GRANT INSERT, SELECT (id) ON inference_logs TO causeway_writer;
    GRANT INSERT (id, "timestamp", actor, key_id, action, target, ip, outcome, request_id, detail), SELECT (id)
      ON audit_log TO causeway_writer;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_reader') THEN
    GRANT SELECT ON inference_logs, audit_log TO causeway_reader;
  END IF;
END
$$;
