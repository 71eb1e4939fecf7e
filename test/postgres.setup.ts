/**
 * A Postgres of the tests' own. Its URL is provided as `databaseUrl`, and the Worker under test finds it as its Hyperdrive.
 * Beside it lies `causeway_empty`, of which tests that look at all there is make copies (`support/database.ts`).
 */
import pg from "pg";
import type { TestProject } from "vitest/node";
import { migrate } from "#scripts/stack/migrate.ts";
import { startTemporaryPostgres } from "#scripts/stack/temporary-postgres.ts";

declare module "vitest" {
  interface ProvidedContext {
    databaseUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const { url, end } = await startTemporaryPostgres();
  try {
    await migrate(url);
    await copyDatabase(url, "causeway_empty");
  } catch (cause) {
    await end();
    throw cause;
  }
  project.provide("databaseUrl", url);
  return end;
}

/** From another database of the same server: one that is copied must have no visitors. */
async function copyDatabase(url: string, copy: string): Promise<void> {
  const { pathname } = new URL(url);
  const client = new pg.Client({ connectionString: new URL("/postgres", url).href });
  await client.connect();
  await client.query(`CREATE DATABASE ${copy} TEMPLATE ${pathname.slice(1)}`);
  await client.end();
}
