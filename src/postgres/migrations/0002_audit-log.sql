-- Up Migration

-- Who did what to what, from where, when, and what became of it. Rows are added and never changed: see the grants below.
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

-- One per filter of GET /admin/audit, each in the order in which pages are read.
CREATE INDEX audit_log_by_time ON audit_log ("timestamp", id);
CREATE INDEX audit_log_by_actor ON audit_log (actor, "timestamp", id);
CREATE INDEX audit_log_by_action ON audit_log (action, "timestamp", id);
CREATE INDEX audit_log_by_target ON audit_log (target, "timestamp", id);
CREATE INDEX audit_log_by_outcome ON audit_log (outcome, "timestamp", id);
CREATE INDEX audit_log_by_ip ON audit_log (ip);

-- The gateway assumes these roles for each transaction (src/postgres/transaction.ts). The writer adds rows and can
-- neither read, change nor remove them. A gateway that connects as another user than the one of the migrations needs:
--   GRANT causeway_writer, causeway_reader TO that_user;
-- and it is then safest when that user has no further rights on these tables.
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['causeway_writer', 'causeway_reader'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
      EXCEPTION
        WHEN insufficient_privilege THEN
          RAISE NOTICE '% may not create roles, so the ledger is not append-only. Have one who may run: CREATE ROLE % NOLOGIN; then the grants of migration 0002.',
            current_user, wanted;
          CONTINUE;
        -- Another database of this server is migrated at the same time.
        WHEN duplicate_object OR unique_violation THEN NULL;
      END;
    END IF;
    BEGIN
      EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
    EXCEPTION
      WHEN insufficient_privilege THEN
        RAISE NOTICE '% may not assume the role %, so it writes with its own rights. Have one who may run: GRANT % TO %;',
          current_user, wanted, wanted, current_user;
    END;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), wanted);
  END LOOP;

  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_writer') THEN
    -- What ON CONFLICT (id) and RETURNING id read is the id.
    GRANT INSERT, SELECT (id) ON inference_logs TO causeway_writer;
    GRANT INSERT (id, "timestamp", actor, key_id, action, target, ip, outcome, request_id, detail), SELECT (id)
      ON audit_log TO causeway_writer;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_reader') THEN
    GRANT SELECT ON inference_logs, audit_log TO causeway_reader;
  END IF;
END
$$;

-- Down Migration

DROP TABLE audit_log;

DO $$
DECLARE
  unwanted text;
BEGIN
  FOREACH unwanted IN ARRAY ARRAY['causeway_writer', 'causeway_reader'] LOOP
    CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = unwanted);
    EXECUTE format('REVOKE ALL ON inference_logs FROM %I', unwanted);
    EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', current_schema(), unwanted);
    BEGIN
      EXECUTE format('DROP ROLE %I', unwanted);
    EXCEPTION
      -- Roles belong to the server: another database's ledger may need it.
      WHEN dependent_objects_still_exist OR insufficient_privilege THEN
        RAISE NOTICE 'The role % stays: another database uses it, or % may not drop it.', unwanted, current_user;
    END;
  END LOOP;
END
$$;
