/**
 * Tokens that this isolate has verified. The key is made of claims, never of the token's text; the text is then held
 * against the one that was verified, so a token with the same claims and another signature is verified anew. That
 * comparison is safe because only canonical texts come here (`token-text.ts`).
 */
import { base64url } from "jose";
import { MAX_TOKEN_BYTES, type TokenText } from "./token-text.ts";

/** A token is looked at again after this at the latest, so that nothing rests on one verification for long. */
const REMEMBERED_FOR_MS = 60_000;
/** About 2 KiB each: 10 MiB of an isolate's 128. */
const MAX_REMEMBERED = 5_000;

export class VerifiedTokens {
  /** In order of use: the first is the one to forget. */
  readonly #tokens = new Map<string, { readonly token: TokenText; readonly epoch: number; readonly untilMs: number }>();

  /**
   * The parts of a token that was verified before, without taking it apart strictly again: its text is the very one that
   * passed. Whether it is still good is `has`'s to say. Measured: taking a token apart strictly is most of a repeated
   * token's cost.
   */
  recall(text: string): TokenText | null {
    const claims = text.length <= MAX_TOKEN_BYTES ? looseClaims(text) : null;
    const found = claims === null ? undefined : this.#tokens.get(nameOf(claims));
    return found !== undefined && found.token.text === text ? found.token : null;
  }

  /**
   * True when this very token was verified and is still good.
   *
   * @param epoch the newest purge of keys: what was verified under another one is not good any more, also when the
   *   issuer has a new key of the old one's name
   */
  has(token: TokenText, epoch: number, nowMs: number): boolean {
    const name = nameOf(token.claims);
    const found = this.#tokens.get(name);
    if (found === undefined || found.token.text !== token.text) return false;
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
    this.#tokens.set(nameOf(token.claims), { token, epoch, untilMs });
    if (this.#tokens.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#tokens.keys();
    if (oldest !== undefined) this.#tokens.delete(oldest);
  }
}

type NamingClaims = Pick<TokenText["claims"], "iss" | "sub" | "jti" | "iat" | "exp">;

function nameOf({ iss, sub, jti, iat, exp }: NamingClaims): string {
  return JSON.stringify([iss, sub, jti, iat, exp]);
}

/** The claims as they are read at a glance: good for finding a name, and for nothing else. */
function looseClaims(text: string): NamingClaims | null {
  try {
    const claims: unknown = JSON.parse(new TextDecoder().decode(base64url.decode(text.split(".", 2)[1] ?? "")));
    return typeof claims === "object" && claims !== null ? (claims as NamingClaims) : null;
  } catch {
    return null;
  }
}
