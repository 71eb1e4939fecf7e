/**
 * One-time tickets: what a page sends where a browser lets it send no header. `cwt_` and 32 random bytes in base64url. A
 * ticket is known by its HMAC only, which names the object that keeps it. Pure but for Web Crypto; chance is an argument.
 */
import { base64url } from "jose";
import { hmac } from "#src/hmac.ts";

/** A ticket stands in a URL, and URLs are written down in many places: it must be of no use soon after. */
export const TICKET_TTL_MS = 30_000;
const TICKET_BYTES = 32;
const TICKET_TEXT = /^cwt_[A-Za-z0-9_-]{43}$/;

/** @param random yields that many unpredictable bytes */
export function mintTicket(random: (bytes: number) => Uint8Array): string {
  return `cwt_${base64url.encode(random(TICKET_BYTES))}`;
}

/** False for what cannot be a ticket, so that nobody is asked about it. */
export function isTicket(text: string): boolean {
  return TICKET_TEXT.test(text);
}

/** The name of the object that keeps a ticket. */
export async function ticketName(secret: string, ticket: string): Promise<string> {
  return base64url.encode(await hmac(secret, "ticket", ticket));
}
