/** May this principal use that route? One function for every route; it knows roles, not paths. Pure. */
import type { Principal, Role } from "./principal.ts";

/** What a route asks for. `none` is open to everyone, without a credential. */
export type Need = "none" | "inference" | "admin" | "metrics";

const ROLES_FOR: Record<Exclude<Need, "none">, readonly Role[]> = {
  inference: ["ai-users", "ai-admins"],
  admin: ["ai-admins"],
  metrics: ["ai-monitoring", "ai-admins"],
};

/** True when one of the principal's roles meets the need. */
export function permits(principal: Principal, need: Exclude<Need, "none">): boolean {
  return ROLES_FOR[need].some((role) => principal.roles.includes(role));
}
