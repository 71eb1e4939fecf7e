// A connection's end by reset (RST) in place of a close (FIN).
import type { Duplex } from "node:stream";

/** Resets a TCP connection; any other kind is destroyed. */
export function resetOf(socket: Duplex): void {
  if ("resetAndDestroy" in socket && typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
  else socket.destroy();
}
