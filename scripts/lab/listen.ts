// A server of the lab's on loopback: its port, and its end.
import type { Server } from "node:http";

/** Longer than a caller's pool keeps a connection, so that the lab is never the one who closes first. */
export const KEEP_ALIVE_MS = 75_000;

/**
 * Listens on 127.0.0.1.
 *
 * @param port 0 asks the system for a free one
 * @returns the port
 * @throws Error with `code` and `port` when it cannot listen (EADDRINUSE: the port is taken)
 */
export function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (problem) => reject(Object.assign(problem, { port })));
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}

/** Closes the port and every connection; resolves when both are gone. */
export function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
