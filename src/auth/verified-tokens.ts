/**
 * Tokens that this isolate has verified, by their very text. A deny list by text could be got round, because JWT texts can
 * be varied without touching what is signed; here another text is only another token, which is verified anew, and only
 * canonical texts come here (`token-text.ts`), so that variants of one cannot fill the memory.
 */
import { MAX_TOKEN_BYTES, type TokenText } from "./token-text.ts";

/** A token is looked at again after this at the latest, so that nothing rests on one verification for long. */
const REMEMBERED_FOR_MS = 60_000;
/** About 2 KiB each: 10 MiB of an isolate's 128. */
const MAX_REMEMBERED = 5_000;

export class VerifiedTokens {
  /** In order of use: the first is the one to forget. */
  readonly #tokens = new Map<string, { readonly token: TokenText; readonly epoch: number; readonly untilMs: number }>();

  /**
   * The parts of a token that was verified before, without taking it apart again. Whether it is still good is `has`'s to
   * say. Taking a token apart is most of what a repeated one costs; to read its claims at a glance and find it by them was
   * half of what was left (by profile).
   */
  recall(text: string): TokenText | null {
    return text.length <= MAX_TOKEN_BYTES ? (this.#tokens.get(text)?.token ?? null) : null;
  }

  /**
   * True when this very token was verified and is still good.
   *
   * @param epoch the newest purge of keys: what was verified under another one is not good any more, also when the
   *   issuer has a new key of the old one's name
   */
  has({ text }: TokenText, epoch: number, nowMs: number): boolean {
    const found = this.#tokens.get(text);
    if (found === undefined) return false;
    this.#tokens.delete(text);
    if (found.epoch !== epoch || nowMs >= found.untilMs) return false;
    this.#tokens.set(text, found);
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
    this.#tokens.set(token.text, { token, epoch, untilMs });
    if (this.#tokens.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#tokens.keys();
    if (oldest !== undefined) this.#tokens.delete(oldest);
  }
}
