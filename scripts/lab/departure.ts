// When the caller of an answer went away, to the write. A peer that has closed shows as the end of its stream, once the
// event loop looks at the socket again; what was written in between crossed the close on its way.
import type { ServerResponse } from "node:http";

/**
 * Watches the caller of one answer until the answer is over.
 *
 * @param left the caller has closed its connection: from now on nobody is there to write to
 * @param crossed called after `left` when the last write came behind the close: the caller's system answered it with a
 * reset, so that a further write, of nothing, fails (EPIPE; a close that nothing crossed lets it pass)
 */
export function watchDeparture(res: ServerResponse, left: () => void, crossed: () => void): void {
  const { socket } = res;
  if (socket === null) return;
  const gone = (): void => {
    left();
    socket.write("", (refused) => {
      if (refused) crossed();
    });
  };
  // Before the server's own listener, which closes our end in turn.
  socket.prependListener("end", gone);
  res.once("close", () => socket.off("end", gone));
}
