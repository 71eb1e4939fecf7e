/** A Postgres of the tests' own. Its URL is provided as `databaseUrl`, and the Worker under test finds it as its Hyperdrive. */
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
  } catch (cause) {
    await end();
    throw cause;
  }
  project.provide("databaseUrl", url);
  return end;
}
