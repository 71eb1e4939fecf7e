/** Which TCP ports of 127.0.0.1 are free. Between the answer and the use another program may take one. */
import { createServer } from "node:net";
import { Refusal } from "./refusal.ts";

const LOOPBACK = "127.0.0.1";

/** Null when the port can be listened on, else the reason as the operating system names it (EADDRINUSE, EACCES). */
export function portTrouble(port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve("code" in error ? String(error.code) : error.message));
    server.listen(port, LOOPBACK, () => server.close(() => resolve(null)));
  });
}

/** A port that was free a moment ago and that the system does not hand out again soon. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, LOOPBACK, () => {
      const address = server.address();
      server.close(() => (typeof address === "object" && address !== null ? resolve(address.port) : reject()));
    });
  });
}

/** The preferred port if it is free, else another one. @param preferred 0 for any free one */
export async function portNear(preferred: number): Promise<number> {
  return preferred !== 0 && (await portTrouble(preferred)) === null ? preferred : freePort();
}

/**
 * The port of the gateway, which is never moved silently, because callers know it.
 *
 * @param wanted 0 for any free one
 * @throws Refusal (exit code 1) naming the port and the flag
 */
export async function gatewayPort(wanted: number): Promise<number> {
  if (wanted === 0) return freePort();
  const trouble = await portTrouble(wanted);
  if (trouble === null) return wanted;
  const why = trouble === "EADDRINUSE" ? "is in use by another program" : `cannot be listened on (${trouble})`;
  throw new Refusal(
    1,
    `Port ${wanted} on ${LOOPBACK} ${why}. Choose another one with --port N, or --port 0 for any free one.`,
  );
}

/** Says where something listens, and that it moved when it did. */
export function whereText(preferred: number, actual: number): string {
  return preferred === 0 || preferred === actual ? `:${actual}` : `:${actual} (:${preferred} is taken)`;
}
