// cloudflared's part for one request: on to the engine, and its answer back. When the caller leaves, the engine's
// connection closes; an answer that breaks off ends as if it were whole, because cloudflared ends it so.
import { type IncomingMessage, request, type ServerResponse } from "node:http";
import { PassThrough } from "node:stream";
import { buffered, isFlushed } from "./flush.ts";
import { badGateway } from "./pages.ts";

/** Of one hop only (RFC 9110, 7.6.1). */
const HOP_BY_HOP = ["connection", "keep-alive", "transfer-encoding", "upgrade", "trailer", "te"];

/** Sends the request to the origin under these headers, and relays what comes back. */
export function proxy(
  req: IncomingMessage,
  res: ServerResponse,
  origin: string,
  headers: Readonly<Record<string, string | string[] | undefined>>,
): void {
  if (res.destroyed) return;
  const options = { method: req.method ?? "GET", headers: { ...headers, connection: "keep-alive" } };
  const onward = request(`${origin}${req.url ?? "/"}`, options, (answer) => relay(answer, res));
  res.once("close", () => onward.destroy());
  // Once an answer has begun this says nothing more: the answer's own end does.
  onward.on("error", () => badGateway(res));
  req.pipe(onward);
}

function relay(answer: IncomingMessage, res: ServerResponse): void {
  const names = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.includes(name));
  res.writeHead(answer.statusCode ?? 502, { ...Object.fromEntries(names), server: "cloudflare" });
  const atOnce = isFlushed(answer.headers["content-type"]);
  // Node keeps the headers until the first write, as Go's server does until the first flush.
  if (atOnce) res.flushHeaders();
  const through = atOnce ? new PassThrough() : buffered();
  answer.pipe(through).pipe(res);
  // Where a length was promised, the edge notices that bytes are missing.
  answer.once("error", () => (answer.headers["content-length"] === undefined ? through.end() : res.destroy()));
}
