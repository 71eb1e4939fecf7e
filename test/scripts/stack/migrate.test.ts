// Migrations: up, down and up again with rows in them; all or none of them; pgvector's table only where pgvector is.
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { migrate, revert } from "#scripts/stack/migrate.ts";
import { inRepository } from "#scripts/stack/repository.ts";
import { startTemporaryPostgres, type TemporaryPostgres } from "#scripts/stack/temporary-postgres.ts";

/** Those that cut the ledger by time, and what came after. */
const CUT = readdirSync(inRepository("src", "postgres", "migrations"))
  .map((name) => basename(name, ".sql"))
  .filter((name) => name >= "0004")
  .sort();
/** How many to take back until there is no table of embeddings. */
const FROM_EMBEDDINGS = CUT.length - CUT.indexOf("0006_reports");

let server: TemporaryPostgres;
beforeAll(async () => {
  server = await startTemporaryPostgres();
});
afterAll(() => server.end());

let url: string;
let databases = 0;
/** A fresh database. */
beforeEach(async () => {
  const name = `migrated_${databases++}`;
  await query(`CREATE DATABASE ${name}`, server.url);
  const own = new URL(server.url);
  own.pathname = name;
  url = own.href;
});

async function query(text: string, at = url): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: at });
  client.on("error", () => {});
  await client.connect();
  try {
    // Several statements answer with several results.
    const found: pg.QueryResult | pg.QueryResult[] = await client.query(text);
    return (Array.isArray(found) ? found.at(-1) : found)?.rows ?? [];
  } finally {
    await client.end();
  }
}

const LEDGER = `
  SELECT id, prompt, tokens_used, user_id, host(ip_address), "timestamp", cost_estimate, metadata, key_id, outcome
  FROM inference_logs ORDER BY id`;
const TRAIL = "SELECT * FROM audit_log ORDER BY id";
/** What tables look like from outside: columns, indexes, who may do what; and which functions there are. */
const looksOf = (...tables: string[]): string => {
  const names = tables.map((table) => `'${table}'`).join(", ");
  const classes = tables.map((table) => `'${table}'::regclass`).join(", ");
  return `
  SELECT table_name || '.' || column_name || ' ' || data_type || is_nullable || coalesce(column_default, '') AS what
  FROM information_schema.columns WHERE table_name IN (${names})
  UNION ALL SELECT indexdef FROM pg_indexes WHERE tablename IN (${names})
  UNION ALL SELECT relname || relacl::text FROM pg_class WHERE relname IN (${names})
  UNION ALL SELECT attrelid::regclass || '.' || attname || attacl::text FROM pg_attribute
    WHERE attrelid IN (${classes}) AND attacl IS NOT NULL
  UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  ORDER BY 1`;
};
const LOOKS = looksOf("inference_logs", "audit_log");

/** Rows of a ledger that is not cut: of this minute, of long ago, of a time to come. */
const ROWS = `
  INSERT INTO inference_logs (id, tokens_used, latency_ms, model, user_id, ip_address, "timestamp", cost_estimate,
    metadata, request_id, key_id, tier, route, host, prompt_tokens, completion_tokens, saved_tokens, estimated, ttft_ms,
    outcome, attempts, cache)
  SELECT gen_random_uuid(), 5 * n, 100, 'a-model', 'user ' || n % 3, '203.0.113.7', at, 0.000007, '{"v": 1}',
    gen_random_uuid(), 'key_1', 'basic', 'chat', 'gpu', 2 * n, 3 * n, 0, n = 2, 10, 'complete', 1, 'miss'
  FROM generate_series(1, 40) AS n,
    LATERAL (SELECT now() + CASE n % 4 WHEN 0 THEN interval '0' WHEN 1 THEN '-2 days' WHEN 2 THEN '-3 years' ELSE '1 year' END) AS a (at);
  INSERT INTO audit_log (id, "timestamp", actor, action, outcome, recorded_at)
  SELECT gen_random_uuid(), now() - n * interval '4 months', 'admin', 'key.issue', 'ok', '2026-01-02'
  FROM generate_series(0, 9) AS n`;

describe("the ledger is cut by time and made whole again", () => {
  it("with every row, up, down and up", async () => {
    await migrate(url);
    expect(await revert(url, CUT.length)).toEqual(CUT.toReversed());
    await query(ROWS);
    const [looks, ledger, trail] = [await query(LOOKS), await query(LEDGER), await query(TRAIL)];
    expect([ledger.length, trail.length]).toEqual([40, 10]);

    expect((await migrate(url)).ran).toEqual(CUT);
    expect(await query(LEDGER)).toEqual(ledger);
    expect(await query(TRAIL)).toEqual(trail);
    expect(await query("SELECT DISTINCT account, admitted_by FROM inference_logs")).toEqual([
      { account: "", admitted_by: "account" },
    ]);

    // One that only the new schema has a place for.
    await query(`
      INSERT INTO inference_logs SELECT (jsonb_populate_record(i, jsonb_build_object('id', gen_random_uuid(), 'account', 'a'))).*
      FROM inference_logs AS i LIMIT 1`);
    const more = await query(LEDGER);
    expect(more).toHaveLength(41);

    await revert(url, CUT.length);
    expect(await query(LOOKS)).toEqual(looks);
    expect(await query(LEDGER)).toEqual(more);
    expect(await query(TRAIL)).toEqual(trail);

    await migrate(url);
    expect(await query(LEDGER)).toEqual(more);
    expect(await query(TRAIL)).toEqual(trail);
  });

  it("with the minutes' sums of the rows that were there, and those that are too old or too new beside", async () => {
    await migrate(url);
    await revert(url, CUT.length);
    await query(ROWS);
    await migrate(url);
    const sums = `count(*) AS minutes, sum(requests) AS requests, sum(prompt_tokens) AS prompt, sum(cost_micros) AS micros,
      sum(estimated_requests) AS estimated`;
    expect(await query(`SELECT ${sums} FROM usage_minute`)).toEqual([
      { minutes: "12", requests: "40", prompt: String(2 * 820), micros: "280", estimated: "1" },
    ]);
    expect(await query("SELECT count(*) FROM inference_logs_default")).toEqual([{ count: "20" }]);
    // The default one, the 90 days that are kept, today, two weeks.
    expect(await query("SELECT count(*) FROM pg_inherits WHERE inhparent = 'inference_logs'::regclass")).toEqual([
      { count: String(1 + 90 + 1 + 14) },
    ]);
  });

  it("with two weeks ahead in a new ledger", async () => {
    await migrate(url);
    const [found] = await query(`
      SELECT count(*) AS days, max(inhrelid::regclass::text) =
        'inference_logs_p' || to_char((now() + interval '14 days') AT TIME ZONE 'UTC', 'YYYYMMDD') AS reach
      FROM pg_inherits WHERE inhparent = 'inference_logs'::regclass AND inhrelid::regclass::text <> 'inference_logs_default'`);
    expect(found).toEqual({ days: "16", reach: true });
  });
});

describe("the fleet's rows", () => {
  const HOURS = `
    INSERT INTO model_metrics ("timestamp", model, host, requests, errors, error_rate)
    SELECT date_trunc('hour', now()) - n * interval '3 weeks', 'a-model', 'gpu', n, 0, 0 FROM generate_series(1, 5) AS n`;
  /** At the very moments of the hours, and in months that have no partition yet. */
  const MOMENTS = `
    INSERT INTO model_metrics ("timestamp", kind, model, host, running, in_flight, in_line)
    SELECT "timestamp", 'load', '', 'gpu', 1, 2, 3 FROM model_metrics
    UNION ALL SELECT now() + n * interval '1 month', 'load', '', 'gpu', NULL, 0, 0 FROM generate_series(0, 6) AS n`;
  const LOOKS_NOW = looksOf("model_metrics", "inference_logs");
  const before = CUT.length - CUT.indexOf("0007_fleet");
  const hours = () => query(`SELECT "timestamp", model, host, requests FROM model_metrics ORDER BY 1`);

  it("come, and go with their migration; the hours stay", async () => {
    await migrate(url);
    await revert(url, before);
    await query(HOURS);
    const [looks, kept] = [await query(LOOKS_NOW), await hours()];
    await migrate(url);
    expect(await hours()).toEqual(kept);
    await query(MOMENTS);
    const ahead =
      "ensure_partitions('model_metrics', 'month', now() - interval '6 months', now() + interval '6 months')";
    await query(`SELECT ${ahead}`);
    const [counts] = await query(
      `SELECT count(*) AS rows, count(*) FILTER (WHERE kind = 'load') AS moments,
        count(*) FILTER (WHERE tableoid = 'model_metrics_default'::regclass) AS outside FROM model_metrics`,
    );
    expect(counts).toEqual({ rows: "17", moments: "12", outside: "0" });
    await revert(url, before);
    expect(await hours()).toEqual(kept);
    expect(await query(LOOKS_NOW)).toEqual(looks);
  });
});

it("runs all migrations or none", async () => {
  await migrate(url);
  await revert(url, CUT.length);
  await query("CREATE TABLE job_runs ()");
  await expect(migrate(url)).rejects.toMatchObject({ code: "42P07" });
  expect(await query("SELECT count(*) FROM schema_migrations")).toEqual([{ count: "3" }]);
  await query("DROP TABLE job_runs");
  expect((await migrate(url)).ran).toEqual(CUT);
});

it("has nothing to do the second time", async () => {
  await migrate(url);
  expect((await migrate(url)).ran).toEqual([]);
});

describe("pgvector", () => {
  /** Stands where pgvector would: an extension that brings a type of that name, in a schema of its own choice. */
  async function install({ schema, trusted }: { schema: string; trusted: boolean }): Promise<void> {
    const extension = join(server.folder, schema, "extension");
    mkdirSync(extension, { recursive: true });
    const control = `default_version = '1'\nschema = '${schema}'\nrelocatable = false\nsuperuser = true\ntrusted = ${trusted}\n`;
    writeFileSync(join(extension, "vector.control"), control);
    writeFileSync(join(extension, "vector--1.sql"), `CREATE DOMAIN ${schema}.vector AS double precision[];`);
    const database = new URL(url).pathname.slice(1);
    await query(`ALTER DATABASE ${database} SET extension_control_path = '${join(server.folder, schema)}:$system'`);
  }
  const columns = () =>
    query("SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('embeddings') AND attnum > 0 ORDER BY attnum");

  it("is missed, and the start says so", async () => {
    expect((await migrate(url)).lacks).toBe("no embeddings table: this Postgres has no pgvector");
    expect(await columns()).toEqual([]);
  });

  it("is found at a later start, wherever its type lies, and goes with the migration", async () => {
    await migrate(url);
    await query("CREATE SCHEMA extensions_here");
    await install({ schema: "extensions_here", trusted: false });
    expect(await migrate(url)).toEqual({ ran: [], lacks: null });
    expect((await columns()).map(({ attname }) => attname)).toEqual([
      ...["id", "content_hash", "model", "user_id", "embedding", "metadata", "timestamp"],
    ]);
    expect(await migrate(url)).toEqual({ ran: [], lacks: null });
    await revert(url, FROM_EMBEDDINGS);
    expect(await columns()).toEqual([]);
  });

  it("may be there and not ours to enable: the start says who can", async () => {
    await query(
      "CREATE ROLE plain LOGIN PASSWORD 'plain'; GRANT causeway_writer, causeway_reader TO plain",
      server.url,
    ).catch(() => {});
    await migrate(url);
    await revert(url, FROM_EMBEDDINGS);
    const plain = new URL(url);
    plain.username = plain.password = "plain";
    await query(`GRANT ALL ON SCHEMA public TO plain; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO plain;
      GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO plain;
      DO $$ DECLARE own regclass; BEGIN
        FOR own IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
          EXECUTE format('ALTER TABLE %s OWNER TO plain', own);
        END LOOP;
      END $$`);
    await install({ schema: "public", trusted: false });
    expect((await migrate(plain.href)).lacks).toMatch(/pgvector is installed.*CREATE EXTENSION vector/);
  });
});
