/** Who the local issuer vouches for: one client per role and tier that an operator would want to try. */

export const PRINCIPALS = {
  basic: { groups: ["ai-users"], tier: "basic" },
  default: { groups: ["ai-users"], tier: "default" },
  premium: { groups: ["ai-users"], tier: "premium" },
  enterprise: { groups: ["ai-users"], tier: "enterprise" },
  admin: { groups: ["ai-admins"], tier: "enterprise" },
  monitoring: { groups: ["ai-monitoring"], tier: "basic" },
} as const;

export type PrincipalName = keyof typeof PRINCIPALS;

export const PRINCIPAL_NAMES = Object.keys(PRINCIPALS).filter(isPrincipal);

export function isPrincipal(name: string): name is PrincipalName {
  return Object.hasOwn(PRINCIPALS, name);
}

/** The `sub` claim, and so the user id in the ledger. It never changes between runs. */
export function subjectOf(name: PrincipalName): string {
  return `${name}-user`;
}
