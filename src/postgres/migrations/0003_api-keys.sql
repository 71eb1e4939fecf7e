-- Up Migration

-- Every API key that was ever issued. The system of record: what the edge knows of keys is derived from these rows.
-- Of the key's text only its HMAC is here. Rows are never deleted.
CREATE TABLE api_keys (
  id            text PRIMARY KEY,
  hash          text NOT NULL UNIQUE,
  owner         text NOT NULL,
  tier          text NOT NULL,
  scopes        text[] NOT NULL CHECK (cardinality(scopes) > 0),
  label         text NOT NULL,
  created_at    timestamptz NOT NULL,
  created_by    text NOT NULL,
  expires_at    timestamptz NOT NULL,
  retires_at    timestamptz,
  revoked_at    timestamptz,
  replaced_by   text REFERENCES api_keys (id) DEFERRABLE INITIALLY DEFERRED,
  last_used_at  timestamptz,
  delivered_at  timestamptz,
  changed_at    timestamptz NOT NULL,
  revision      integer NOT NULL DEFAULT 1,
  edge_revision integer NOT NULL DEFAULT 0
);

COMMENT ON COLUMN api_keys.hash IS 'HMAC-SHA-256 of the key under the gateway''s pepper, base64url; the name of its record in KV.';
COMMENT ON COLUMN api_keys.retires_at IS 'The end of the overlap, once the key was rotated.';
COMMENT ON COLUMN api_keys.delivered_at IS 'Null when the key''s text was never shown, so that nobody holds it.';
COMMENT ON COLUMN api_keys.edge_revision IS 'The revision that KV and the owner''s Account object were last told.';

CREATE INDEX api_keys_by_time ON api_keys (created_at DESC, id DESC);
CREATE INDEX api_keys_by_owner ON api_keys (owner, created_at DESC, id DESC);
CREATE INDEX api_keys_by_change ON api_keys (changed_at);
CREATE INDEX api_keys_not_delivered ON api_keys (created_at) WHERE delivered_at IS NULL AND revoked_at IS NULL;
CREATE INDEX api_keys_not_told ON api_keys (id) WHERE edge_revision < revision;

-- The roles of another migration, where they are. The writer notes uses and changes nothing else; administrators' changes
-- are made with the gateway's own rights.
DO $$
BEGIN
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_writer') THEN
    GRANT SELECT (id, last_used_at), UPDATE (last_used_at) ON api_keys TO causeway_writer;
  END IF;
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'causeway_reader') THEN
    GRANT SELECT (id, owner, tier, scopes, label, created_at, created_by, expires_at, retires_at, revoked_at,
      replaced_by, last_used_at, delivered_at, changed_at) ON api_keys TO causeway_reader;
  END IF;
END
$$;

-- Down Migration

DROP TABLE api_keys;
