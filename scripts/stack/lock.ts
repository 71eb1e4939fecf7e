/** One start per state folder. The lock names its holder by pid and start time, so a dead holder is told from a live one. */
import { linkSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { identify, isAlive } from "./process-table.ts";
import { Refusal } from "./refusal.ts";
import { readStackFile } from "./stack-file.ts";
import { readJson, type StateDir, writeAtomic } from "./state-dir.ts";

const holder = z.object({ pid: z.number().int().positive(), startedAt: z.string() });

/**
 * Takes the state folder for this process.
 *
 * @returns gives the folder back
 * @throws Refusal (exit code 1) while another start holds it
 */
export function takeLock(state: StateDir): () => void {
  const path = join(state.root, "lock.json");
  const mine = `${path}.${process.pid}`;
  writeAtomic(mine, JSON.stringify(identify(process.pid)));
  try {
    while (!linked(mine, path)) {
      const other = holder.safeParse(readJson(path));
      if (other.success && isAlive(other.data)) throw new Refusal(1, busySentence(state, other.data.pid));
      // A dead holder's lock is moved away under our own name: of two that try, one finds it gone and looks again.
      try {
        renameSync(path, `${mine}.stale`);
      } catch {
        // Moved away by another start.
      }
    }
  } finally {
    rmSync(mine, { force: true });
    rmSync(`${mine}.stale`, { force: true });
  }
  return () => rmSync(path, { force: true });
}

/** A hard link is the one atomic "create with content, unless it is there". */
function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}

function busySentence(state: StateDir, pid: number): string {
  const running = readStackFile(state);
  const where = running?.pid === pid ? ` on ${running.gateway}` : "";
  return `Causeway already runs${where} (pid ${pid}) with the state folder ${state.root}. Stop it first, or start another one with its own --state DIR and --port N.`;
}
