/** Brings a database to the newest schema. The SQL lies in src/postgres/migrations; which ran is kept in the database. */
import { runner } from "node-pg-migrate";
import pg from "pg";
import { inRepository } from "./repository.ts";

const MIGRATIONS = inRepository("src", "postgres", "migrations");
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };
const CONNECT_WITHIN_MS = 5_000;

export type Migrated = {
  /** The names of those that ran now. */
  readonly ran: readonly string[];
  /** What the schema lacks because the server lacks it, for whoever started the gateway; null when nothing. */
  readonly lacks: string | null;
};

/**
 * Runs every migration that has not run yet, all in one transaction. Two at once wait for each other.
 *
 * @throws Error of the database when one fails; then none of them took effect
 */
export async function migrate(databaseUrl: string): Promise<Migrated> {
  const ran = await run(databaseUrl, "up", Number.POSITIVE_INFINITY);
  return { ran, lacks: await ensureEmbeddings(databaseUrl) };
}

/**
 * Takes back the newest migrations: the schema before them, with the rows that it can hold.
 *
 * @returns the names of those that were taken back
 * @throws Error of the database when one fails; then all of them stand
 */
export function revert(databaseUrl: string, count: number): Promise<readonly string[]> {
  return run(databaseUrl, "down", count);
}

async function run(databaseUrl: string, direction: "up" | "down", count: number): Promise<readonly string[]> {
  const ran = await runner({
    databaseUrl,
    dir: MIGRATIONS,
    direction,
    count,
    migrationsTable: "schema_migrations",
    checkOrder: true,
    singleTransaction: true,
    advisoryLockMode: "wait",
    logger: SILENT,
  });
  return ran.map((migration) => migration.name);
}

/** pgvector may be installed long after the migrations ran, so its table is asked for at each start. */
async function ensureEmbeddings(connectionString: string): Promise<string | null> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: CONNECT_WITHIN_MS });
  client.on("error", () => {});
  await client.connect();
  try {
    const { rows } = await client.query<{ made: boolean; available: boolean }>(`
      SELECT ensure_embeddings() AS made,
        EXISTS (SELECT FROM pg_available_extensions WHERE name = 'vector') AS available`);
    if (rows[0]?.made === true) return null;
    return rows[0]?.available === true
      ? "no embeddings table: pgvector is installed, but this user may not enable it; have one who may run CREATE EXTENSION vector"
      : "no embeddings table: this Postgres has no pgvector";
  } finally {
    await client.end();
  }
}
