-- Up Migration

-- The ledger: one row per admitted request. The columns down to metadata are those of the on-prem documents.
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

CREATE INDEX inference_logs_by_user ON inference_logs (user_id, "timestamp");
CREATE INDEX inference_logs_by_time ON inference_logs ("timestamp");

-- Down Migration

DROP TABLE inference_logs;
