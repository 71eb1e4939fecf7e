/** Where this checkout lies. The parts are started from its root, whatever folder the command was given in. */
import { join } from "node:path";

export const REPOSITORY = join(import.meta.dirname, "..", "..");

/** A path inside the checkout. */
export function inRepository(...parts: string[]): string {
  return join(REPOSITORY, ...parts);
}
