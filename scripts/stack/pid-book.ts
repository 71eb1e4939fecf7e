/**
 * `pids.json`: which processes this state folder has running, written before anything else can go wrong. It is what
 * lets the next start end the orphans of a start that was itself killed.
 */
import { join } from "node:path";
import { z } from "zod";
import { endGroup } from "./end-group.ts";
import { identify, isAlive, membersOf, wasStartedWith } from "./process-table.ts";
import { readJson, type StateDir, writeAtomic } from "./state-dir.ts";

/** Every process of a stack carries this variable with the state folder's path, so that orphans can be told apart. */
export const STATE_MARK = "CAUSEWAY_STACK_STATE";

const entry = z.object({
  name: z.string(),
  pid: z.number().int().positive(),
  startedAt: z.string(),
  stopSignal: z.enum(["SIGTERM", "SIGINT"]),
});
export type PidEntry = z.infer<typeof entry>;

const ORPHAN_GRACE_MS = 5_000;

export class PidBook {
  readonly #path: string;
  readonly #entries = new Map<number, PidEntry>();

  constructor(state: StateDir) {
    this.#path = join(state.root, "pids.json");
  }

  /** Notes a process that was just started. One that is gone already is not noted. */
  add(name: string, pid: number, stopSignal: PidEntry["stopSignal"]): void {
    const identity = identify(pid);
    if (identity === null) return;
    this.#entries.set(pid, { name, ...identity, stopSignal });
    this.#write();
  }

  remove(pid: number): void {
    if (this.#entries.delete(pid)) this.#write();
  }

  #write(): void {
    writeAtomic(this.#path, JSON.stringify([...this.#entries.values()]));
  }
}

/**
 * Ends what an earlier start of this state folder left behind. Call it only while holding the folder's lock.
 *
 * @returns the names of the parts that were still running
 */
export async function endOrphans(state: StateDir): Promise<string[]> {
  const kept = z.array(entry).safeParse(readJson(join(state.root, "pids.json")));
  if (!kept.success) return [];
  const orphans = kept.data.filter((orphan) => isAlive(orphan) || isLeaderless(orphan.pid, state));
  await Promise.all(orphans.map((orphan) => endGroup(orphan.pid, orphan.stopSignal, ORPHAN_GRACE_MS)));
  return orphans.map((orphan) => orphan.name);
}

/** A group whose leader was killed but whose members, such as the Workers runtime, live on. */
function isLeaderless(group: number, state: StateDir): boolean {
  const members = membersOf(group);
  return (
    members.length > 0 &&
    !members.includes(group) &&
    members.every((pid) => wasStartedWith(pid, STATE_MARK, state.root))
  );
}
