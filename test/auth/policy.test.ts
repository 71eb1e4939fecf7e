import { describe, expect, test } from "vitest";
import { type Need, permits } from "#src/auth/policy.ts";
import { type Principal, type Role, rolesOf } from "#src/auth/principal.ts";

type Guarded = Exclude<Need, "none">;

function withRoles(roles: readonly Role[]): Principal {
  return { accountId: "i|u", userId: "u", tier: "default", roles, keyId: null };
}

describe("role by need", () => {
  test.each<{ roles: Role[]; may: Guarded[] }>([
    { roles: [], may: [] },
    { roles: ["ai-users"], may: ["inference"] },
    { roles: ["ai-monitoring"], may: ["metrics"] },
    { roles: ["ai-admins"], may: ["inference", "admin", "metrics"] },
    { roles: ["ai-users", "ai-monitoring"], may: ["inference", "metrics"] },
  ])("$roles may $may", ({ roles, may }) => {
    const needs: Guarded[] = ["inference", "admin", "metrics"];
    expect(needs.filter((need) => permits(withRoles(roles), need))).toEqual(may);
  });
});

describe("roles of a groups claim", () => {
  test.each<{ name: string; groups: unknown; roles: Role[] }>([
    { name: "known ones", groups: ["ai-admins", "ai-users"], roles: ["ai-users", "ai-admins"] },
    { name: "others are dropped", groups: ["ai-users", "root", "everyone"], roles: ["ai-users"] },
    { name: "case matters", groups: ["AI-ADMINS", "ai-Admins"], roles: [] },
    { name: "no part of a name", groups: ["ai-admins-readonly", "not-ai-admins"], roles: [] },
    { name: "a text that holds a role", groups: "ai-admins", roles: [] },
    { name: "an object", groups: { "ai-admins": true, length: 1, 0: "ai-admins" }, roles: [] },
    { name: "other types inside", groups: [null, 1, ["ai-admins"], { role: "ai-admins" }], roles: [] },
    { name: "no claim", groups: undefined, roles: [] },
  ])("$name", ({ groups, roles }) => {
    expect(rolesOf(groups)).toEqual(roles);
  });
});
