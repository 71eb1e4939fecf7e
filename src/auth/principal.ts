/** Who is asking, once proven. The only thing that later stages learn of a credential. Pure. */
import { type Catalog, ROLES, type Role } from "#src/catalog/schema.ts";

/** What a credential may be used for. */
export const SCOPES = ["inference", "models", "embeddings", "metrics", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

export type Tenant = {
  /** Names the tenant's object; `issuer|name`, so that two issuers cannot collide. */
  readonly id: string;
  /** As the token has it, and the catalog. */
  readonly name: string;
};

export type Principal = {
  /** Names the caller's Account object; `issuer|sub` for a token, `key|owner` for an API key, so that two issuers cannot collide. */
  readonly accountId: string;
  /** The id written to the ledger: the token's `sub` or the key's owner. */
  readonly userId: string;
  /** The organisation whose caps the caller shares; null where the credential names none. */
  readonly tenant: Tenant | null;
  /** A tier of the catalog: the one claimed, or `default` where it names no such tier. */
  readonly tier: string;
  readonly roles: readonly Role[];
  readonly scopes: readonly Scope[];
  /** Id of the API key, null for a token. */
  readonly keyId: string | null;
};

const SCOPES_OF: Record<Role, readonly Scope[]> = {
  "ai-users": ["inference", "models", "embeddings"],
  "ai-admins": SCOPES,
  "ai-monitoring": ["metrics"],
};

/**
 * Roles from a groups claim.
 *
 * @param groups the claim as found, of any type
 * @param mapping the catalog's: the groups that have a role; absent for a role, the group of its own name
 */
export function rolesOf(groups: unknown, mapping: Catalog["roles"]): Role[] {
  if (!Array.isArray(groups)) return [];
  return ROLES.filter((role) => (mapping[role] ?? [role]).some((group) => groups.includes(group)));
}

/** What the roles of a token allow. */
export function scopesOf(roles: readonly Role[]): Scope[] {
  return SCOPES.filter((scope) => roles.some((role) => SCOPES_OF[role].includes(scope)));
}

/** The roles whose holder could do what these scopes allow: what a model's `allow.roles` sees of an API key. */
export function rolesBehind(scopes: readonly Scope[]): Role[] {
  const roles: Role[] = [];
  if (scopes.includes("admin")) roles.push("ai-admins");
  if (scopes.includes("inference") || scopes.includes("embeddings")) roles.push("ai-users");
  if (scopes.includes("metrics")) roles.push("ai-monitoring");
  return roles;
}

/** Longer names are no names. */
const LONGEST_TENANT = 256;

/** The tenant of a claim: some text, else none. */
export function tenantOf(claimed: unknown, issuer: string): Tenant | null {
  if (typeof claimed !== "string" || claimed === "" || claimed.length > LONGEST_TENANT) return null;
  return { id: `${issuer}|${claimed}`, name: claimed };
}

/** The tier of a claim: a name that the catalog knows, else `default`. */
export function tierOf(claimed: unknown, tiers: Catalog["tiers"]): string {
  return typeof claimed === "string" && Object.hasOwn(tiers, claimed) ? claimed : "default";
}
