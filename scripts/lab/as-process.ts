// Servers of the lab as a process: started from one JSON argument, ready in one JSON line, gone with the parent, so that
// no orphan holds a port.
import { fstatSync } from "node:fs";

export interface Running {
  readonly id: string;
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * Starts one server after the other, and leaves on a signal or when the parent is gone. Exits with 1 when one cannot start.
 *
 * @param what for the message: `the lab`
 * @param wanted the argument: a JSON array of options
 */
export async function runAsProcess(
  what: string,
  wanted: string | undefined,
  start: (options: unknown) => Promise<Running>,
): Promise<void> {
  const servers: Running[] = [];
  const leave = async (code: number): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
    process.exit(code);
  };
  const leaveSoon = (): void => {
    leave(0).catch(() => process.exit(1));
  };
  try {
    const options: unknown = JSON.parse(wanted ?? "null");
    if (!Array.isArray(options)) throw new Error(`give ${what} one argument: a JSON array of options`);
    for (const each of options) servers.push(await start(each));
    process.once("SIGTERM", leaveSoon);
    process.once("SIGINT", leaveSoon);
    // A killed parent cannot signal: its end of the IPC channel, or of a piped stdin, closes instead.
    if (process.connected) process.once("disconnect", leaveSoon);
    else if (isPipe()) process.stdin.once("end", leaveSoon).resume();
    process.stdout.write(`${JSON.stringify({ ready: servers.map(({ id, url }) => ({ id, url })) })}\n`);
  } catch (problem) {
    const { message } = problem instanceof Error ? problem : { message: String(problem) };
    process.stderr.write(`${what} cannot start: ${message}\n`);
    await leave(1);
  }
}

/** /dev/null and terminals end or stay for reasons of their own; only a pipe's end tells of the parent. */
function isPipe(): boolean {
  const stdin = fstatSync(0);
  return stdin.isFIFO() || stdin.isSocket();
}
