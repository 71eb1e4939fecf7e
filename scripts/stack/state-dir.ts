/** The state folder: where each thing lies in it, and how it is written so that a crash leaves the old or the new. */
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Refusal } from "./refusal.ts";

export type StateDir = {
  readonly root: string;
  readonly logs: string;
  /** Where the database lies. */
  readonly postgres: string;
  /** Where the Worker's KV, cache and Durable Objects lie. */
  readonly wrangler: string;
};

/**
 * Makes the folder when it is not there.
 *
 * @throws Refusal (exit code 1) when it cannot be written to
 */
export function openStateDir(dir: string): StateDir {
  const root = resolve(dir);
  const logs = join(root, "logs");
  const wrangler = join(root, "wrangler");
  try {
    makeFolder(root, 0o777);
    for (const inner of [logs, wrangler]) makeFolder(inner, 0o700);
    // Root's Postgres runs as another user, which must be able to pass through here; what is secret has mode 0600.
    if (process.getuid?.() === 0) chmodSync(root, (statSync(root).mode & 0o777) | 0o011);
    accessSync(root, constants.W_OK | constants.X_OK);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal(
      1,
      `The state folder ${root} cannot be written to (${reason}). Name another one with --state DIR.`,
    );
  }
  return { root, logs, postgres: join(root, "postgres"), wrangler };
}

/** Folder by folder: Node's own `recursive` never returns where a parent is there and says ENOENT, as /proc does. */
function makeFolder(path: string, mode: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return;
  if (dirname(path) !== path) makeFolder(dirname(path), 0o777);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Another start may have made it since we looked.
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
}

/** Writes a file for our eyes only, whole or not at all. */
export function writeAtomic(path: string, text: string): void {
  const next = `${path}.${process.pid}.${randomBytes(4).toString("hex")}`;
  writeFileSync(next, text, { mode: 0o600 });
  renameSync(next, path);
}

/** The text of a file, or null when there is none. */
export function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** The JSON of a file, or null when there is none or it is damaged: then it is made anew. */
export function readJson(path: string): unknown {
  const text = readIfThere(path);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A random text that is made once and then kept. 32 bytes in base64url are 43 characters. */
export function keptSecret(path: string): string {
  const kept = readIfThere(path)?.trim();
  if (kept !== undefined && kept.length >= 32) return kept;
  const fresh = randomBytes(32).toString("base64url");
  writeAtomic(path, fresh);
  return fresh;
}
