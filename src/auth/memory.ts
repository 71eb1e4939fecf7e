/** What one isolate remembers for the door: keys of issuers, tokens it has verified, API key records. */
import type { KeyRecords } from "./key-records.ts";
import { type KeyRing, newKeyRing } from "./key-ring.ts";
import { VerifiedTokens } from "./verified-tokens.ts";

export type AuthMemory = {
  readonly rings: Map<string, KeyRing>;
  readonly verified: VerifiedTokens;
  readonly keyRecords: KeyRecords;
};

export const newAuthMemory = (): AuthMemory => ({
  rings: new Map(),
  verified: new VerifiedTokens(),
  keyRecords: new Map(),
});

/** The issuer's ring; only issuers of the catalog come here, so there are few. */
export function ringOf({ rings }: Pick<AuthMemory, "rings">, issuer: string): KeyRing {
  const known = rings.get(issuer);
  if (known !== undefined) return known;
  const fresh = newKeyRing(issuer);
  rings.set(issuer, fresh);
  return fresh;
}
