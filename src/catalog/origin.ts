/** Origins that hosts may fetch from for a caller. Grammar only, like `schema.ts`. */
import { z } from "zod";

/** Names that mean something else, or something inside, where the host stands (RFC 6761, 6762, 8375; ICANN's `internal`). */
const PRIVATE = /(^|\.)(localhost|local|internal|intranet|lan|home|corp|private|test|invalid|onion|home\.arpa)$/;

/**
 * `https://images.example.com`: a public name and nothing behind it. Addresses are none: what they lead to is the
 * network's business. Written as the URL standard writes it, because it is compared letter by letter.
 */
export const publicOrigin = z.string().refine((text) => {
  if (!URL.canParse(text)) return false;
  const { origin, protocol, hostname } = new URL(text);
  const isName = /^([a-z0-9-]+\.)+[a-z0-9-]*[a-z-][a-z0-9-]*$/.test(hostname);
  const isPublic = isName && !PRIVATE.test(hostname);
  return protocol === "https:" && origin === text && isPublic;
}, "an https origin with a public name and no path, such as https://images.example.com");
