/** A process and its children stopped by signal, as on a machine that hangs: it accepts and never answers. */
import { execFileSync } from "node:child_process";

/** Stops a process with all that it has started. @returns what lets them go on */
export function freeze(pid: number): () => void {
  const pids = [pid, ...childrenOf(pid)];
  signal(pids, "SIGSTOP");
  return () => signal(pids, "SIGCONT");
}

function childrenOf(parent: number): number[] {
  const table = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" });
  return table.split("\n").flatMap((line) => {
    const [pid, ppid] = line.trim().split(/\s+/).map(Number);
    return pid !== undefined && ppid === parent ? [pid] : [];
  });
}

function signal(pids: readonly number[], name: "SIGSTOP" | "SIGCONT"): void {
  for (const pid of pids) {
    try {
      process.kill(pid, name);
    } catch {
      // It has ended since.
    }
  }
}
