// The lab as a process: node scripts/lab/main.ts '<JSON array of LabHostOptions>'. Starts every host, says so in one
// JSON line, and leaves with its parent: no orphan holds a port.
import { fstatSync } from "node:fs";
import { type LabHost, startLabHost } from "./host.ts";
import { parseHostOptions } from "./options.ts";

const hosts: LabHost[] = [];

async function leave(code: number): Promise<void> {
  await Promise.all(hosts.map((host) => host.stop()));
  process.exit(code);
}

/** /dev/null and terminals end or stay for reasons of their own; only a pipe's end tells of the parent. */
function isPipe(): boolean {
  const stdin = fstatSync(0);
  return stdin.isFIFO() || stdin.isSocket();
}

function leaveSoon(): void {
  leave(0).catch(() => process.exit(1));
}

try {
  const wanted: unknown = JSON.parse(process.argv[2] ?? "null");
  if (!Array.isArray(wanted)) throw new Error("give the lab one argument: a JSON array of host options");
  for (const options of wanted) hosts.push(await startLabHost(parseHostOptions(options)));
  process.once("SIGTERM", leaveSoon);
  process.once("SIGINT", leaveSoon);
  // A killed parent cannot signal: its end of the IPC channel, or of a piped stdin, closes instead.
  if (process.connected) process.once("disconnect", leaveSoon);
  else if (isPipe()) process.stdin.once("end", leaveSoon).resume();
  process.stdout.write(`${JSON.stringify({ ready: hosts.map(({ id, url }) => ({ id, url })) })}\n`);
} catch (problem) {
  const { message } = problem instanceof Error ? problem : { message: String(problem) };
  process.stderr.write(`the lab cannot start: ${message}\n`);
  await leave(1);
}
