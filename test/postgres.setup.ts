/**
 * A Postgres of the tests' own, in a folder that goes with it: the same programs, supervision and migrations as
 * `npm start` uses. Its URL is provided as `databaseUrl`, and the Worker under test finds it as its Hyperdrive.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { migrate } from "#scripts/stack/migrate.ts";
import { freePort } from "#scripts/stack/ports.ts";
import { startPostgres } from "#scripts/stack/postgres.ts";
import { openStateDir } from "#scripts/stack/state-dir.ts";
import { Supervisor } from "#scripts/stack/supervisor.ts";

declare module "vitest" {
  interface ProvidedContext {
    databaseUrl: string;
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = mkdtempSync(join(tmpdir(), "causeway-test-"));
  // Others may pass through: run by root, Postgres is another account, and would have to keep its data elsewhere.
  chmodSync(folder, 0o711);
  const state = openStateDir(join(folder, "state"));
  const supervisor = new Supervisor(state);
  const teardown = async (): Promise<void> => {
    await supervisor.stopAll();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const url = await startPostgres(supervisor, state, await freePort());
    await migrate(url);
    project.provide("databaseUrl", url);
  } catch (cause) {
    await teardown();
    throw cause;
  }
  return teardown;
}
