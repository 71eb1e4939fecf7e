/** The callers' credentials, as `stack.json` has them: tokens are renewed there long before they expire. */
import { readStackFile } from "#scripts/stack/stack-file.ts";
import type { Question } from "./question.ts";

/** Tokens in the file are good for five minutes at least. */
const KEPT_MS = 60_000;

/** @returns yields a caller's credential @throws Error when the stack's file has none */
export function credentialsOf(root: string): (caller: Question["caller"]) => string {
  let stack = readStackFile({ root });
  let readAtMs = Date.now();
  return (caller) => {
    if (Date.now() - readAtMs > KEPT_MS) {
      stack = readStackFile({ root }) ?? stack;
      readAtMs = Date.now();
    }
    const credential = caller === "apiKey" ? stack?.apiKey : stack?.tokens[caller];
    if (credential === undefined) throw new Error(`stack.json has no credential for ${caller}`);
    return credential;
  };
}
