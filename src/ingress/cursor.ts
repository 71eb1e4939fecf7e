/** Where a page ended, as text for the next one's query. It is no secret and no proof: what comes back is checked again. */
import { base64url } from "jose";
import { UTF8 } from "#src/bytes.ts";

/** Any JSON value as text that needs no escaping in a URL. */
export function encodeCursor(position: unknown): string {
  return base64url.encode(JSON.stringify(position));
}

/** What was encoded; null for a text that holds no JSON. */
export function decodeCursor(text: string): unknown {
  try {
    return JSON.parse(UTF8.decode(base64url.decode(text)));
  } catch {
    return null;
  }
}
