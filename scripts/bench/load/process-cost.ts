/**
 * What processes have used, by the kernel's own accounting. Their time is the scheduler's, in ns and by thread
 * (/proc/PID/task/TID/schedstat): the ticks of /proc/PID/stat are 10 ms long. Linux only.
 */
import { readdirSync, readFileSync } from "node:fs";
import { membersOf } from "#scripts/stack/process-table.ts";

const NS_PER_US = 1_000;

/** Time of all threads that live, in µs of one core. */
export function cpuUsOf(groups: readonly number[]): number {
  return scheduledUs(groups, 0);
}

/** Time that all threads that live were ready and had no core, in µs: others were on it, or threads of their own. */
export function waitedUsOf(groups: readonly number[]): number {
  return scheduledUs(groups, 1);
}

/** @param field of schedstat: time on a core, time in its queue */
function scheduledUs(groups: readonly number[], field: 0 | 1): number {
  let ns = 0;
  for (const pid of groups.flatMap(membersOf))
    for (const thread of threadsOf(pid)) ns += Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ")[field]);
  return ns / NS_PER_US;
}

/** Resident memory, in bytes. */
export function bytesOf(groups: readonly number[]): number {
  let kib = 0;
  for (const pid of groups.flatMap(membersOf))
    kib += Number(/^VmRSS:\s+(\d+) kB$/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
  return kib * 1_024;
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Empty where the thread has ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
