/**
 * What the operating system says about processes: is this pid still the process that was meant, and who is in its
 * group. A pid alone proves nothing, because pids are reused; a pid with its start time does. Sends no signal.
 */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** A process that cannot be mistaken for a later one with the same pid. */
export type ProcessIdentity = { readonly pid: number; readonly startedAt: string };

type Row = { readonly pid: number; readonly group: number; readonly startedAt: string };

/** The identity of a living process, or null when there is none. A zombie counts as gone: it can do nothing more. */
export function identify(pid: number): ProcessIdentity | null {
  const row = process.platform === "linux" ? linuxRow(pid) : (psRows(["-p", String(pid)])[0] ?? null);
  return row === null ? null : { pid, startedAt: row.startedAt };
}

/** True while exactly this process lives. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startedAt === identity.startedAt;
}

/** The pids of the living members of a process group. */
export function membersOf(group: number): number[] {
  return rows()
    .filter((row) => row.group === group)
    .map((row) => row.pid);
}

/** True when the process was started with `name=value` in its environment. Only Linux can tell; elsewhere false. */
export function wasStartedWith(pid: number, name: string, value: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").includes(`${name}=${value}`);
  } catch {
    return false;
  }
}

function rows(): Row[] {
  if (process.platform !== "linux") return psRows(["-ax"]);
  return readdirSync("/proc").flatMap((name) => (/^\d+$/.test(name) ? (linuxRow(Number(name)) ?? []) : []));
}

function linuxRow(pid: number): Row | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the name in brackets and may itself hold spaces and brackets; count from its end.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state, , group] = fields;
    if (state === undefined || state === "Z" || state === "X") return null;
    return { pid, group: Number(group), startedAt: fields[19] ?? "" };
  } catch {
    return null;
  }
}

function psRows(selection: string[]): Row[] {
  try {
    const text = execFileSync("ps", [...selection, "-o", "pid=,pgid=,stat=,lstart="], { encoding: "utf8" });
    return text.split("\n").flatMap((line) => {
      const match = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.+)$/.exec(line);
      if (match === null || match[3]?.startsWith("Z")) return [];
      return { pid: Number(match[1]), group: Number(match[2]), startedAt: (match[4] ?? "").trim() };
    });
  } catch {
    return [];
  }
}
