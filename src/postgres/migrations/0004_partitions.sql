-- Up Migration

-- Tables that grow are cut by time, so that what has grown old is dropped and not deleted row by row. Each also has a
-- DEFAULT partition, so that no row is ever refused for its date.
--
-- Both functions lock briefly what the consumer writes to: call them for one table per transaction. Whoever waits too
-- long gets lock_not_available (55P03) and tries again later; both may be repeated at will.

-- Makes the partitions that hold first to last, as far as they are missing: parent_p20261121, parent_p202611,
-- parent_p2026, in UTC. Rows that lay in the default partition meanwhile move; no trigger of the parent sees that.
-- Returns how many it made.
CREATE FUNCTION ensure_partitions(parent regclass, unit text, first timestamptz, last timestamptz) RETURNS integer
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
  name_format text := CASE unit WHEN 'day' THEN 'YYYYMMDD' WHEN 'month' THEN 'YYYYMM' WHEN 'year' THEN 'YYYY' END;
  namespace text;
  table_name text;
  key text;
  fallback regclass;
  part text;
  low timestamptz;
  high timestamptz;
  made integer := 0;
BEGIN
  IF name_format IS NULL THEN
    RAISE EXCEPTION 'a partition is a day, a month or a year, not: %', unit USING ERRCODE = 'invalid_parameter_value';
  END IF;
  SELECT n.nspname, c.relname, a.attname, nullif(p.partdefid, 0)::regclass INTO STRICT namespace, table_name, key, fallback
  FROM pg_partitioned_table p
  JOIN pg_class c ON c.oid = p.partrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = p.partattrs[0]
  WHERE p.partrelid = parent;
  PERFORM pg_advisory_xact_lock(hashtextextended('partitions of ' || parent::oid, 0));

  FOR low IN SELECT generate_series(date_trunc(unit, first), last, ('1 ' || unit)::interval) LOOP
    high := low + ('1 ' || unit)::interval;
    part := format('%I.%I', namespace, table_name || '_p' || to_char(low, name_format));
    CONTINUE WHEN EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent AND inhrelid = to_regclass(part));
    -- Made apart and attached: CREATE TABLE ... PARTITION OF would shut out readers of the whole table, too.
    EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL)', part, parent);
    -- Writers wait here, where they do not know yet which partition their rows go to. One that had chosen the default
    -- partition would find that it must not take them any more, and fail.
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE', parent);
    IF fallback IS NOT NULL THEN
      EXECUTE format(
        'WITH moved AS (DELETE FROM %s WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %s SELECT * FROM moved',
        fallback, key, low, key, high, part);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)', parent, part, low, high);
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;

-- Drops the partitions that end at or before a moment, and deletes what lies before it in the default partition.
-- Returns the names of those dropped, oldest first.
CREATE FUNCTION drop_partitions(parent regclass, before timestamptz) RETURNS text[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
SET lock_timeout = '5s'
AS $$
DECLARE
  key text;
  fallback regclass;
  aged record;
  dropped text[] := '{}';
BEGIN
  SELECT a.attname, nullif(p.partdefid, 0)::regclass INTO STRICT key, fallback
  FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
  WHERE p.partrelid = parent;
  PERFORM pg_advisory_xact_lock(hashtextextended('partitions of ' || parent::oid, 0));

  FOR aged IN
    SELECT c.relname, c.oid::regclass AS part
    FROM pg_inherits i
    JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''([^'']+)''\)')::timestamptz) AS b (high)
    WHERE i.inhparent = parent AND b.high <= before
    ORDER BY b.high
  LOOP
    EXECUTE format('DROP TABLE %s', aged.part);
    dropped := dropped || aged.relname::text;
  END LOOP;
  IF fallback IS NOT NULL THEN
    EXECUTE format('DELETE FROM %s WHERE %I < %L', fallback, key, before);
  END IF;
  RETURN dropped;
END
$$;

-- They work with their caller's rights; nobody else has use for them.
REVOKE ALL ON FUNCTION ensure_partitions(regclass, text, timestamptz, timestamptz) FROM PUBLIC;
REVOKE ALL ON FUNCTION drop_partitions(regclass, timestamptz) FROM PUBLIC;

-- Down Migration

DROP FUNCTION drop_partitions(regclass, timestamptz);
DROP FUNCTION ensure_partitions(regclass, text, timestamptz, timestamptz);
