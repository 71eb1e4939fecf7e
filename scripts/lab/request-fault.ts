// The faults that stand in the place of an answer: what a caller gets instead of the engine. Sends bytes, decides nothing.
import type { ServerResponse } from "node:http";
import type { Fault } from "./faults.ts";
import { resetOf } from "./reset.ts";
import { type Headers, reply } from "./whole-reply.ts";

/** What a tunnel shows for an origin it cannot reach (shape of Cloudflare's 502 page). */
export const BAD_GATEWAY_PAGE = `<!DOCTYPE html>
<html lang="en-US"><head><title>lab.example.com | 502: Bad gateway</title><meta charset="UTF-8" /></head>
<body><div id="cf-wrapper"><div id="cf-error-details"><h1>Bad gateway <span>Error code 502</span></h1>
<p>The web server reported a bad gateway error.</p></div></div></body></html>
`;

export interface FaultBodies {
  readonly headers: Headers;
  /** The engine's own 500. */
  readonly internal: string;
  /** The engine's own 503 while it loads. */
  readonly loading: string;
  /** The engine's own words for 429. */
  readonly busy: string;
}

/** Answers, or fails to answer, as the fault says. A hang holds the connection until the caller leaves. */
export function strike(res: ServerResponse, fault: Fault, bodies: FaultBodies): void {
  switch (fault.kind) {
    case "refuse":
      if (res.socket !== null) resetOf(res.socket);
      return;
    case "500":
      reply(res, 500, bodies.headers, bodies.internal);
      return;
    case "503-loading":
      reply(res, 503, bodies.headers, bodies.loading);
      return;
    case "rate-limited":
      reply(res, 429, { ...bodies.headers, "retry-after": "2" }, bodies.busy);
      return;
    case "html-502":
      reply(res, 502, { "content-type": "text/html; charset=UTF-8", server: "cloudflare" }, BAD_GATEWAY_PAGE);
      return;
    case "redirect":
      reply(res, 302, { location: "https://login.example.com/cdn-cgi/access/login/lab" }, "");
      return;
    default:
      return;
  }
}
