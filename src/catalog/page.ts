/** The web pages that may ask from within a browser. Grammar only, like `schema.ts`. */
import { z } from "zod";

/**
 * As browsers write it (RFC 6454, 6.2), to the letter: a path, a slash at the end or a standard port is none. Nor is a
 * star, which a URL may hold, and which would look as if it stood for anything.
 */
export const origin = z.string().refine(isOrigin, "an origin, such as https://app.example.com");

function isOrigin(text: string): boolean {
  return /^https?:[^*]+$/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}
