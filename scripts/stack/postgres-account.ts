/**
 * As whom Postgres runs, and where, so that it may. Postgres refuses to run as root, so root lends it an unprivileged
 * account; and that account may not be able to enter the folders of root's checkout. Does nothing unless we are root.
 */
import { execFile } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

export type Account = { readonly uid: number; readonly gid: number };

/** Kept over a reboot, open to every account, present on Linux and macOS. */
const OPEN_TO_ALL = "/var/tmp";

const run = promisify(execFile);

/** The account for a database in `dataDir`: the owner of what is there, else `postgres`, else `nobody`; null unless root. */
export async function postgresAccount(dataDir: string): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  if (existsSync(dataDir)) {
    const { uid, gid } = statSync(dataDir);
    if (uid !== 0) return { uid, gid };
  }
  return (await accountNamed("postgres")) ?? (await accountNamed("nobody"));
}

async function accountNamed(name: string): Promise<Account | null> {
  try {
    const [uid, gid] = await Promise.all([run("id", ["-u", name]), run("id", ["-g", name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return null;
  }
}

/**
 * A folder whose programs the account can run: the given one, or a copy where everybody can enter.
 *
 * @param native folder with `bin`, `lib` and `share`
 */
export async function runnableBy(account: Account | null, native: string, version: string): Promise<string> {
  if (await canEnter(account, join(native, "bin"))) return native;
  const copy = join(OPEN_TO_ALL, `causeway-postgres-${version}`);
  if (!isOurs(copy)) {
    const unfinished = mkdtempSync(`${copy}.`);
    cpSync(native, unfinished, { recursive: true, verbatimSymlinks: true });
    chmodSync(unfinished, 0o755);
    renameSync(unfinished, copy);
  }
  return copy;
}

/** The folder is open to all, so what lies there under the right name is trusted only when root made it. */
function isOurs(folder: string): boolean {
  const found = lstatSync(folder, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === 0;
}

/**
 * Makes an empty folder that the account owns. Where the account cannot enter the parent, the folder is made where
 * everybody can, and a link stands in its place.
 */
export async function ownedFolder(account: Account | null, folder: string): Promise<void> {
  if (account === null || (await canEnter(account, dirname(folder)))) {
    mkdirSync(folder, { mode: 0o700 });
    if (account !== null) chownSync(folder, account.uid, account.gid);
    return;
  }
  const elsewhere = mkdtempSync(join(OPEN_TO_ALL, "causeway-data-"));
  chownSync(elsewhere, account.uid, account.gid);
  symlinkSync(elsewhere, folder);
}

async function canEnter(account: Account | null, folder: string): Promise<boolean> {
  if (account === null) return true;
  try {
    await run("/bin/sh", ["-c", 'test -x "$1"', "sh", folder], { ...account, cwd: "/" });
    return true;
  } catch {
    return false;
  }
}
