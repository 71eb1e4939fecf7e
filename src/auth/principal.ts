/** Who is asking, once proven. The only thing that later stages learn of a credential. */

export const ROLES = ["ai-users", "ai-admins", "ai-monitoring"] as const;
export type Role = (typeof ROLES)[number];

export type Principal = {
  /** Names the caller's Account object; `issuer|sub` for a token, `key|owner` for an API key, so that two issuers cannot collide. */
  readonly accountId: string;
  /** The id written to the ledger: the token's `sub` or the key's owner. */
  readonly userId: string;
  /** A tier of the catalog, as claimed; the catalog's `default` where it names no such tier. */
  readonly tier: string;
  readonly roles: readonly Role[];
  /** Id of the API key, null for a token. */
  readonly keyId: string | null;
};

/**
 * Keeps of a groups claim what Causeway knows as roles.
 *
 * @param groups the claim as found, of any type
 */
export function rolesOf(groups: unknown): Role[] {
  if (!Array.isArray(groups)) return [];
  return ROLES.filter((role) => groups.includes(role));
}
