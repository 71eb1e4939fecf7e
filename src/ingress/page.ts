/**
 * Callers that are pages in a browser: which may ask (the catalog's `origins`), what their browser must be told, and the
 * ways of showing a credential where no header can be set. Only routes that say so take any of it.
 */
import { authenticate, type Door, identify, refusal } from "#src/auth/authenticate.ts";
import type { Identity } from "#src/auth/proof.ts";
import { Problem } from "#src/problem.ts";
import type { Call } from "./call.ts";

/** The ways beside the Authorization header: `?ticket=`, or a token among the protocols that a WebSocket offers. */
export type Carrier = "ticket" | "protocol";

/** The subprotocol of `/ws/chat`, the only one that is ever echoed. */
export const CHAT_PROTOCOL = "causeway.chat.v1";
/** Another one offered beside it: this, and an access token or API key. Both are tokens as RFC 9110, 5.6.2, has them. */
const BEARER_PROTOCOL = "causeway.bearer.";
/** A browser asks again after so long whether it may ask. */
const PREFLIGHT_MAX_AGE_S = 600;
/** What a page may see of an answer, beside what every page may see. */
const EXPOSED = "x-request-id, x-causeway-host, x-causeway-model, retry-after, ratelimit, ratelimit-policy";

/**
 * What the page's browser must be told with the answer, whatever it is; nothing where no page asks.
 *
 * @param origins as the catalog has them
 * @throws Problem `origin_not_allowed` for a page that is not among them
 */
export function welcome(headers: Headers, origins: readonly string[]): Record<string, string> {
  const origin = headers.get("origin");
  if (origin === null) {
    // Browsers leave Origin out of some requests, and say in this header, which no page can set, where they come from.
    const site = headers.get("sec-fetch-site");
    if (site !== null && site !== "same-origin") throw new Problem("origin_not_allowed");
    return {};
  }
  if (!origins.includes(origin)) throw new Problem("origin_not_allowed");
  return { "access-control-allow-origin": origin, "access-control-expose-headers": EXPOSED };
}

/** Answers a browser that asks whether its page may ask; any other request of a method that the path does not take. */
export function preflight({ request }: Call, allow: string): Response {
  if (request.method !== "OPTIONS" || !request.headers.has("access-control-request-method"))
    throw new Problem("method_not_allowed", { headers: { allow } });
  return new Response(null, {
    status: 204,
    headers: {
      "access-control-allow-methods": allow,
      "access-control-allow-headers": "authorization, content-type, last-event-id",
      "access-control-max-age": String(PREFLIGHT_MAX_AGE_S),
    },
  });
}

/**
 * Who sends this request, by the one credential that it carries.
 *
 * @param redeem whose a ticket is; null when it opens nothing
 * @throws Problem `invalid_api_key`, also for two credentials, of which another reader might take the other one
 */
export async function identityOf(
  request: Request,
  carriers: readonly Carrier[],
  door: Door,
  redeem: (ticket: string) => Promise<Identity | null>,
): Promise<Identity> {
  const tickets = carriers.includes("ticket") ? new URL(request.url).searchParams.getAll("ticket") : [];
  const tokens = carriers.includes("protocol") ? protocolsOf(request).filter(isBearer) : [];
  const [ticket] = tickets;
  const [token] = tokens;
  if (tickets.length + tokens.length > (request.headers.has("authorization") ? 0 : 1))
    throw refusal("invalid_token", "more than one credential");
  if (token !== undefined) return identify(token.slice(BEARER_PROTOCOL.length), door);
  if (ticket === undefined) return authenticate(request, door);
  const identity = await redeem(ticket);
  if (identity === null || door.tokens.now() >= identity.proof.untilMs)
    throw refusal("invalid_token", "a ticket that opens nothing");
  return identity;
}

/** The subprotocols that a WebSocket offers (RFC 6455, 4.1). */
export function protocolsOf({ headers }: Request): string[] {
  const offered = headers.get("sec-websocket-protocol");
  return offered === null ? [] : offered.split(",").map((protocol) => protocol.trim());
}

function isBearer(protocol: string): boolean {
  return protocol.startsWith(BEARER_PROTOCOL);
}
