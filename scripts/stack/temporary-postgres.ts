/**
 * A Postgres that goes when its user goes, for tests and benches: the same programs and supervision as `npm start` uses,
 * in a folder of its own. Empty: no migration has run.
 */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.ts";
import { startPostgres } from "./postgres.ts";
import { openStateDir } from "./state-dir.ts";
import { Supervisor } from "./supervisor.ts";

export type TemporaryPostgres = {
  readonly url: string;
  /** Others may read what lies here, Postgres too when it runs as another account. */
  readonly folder: string;
  /** Ends it and removes its folder. */
  readonly end: () => Promise<void>;
};

/** @throws what starting it throws; then nothing is left behind */
export async function startTemporaryPostgres(): Promise<TemporaryPostgres> {
  const folder = mkdtempSync(join(tmpdir(), "causeway-postgres-"));
  // Others may pass through: run by root, Postgres is another account, and would have to keep its data elsewhere.
  chmodSync(folder, 0o711);
  const state = openStateDir(join(folder, "state"));
  const supervisor = new Supervisor(state);
  const end = async (): Promise<void> => {
    await supervisor.stopAll();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    return { url: await startPostgres(supervisor, state, await freePort()), folder, end };
  } catch (cause) {
    await end();
    throw cause;
  }
}
