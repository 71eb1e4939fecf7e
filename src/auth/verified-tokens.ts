/**
 * Tokens that this isolate has verified. The key is made of claims, never of the token's text; the text is then held
 * against the one that was verified, so a token with the same claims and another signature is verified anew. That
 * comparison is safe because only canonical texts come here (`token-text.ts`).
 */
import type { TokenText } from "./token-text.ts";

/** A token is looked at again after this at the latest, so that nothing rests on one verification for long. */
const REMEMBERED_FOR_MS = 60_000;
/** About 2 KiB each: 10 MiB of an isolate's 128. */
const MAX_REMEMBERED = 5_000;

export class VerifiedTokens {
  /** In order of use: the first is the one to forget. */
  readonly #tokens = new Map<string, { readonly text: string; readonly epoch: number; readonly untilMs: number }>();

  /**
   * True when this very token was verified and is still good.
   *
   * @param epoch the newest purge of keys: what was verified under another one is not good any more, also when the
   *   issuer has a new key of the old one's name
   */
  has(token: TokenText, epoch: number, nowMs: number): boolean {
    const name = nameOf(token);
    const found = this.#tokens.get(name);
    if (found === undefined || found.text !== token.text) return false;
    this.#tokens.delete(name);
    if (found.epoch !== epoch || nowMs >= found.untilMs) return false;
    this.#tokens.set(name, found);
    return true;
  }

  /**
   * Remembers a token that was verified just now.
   *
   * @param maxAgeS the issuer's bound on a token's age
   * @param epoch of the keys that it was verified with
   */
  add(token: TokenText, maxAgeS: number, epoch: number, nowMs: number): void {
    const { exp, iat } = token.claims;
    const untilMs = Math.min(exp * 1000, (iat + maxAgeS) * 1000, nowMs + REMEMBERED_FOR_MS);
    this.#tokens.set(nameOf(token), { text: token.text, epoch, untilMs });
    if (this.#tokens.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#tokens.keys();
    if (oldest !== undefined) this.#tokens.delete(oldest);
  }
}

function nameOf({ claims: { iss, sub, jti, iat, exp } }: TokenText): string {
  return JSON.stringify([iss, sub, jti, iat, exp]);
}
