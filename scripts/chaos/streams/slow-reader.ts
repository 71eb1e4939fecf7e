/** A caller who reads very slowly, so much a second from its socket. Judges nothing. */
import { connect, type Socket } from "node:net";

const EVERY_MS = 1_000;

export type SlowReader = { readonly readBytes: () => number; readonly isOpen: () => boolean; close(): void };

/** Asks for a stream, and reads so many bytes of it a second until it is closed. */
export function readSlowly(
  gateway: string,
  credential: string,
  body: Readonly<Record<string, unknown>>,
  bytesPerSecond: number,
): SlowReader {
  const { hostname, port } = new URL(gateway);
  const text = JSON.stringify(body);
  const socket: Socket = connect({ host: hostname, port: Number(port) });
  let [readBytes, isOpen] = [0, true];
  // Read by hand only: Node asks the system for more when its own small buffer is empty.
  socket.pause();
  socket.on("close", () => {
    isOpen = false;
  });
  socket.on("error", () => undefined);
  socket.on("readable", () => undefined);
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: ${hostname}\r\nauthorization: Bearer ${credential}\r\n` +
      `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(text)}\r\n\r\n${text}`,
  );
  const timer = setInterval(() => {
    const part: Buffer | null = socket.read(Math.min(bytesPerSecond, socket.readableLength));
    readBytes += part?.length ?? 0;
  }, EVERY_MS);
  return {
    readBytes: () => readBytes,
    isOpen: () => isOpen,
    close: () => {
      clearInterval(timer);
      socket.destroy();
    },
  };
}
