/** `POST /v1/tickets`: a credential that stands in a URL for one use, got with one that must not. */
import { z } from "zod";
import type { Identity } from "#src/auth/proof.ts";
import { isTicket, mintTicket, TICKET_TTL_MS, ticketName } from "#src/auth/ticket.ts";
import { readBounded } from "#src/bytes.ts";
import type { Env } from "#src/env.ts";
import { Problem } from "#src/problem.ts";
import { parseDocument } from "./body.ts";
import type { ProvenCall } from "./call.ts";
import { membersOf } from "./fields.ts";
import { guard } from "./guard.ts";

const RETRY_AFTER_S = 2;
/** There is nothing to say. */
const MAX_BODY_BYTES = 1024;
const nothing = z.strictObject({});

/**
 * Gives out a ticket that is good for what its caller is good for.
 *
 * @throws Problem `invalid_value` for a body that says anything, `invalid_json`, `request_too_large`,
 *   `address_rate_exceeded`, or `unavailable`
 */
export async function issueTicket({ request, env, principal, proof, address }: ProvenCall): Promise<Response> {
  const body = await readBounded(request, MAX_BODY_BYTES, "left");
  if (body === null) throw new Problem("request_too_large");
  if (body.byteLength > 0) membersOf(nothing, parseDocument(body));
  const nowMs = Date.now();
  // An object each: they are given out no faster than questions are taken. The penalties were looked at at the door.
  await guard(address, "completions", env, new Map(), nowMs);
  const ticket = mintTicket((bytes) => crypto.getRandomValues(new Uint8Array(bytes)));
  const untilMs = Math.min(nowMs + TICKET_TTL_MS, proof.untilMs);
  const name = await ticketName(env.CAUSEWAY_SECRET, ticket);
  await env.TICKET.getByName(name).issue({ principal, proof }, untilMs).catch(unreachable);
  const expires_in = Math.max(0, Math.floor((untilMs - nowMs) / 1000));
  return Response.json({ object: "ticket", ticket, expires_in }, { status: 201 });
}

/**
 * Whose a ticket is; null when it was used, has run out or never was.
 *
 * @throws Problem `unavailable`
 */
export async function redeemTicket(env: Env, text: string): Promise<Identity | null> {
  if (!isTicket(text)) return null;
  const name = await ticketName(env.CAUSEWAY_SECRET, text);
  return env.TICKET.getByName(name).redeem().catch(unreachable);
}

function unreachable(cause: unknown): never {
  throw new Problem("unavailable", { retryAfterS: RETRY_AFTER_S, cause });
}
