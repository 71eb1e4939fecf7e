/** May this principal do that? The one function that decides, for every route and every model. Pure. */
import type { Model } from "#src/catalog/schema.ts";
import type { Principal, Scope } from "./principal.ts";

/** What a route asks of a credential: a scope, or to be a caller at all, for what is the caller's own. */
export type Need = Scope | "own";

const CALLERS: readonly Scope[] = ["inference", "embeddings", "models"];

export type Action = {
  readonly scope: Need;
  /** The account that a thing belongs to: only its own and admins may. */
  readonly owner?: string;
  /** The model that is used or shown. */
  readonly model?: Pick<Model, "allow">;
};

/** True when the principal has the scope, and the thing is its own, and the model is open to it. */
export function permits(principal: Principal, { scope, owner, model }: Action): boolean {
  const isOpen =
    scope === "own" ? CALLERS.some((one) => principal.scopes.includes(one)) : principal.scopes.includes(scope);
  if (!isOpen) return false;
  if (principal.scopes.includes("admin")) return true;
  if (owner !== undefined && owner !== principal.accountId) return false;
  const { roles, tiers } = model?.allow ?? {};
  if (roles !== undefined && !roles.some((role) => principal.roles.includes(role))) return false;
  return tiers === undefined || tiers.includes(principal.tier);
}
