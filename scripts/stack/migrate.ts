/** Brings a database to the newest schema. The SQL lies in src/postgres/migrations; which ran is kept in the database. */
import { readdirSync } from "node:fs";
import { runner } from "node-pg-migrate";
import { inRepository } from "./repository.ts";

const MIGRATIONS = inRepository("src", "postgres", "migrations");
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * Runs every migration that has not run yet, all in one transaction. Two at once wait for each other.
 *
 * @returns the names of those that ran now
 * @throws Error of the database when one fails; then none of them took effect
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  if (!readdirSync(MIGRATIONS).some((name) => name.endsWith(".sql"))) return [];
  const ran = await runner({
    databaseUrl,
    dir: MIGRATIONS,
    direction: "up",
    migrationsTable: "schema_migrations",
    checkOrder: true,
    advisoryLockMode: "wait",
    logger: SILENT,
  });
  return ran.map((migration) => migration.name);
}
