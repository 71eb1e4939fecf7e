/** Ends a process group and does not return before it is gone. Knows nothing of parts, logs or state. */
import { setTimeout as sleep } from "node:timers/promises";
import { membersOf } from "./process-table.ts";

const POLL_MS = 25;
/** After SIGKILL only the kernel's own work is left. */
const KILLED_MS = 2_000;

/**
 * Asks the leader first, because it ends and reaps its own children in order; then asks whoever is left in the group;
 * after the grace period kills them all.
 *
 * @param group pid of the leader, which is the id of the group
 * @param politeSignal what the leader takes as "finish now": SIGINT is Postgres' fast shutdown
 * @param graceMs how long it may take before SIGKILL
 * @returns true when nothing of the group lives any more
 */
export async function endGroup(group: number, politeSignal: "SIGTERM" | "SIGINT", graceMs: number): Promise<boolean> {
  if (membersOf(group).length === 0) return true;
  send(group, politeSignal);
  let leftoversAsked = false;
  const gone = await until(graceMs, () => {
    const members = membersOf(group);
    if (members.length > 0 && !members.includes(group) && !leftoversAsked) {
      leftoversAsked = true;
      send(-group, "SIGTERM");
    }
    return members.length === 0;
  });
  if (gone) return true;
  send(-group, "SIGKILL");
  return until(KILLED_MS, () => membersOf(group).length === 0);
}

/** Polls until the condition holds or the time is over; returns whether it held. */
async function until(limitMs: number, holds: () => boolean): Promise<boolean> {
  for (const end = Date.now() + limitMs; ; ) {
    if (holds()) return true;
    if (Date.now() >= end) return false;
    await sleep(POLL_MS);
  }
}

function send(target: number, signal: NodeJS.Signals): void {
  try {
    process.kill(target, signal);
  } catch {
    // Already gone.
  }
}
