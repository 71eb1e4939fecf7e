// What stands before a lab host that is reached by `access`: Cloudflare's edge with Access, and cloudflared on the host,
// as one HTTP server on loopback. The edge checks the service token, takes it off and signs an assertion; cloudflared
// checks the assertion, matches the path and proxies.
import { timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { closed, KEEP_ALIVE_MS, listen } from "../listen.ts";
import { reply } from "../whole-reply.ts";
import { buildSigner, type Signer } from "./assertion.ts";
import type { DoorOptions } from "./options.ts";
import { badGateway, noTunnel, refuse, tooSilent } from "./pages.ts";
import { proxy } from "./proxy.ts";
import { controlTunnel, type TunnelState } from "./tunnel-state.ts";

export interface Door {
  readonly id: string;
  readonly url: string;
  readonly port: number;
  /** Closes the port and every connection; resolves when both are gone. */
  stop(): Promise<void>;
}

/**
 * Starts a door.
 * @throws Error with `code` and `port` when it cannot listen (EADDRINUSE: the port is taken)
 */
export async function startDoor(options: DoorOptions): Promise<Door> {
  const signer = await buildSigner();
  let state: TunnelState = "up";
  const answer = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    if (req.url === "/lab/tunnel") state = await controlTunnel(req, res, state);
    else await atTheEdge(options, signer, state, req, res);
  };
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 }, (req, res) => {
    answer(req, res).catch(() => res.destroy());
  });
  const port = await listen(server, options.port);
  return { id: options.id, url: `http://127.0.0.1:${port}`, port, stop: () => closed(server) };
}

async function atTheEdge(
  options: DoorOptions,
  signer: Signer,
  state: TunnelState,
  req: IncomingMessage,
  res: ServerResponse,
): Promise<void> {
  const { refusal, audience, clientId } = options;
  if (!showsToken(req, options)) refuse(res, refusal, req.headers.host ?? "", pathOf(req), audience);
  else if (state === "down") noTunnel(res);
  else if (state === "silent") tooSilent(res);
  else {
    const { "cf-access-client-id": _id, "cf-access-client-secret": _secret, ...headers } = req.headers;
    // What a caller sends under this name is overwritten.
    const assertion = await signer.sign(audience, clientId);
    await throughTheTunnel(options, signer, req, res, { ...headers, "cf-access-jwt-assertion": assertion });
  }
}

/** Access is asked of every rule, the catch-all included: a path that is not let through says so only to who may ask. */
async function throughTheTunnel(
  { path, audTag, origin }: DoorOptions,
  signer: Signer,
  req: IncomingMessage,
  res: ServerResponse,
  headers: Readonly<Record<string, string | string[] | undefined>> & { readonly "cf-access-jwt-assertion": string },
): Promise<void> {
  const judgement = await signer.judge(headers["cf-access-jwt-assertion"], audTag);
  if (judgement === "failed") badGateway(res);
  else if (judgement === "filtered") reply(res, 403, {}, "");
  else if (!new RegExp(path).test(pathOf(req))) reply(res, 404, {}, "");
  else proxy(req, res, origin, headers);
}

/** As Go has it: percent signs decoded, dots left as they are. */
function pathOf({ url }: IncomingMessage): string {
  const [path = "/"] = (url ?? "/").split("?");
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function showsToken({ headers }: IncomingMessage, { clientId, clientSecret }: DoorOptions): boolean {
  return same(headers["cf-access-client-id"], clientId) && same(headers["cf-access-client-secret"], clientSecret);
}

function same(given: string | string[] | undefined, wanted: string): boolean {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(wanted)];
  return a.length === b.length && timingSafeEqual(a, b);
}
