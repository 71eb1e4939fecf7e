-- Up Migration

-- What streams tell: all hosts that made a part of an answer, and what hosts made in vain.

ALTER TABLE inference_logs
  ADD COLUMN hosts text[] NOT NULL DEFAULT '{}',
  ADD COLUMN wasted_tokens integer;
COMMENT ON COLUMN inference_logs.hosts IS 'Hosts that made a part of the answer, in order: several where one died and another carried on.';
COMMENT ON COLUMN inference_logs.wasted_tokens IS 'Completion tokens that hosts made and no caller got; null where nobody knows how many.';

-- Down Migration

ALTER TABLE inference_logs DROP COLUMN hosts, DROP COLUMN wasted_tokens;
