// What Cloudflare's edge says in its own name: Access's refusals, and its pages for a tunnel that does not answer.
import type { ServerResponse } from "node:http";
import { BAD_GATEWAY_PAGE } from "../request-fault.ts";
import { reply } from "../whole-reply.ts";
import type { Refusal } from "./options.ts";

const PAGE = { "content-type": "text/html; charset=UTF-8", server: "cloudflare" };
const TEXT = { "content-type": "text/plain; charset=UTF-8", server: "cloudflare" };
const TEAM = "https://lab.cloudflareaccess.com";

const forbidden = (what: string): string => `<!DOCTYPE html>
<html><head><title>${what} ・ Cloudflare Access</title></head>
<body><h1>${what}</h1><p>You don't have permission to view this. Please contact your system administrator.</p></body></html>
`;

/** Answers a caller whose service token is missing or wrong. */
export function refuse(res: ServerResponse, refusal: Refusal, host: string, path: string, audience: string): void {
  const headers = { "www-authenticate": `Cloudflare-Access resource_metadata="https://${host}/.well-known/oauth"` };
  if (refusal === "unauthorized") reply(res, 401, { ...PAGE, ...headers }, forbidden("Unauthorized"));
  else if (refusal === "forbidden") reply(res, 403, PAGE, forbidden("Forbidden"));
  else {
    const query = new URLSearchParams({ kid: audience, redirect_url: path });
    const location = `${TEAM}/cdn-cgi/access/login/${host}?${query}`;
    reply(res, 302, { ...PAGE, ...headers, location }, "");
  }
}

/** The edge has no connection of the tunnel's: a program gets the bare text, and not the page. */
export function noTunnel(res: ServerResponse): void {
  reply(res, 530, TEXT, "error code: 1033");
}

/** The origin said nothing for as long as the edge waits (100 s and more; here at once). */
export function tooSilent(res: ServerResponse): void {
  reply(res, 524, TEXT, "error code: 524");
}

/** cloudflared answered 502 by itself: it could not reach the engine, or could not judge the assertion. */
export function badGateway(res: ServerResponse): void {
  reply(res, 502, PAGE, BAD_GATEWAY_PAGE);
}
