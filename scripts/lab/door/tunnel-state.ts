// Whether the tunnel stands, and the door's own route that changes it: GET or POST /lab/tunnel {"state"}.
import type { IncomingMessage, ServerResponse } from "node:http";
import { replyJson } from "../whole-reply.ts";

/** Connected; not connected; or connected to a host that says nothing until the edge gives up. */
export type TunnelState = "up" | "down" | "silent";

const STATES: readonly TunnelState[] = ["up", "down", "silent"];
const MOST_BODY_CHARACTERS = 1_000;

/** Answers the route. @returns the state from now on */
export async function controlTunnel(req: IncomingMessage, res: ServerResponse, now: TunnelState): Promise<TunnelState> {
  const wanted = req.method === "POST" ? stateOf(await textOf(req)) : now;
  if (wanted === undefined) replyJson(res, 400, { error: `"state" must be one of ${STATES.join(", ")}` });
  else replyJson(res, 200, { state: wanted });
  return wanted ?? now;
}

function stateOf(text: string): TunnelState | undefined {
  try {
    const body: unknown = JSON.parse(text);
    const state: unknown = typeof body === "object" && body !== null ? Reflect.get(body, "state") : undefined;
    return STATES.find((known) => known === state);
  } catch {
    return undefined;
  }
}

async function textOf(req: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of req) {
    text += String(chunk);
    if (text.length > MOST_BODY_CHARACTERS) break;
  }
  return text;
}
