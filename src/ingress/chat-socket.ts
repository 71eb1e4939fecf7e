/** `GET /ws/chat/{model}`: a WebSocket over which questions are asked one after the other. */
import { z } from "zod";
import type { Model } from "#src/catalog/schema.ts";
import { Problem } from "#src/problem.ts";
import type { ProvenCall } from "./call.ts";
import type { NewSession } from "./chat-session.ts";
import { SESSION_HEADER } from "./chat-socket.do.ts";
import { queryOf, wrongField } from "./fields.ts";
import { modelOf, switchedOn } from "./models.ts";
import { CHAT_PROTOCOL, protocolsOf } from "./page.ts";
import { placeOf } from "./region.ts";
import { RESIDENCY_HEADER } from "./residency.ts";

const UPGRADE = { upgrade: "websocket", connection: "Upgrade" };
const RETRY_AFTER_S = 2;
const query = z.strictObject({ ticket: z.string().optional() });

/** What a handshake may say of the questions to come, and a socket keeps. */
const WISHES = [RESIDENCY_HEADER, "x-causeway-prefer", "x-workflow-id", "traceparent", "prefer"];
/** Longer ones are cut off, which makes no wish of what was none. */
const LONGEST_WISH = 256;

/**
 * Opens a socket. All that could be wrong with it is said here, by a status, because a browser tells its page nothing else.
 *
 * @param name of the model, or an alias
 * @throws Problem `upgrade_required` for a plain request, `invalid_value` for other protocols than this gateway's,
 *   `model_not_found`, `model_disabled`, `unsupported_value`, `unavailable`
 */
export async function openChatSocket(call: ProvenCall, name: string): Promise<Response> {
  const { request, env, principal, proof, address } = call;
  if (request.method !== "GET" || request.headers.get("upgrade")?.toLowerCase() !== "websocket")
    throw new Problem("upgrade_required", { headers: UPGRADE });
  queryOf(query, request.url);
  const offered = protocolsOf(request);
  // A browser hangs up on a server that chooses none of those it offered.
  if (offered.length > 0 && !offered.includes(CHAT_PROTOCOL))
    throw wrongField("sec-websocket-protocol", `${CHAT_PROTOCOL} must be among the protocols`);
  const model = forChat(switchedOn(modelOf(call, name, "inference")));
  call.log.model = model.id;

  const wishes = WISHES.flatMap((header): NewSession["wishes"] => {
    const value = request.headers.get(header);
    return value === null ? [] : [[header, value.slice(0, LONGEST_WISH)]];
  });
  const seed: NewSession = { model: name, identity: { principal, proof }, address, place: placeOf(request), wishes };
  const headers = { upgrade: "websocket", [SESSION_HEADER]: encodeURIComponent(JSON.stringify(seed)) };
  const { webSocket } = await env.CHAT_SOCKET.getByName(principal.accountId)
    .fetch("http://socket/", { headers })
    .catch((cause: unknown) => {
      throw new Problem("unavailable", { retryAfterS: RETRY_AFTER_S, cause });
    });
  const chosen: Record<string, string> = offered.length > 0 ? { "sec-websocket-protocol": CHAT_PROTOCOL } : {};
  return new Response(null, { status: 101, webSocket, headers: chosen });
}

function forChat(model: Model): Model {
  if (model.kind === "generation") return model;
  throw new Problem("unsupported_value", { param: "model", message: `${model.id} is a model for ${model.kind}.` });
}
