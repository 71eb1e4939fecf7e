// A reply that is one body (JSON, metrics, an error page), and what the stream faults mean for it.
import type { ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";
import { padded } from "./event-stream.ts";
import type { Fault } from "./faults.ts";
import { resetOf } from "./reset.ts";

export type Headers = Readonly<Record<string, string>>;

/** Sends a status and a body. A reply already begun, or a caller already gone, is left alone. */
export function reply(res: ServerResponse, status: number, headers: Headers, body: string): void {
  if (res.headersSent || res.destroyed) return;
  const bytes = Buffer.from(body);
  res.writeHead(status, { ...headers, "content-length": String(bytes.length) });
  res.end(bytes);
}

/** Sends JSON with the given headers over the plain content type. */
export function replyJson(res: ServerResponse, status: number, value: unknown, headers: Headers = {}): void {
  reply(res, status, { "content-type": "application/json", ...headers }, JSON.stringify(value));
}

/**
 * Sends an answer's body as a stream fault leaves it.
 * @returns true when the fault kept the caller from a whole body
 */
export function replyStruck(res: ServerResponse, headers: Headers, body: string, fault: Fault, error: string): boolean {
  const bytes = Buffer.from(body);
  const half = bytes.subarray(0, Math.max(1, bytes.length >> 1));
  switch (fault.kind) {
    case "hang-after":
      return true;
    case "cut-after":
    case "cut-inside":
    case "rst-after":
      res.writeHead(200, { ...headers, "content-length": String(bytes.length) });
      res.write(half);
      res.socket?.write("", () => (fault.kind === "rst-after" && res.socket ? resetOf(res.socket) : res.destroy()));
      return true;
    case "fin-after":
    case "fin-inside":
    case "half-character":
      res.writeHead(200, headers);
      res.end(half);
      return true;
    case "garbage":
      reply(res, 200, headers, `${half.toString("latin1")} garbage`);
      return true;
    case "error-event":
      reply(res, 500, headers, error);
      return true;
    case "giant-event":
      reply(res, 200, headers, padded(body, fault.bytes));
      return false;
    case "compressed": {
      const packed = gzipSync(bytes);
      res.writeHead(200, { ...headers, "content-encoding": "gzip", "content-length": String(packed.length) });
      res.end(packed);
      return false;
    }
    case "slow-drip":
      drip(res, headers, bytes, fault.ms);
      return false;
    default:
      reply(res, 200, headers, body);
      return false;
  }
}

function drip(res: ServerResponse, headers: Headers, bytes: Buffer, ms: number): void {
  res.writeHead(200, { ...headers, "content-length": String(bytes.length) });
  let at = 0;
  const timer = setInterval(
    () => {
      if (at < bytes.length) res.write(bytes.subarray(at, at + 1));
      else {
        clearInterval(timer);
        res.end();
      }
      at += 1;
    },
    Math.max(1, ms),
  );
  res.on("close", () => clearInterval(timer));
}
