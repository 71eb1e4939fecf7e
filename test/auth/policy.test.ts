import { describe, expect, test } from "vitest";
import { type Action, permits } from "#src/auth/policy.ts";
import { type Principal, rolesOf, SCOPES, type Scope, scopesOf } from "#src/auth/principal.ts";
import type { Role } from "#src/catalog/schema.ts";

function withRoles(roles: readonly Role[], changed: Partial<Principal> = {}): Principal {
  const who = { accountId: "i|u", userId: "u", tenant: null, tier: "default", keyId: null };
  return { ...who, roles, scopes: scopesOf(roles), ...changed };
}

describe("scope by role", () => {
  test.each<{ roles: Role[]; may: Scope[] }>([
    { roles: [], may: [] },
    { roles: ["ai-users"], may: ["inference", "models", "embeddings"] },
    { roles: ["ai-monitoring"], may: ["metrics"] },
    { roles: ["ai-admins"], may: ["inference", "models", "embeddings", "metrics", "admin"] },
    { roles: ["ai-users", "ai-monitoring"], may: ["inference", "models", "embeddings", "metrics"] },
  ])("$roles may $may", ({ roles, may }) => {
    expect(SCOPES.filter((scope) => permits(withRoles(roles), { scope }))).toEqual(may);
  });

  test.each(SCOPES)("a key with the scope %s may that and nothing else", (only) => {
    const key = withRoles([], { scopes: [only], keyId: "key_1" });
    expect(SCOPES.filter((scope) => permits(key, { scope }))).toEqual([only]);
  });
});

describe("what is a caller's own", () => {
  test.each<{ name: string; principal: Principal; may: boolean }>([
    ...SCOPES.map((only) => ({
      name: `a key of ${only}`,
      principal: withRoles([], { scopes: [only], keyId: "key_1" }),
      may: ["inference", "models", "embeddings"].includes(only),
    })),
    { name: "a user", principal: withRoles(["ai-users"]), may: true },
    { name: "an admin", principal: withRoles(["ai-admins"]), may: true },
    { name: "who watches", principal: withRoles(["ai-monitoring"]), may: false },
    { name: "nobody in particular", principal: withRoles([]), may: false },
  ])("$name: $may", ({ principal, may }) => {
    expect(permits(principal, { scope: "own" })).toBe(may);
  });

  test("somebody else's is not, unless for an admin", () => {
    const owner = "i|other";
    expect(permits(withRoles(["ai-users"]), { scope: "own", owner })).toBe(false);
    expect(permits(withRoles(["ai-admins"]), { scope: "own", owner })).toBe(true);
  });
});

describe("what belongs to somebody", () => {
  test.each<{ name: string; principal: Principal; owner: string; may: boolean }>([
    { name: "the owner", principal: withRoles(["ai-users"]), owner: "i|u", may: true },
    { name: "somebody else", principal: withRoles(["ai-users"]), owner: "i|other", may: false },
    { name: "the same name at another issuer", principal: withRoles(["ai-users"]), owner: "j|u", may: false },
    { name: "an admin", principal: withRoles(["ai-admins"]), owner: "i|other", may: true },
    { name: "the owner without the scope", principal: withRoles(["ai-monitoring"]), owner: "i|u", may: false },
    {
      name: "a key that only administrates, without the scope",
      principal: withRoles([], { scopes: ["admin"] }),
      owner: "i|u",
      may: false,
    },
  ])("$name: $may", ({ principal, owner, may }) => {
    expect(permits(principal, { scope: "inference", owner })).toBe(may);
  });
});

describe("a model that is not for everyone", () => {
  const [users, monitors, admins] = [withRoles(["ai-users"]), withRoles(["ai-monitoring"]), withRoles(["ai-admins"])];
  const premium = withRoles(["ai-users"], { tier: "premium" });
  const key = withRoles(["ai-users"], { scopes: ["inference"], keyId: "key_1" });
  const toMonitors = withRoles(["ai-users", "ai-monitoring"]);
  test.each<{ name: string; allow: NonNullable<Action["model"]>["allow"]; may: Principal[] }>([
    { name: "open", allow: undefined, may: [users, premium, key, toMonitors, admins] },
    { name: "for users", allow: { roles: ["ai-users"] }, may: [users, premium, key, toMonitors, admins] },
    { name: "for admins", allow: { roles: ["ai-admins"] }, may: [admins] },
    { name: "for monitors", allow: { roles: ["ai-monitoring"] }, may: [toMonitors, admins] },
    { name: "for premium", allow: { tiers: ["premium"] }, may: [premium, admins] },
    { name: "for premium monitors", allow: { roles: ["ai-monitoring"], tiers: ["premium"] }, may: [admins] },
  ])("$name", ({ allow, may }) => {
    const asking = [users, premium, key, toMonitors, monitors, admins];
    const model = allow === undefined ? {} : { allow };
    expect(asking.filter((principal) => permits(principal, { scope: "inference", model }))).toEqual(may);
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
    expect(rolesOf(groups, {})).toEqual(roles);
  });

  test.each<{ name: string; mapping: Partial<Record<Role, string[]>>; groups: string[]; roles: Role[] }>([
    { name: "one group", mapping: { "ai-admins": ["ops"] }, groups: ["ops"], roles: ["ai-admins"] },
    { name: "any of several", mapping: { "ai-users": ["a", "b"] }, groups: ["b"], roles: ["ai-users"] },
    {
      name: "one group, two roles",
      mapping: { "ai-users": ["a"], "ai-monitoring": ["a"] },
      groups: ["a"],
      roles: ["ai-users", "ai-monitoring"],
    },
    { name: "the own name no longer", mapping: { "ai-admins": ["ops"] }, groups: ["ai-admins"], roles: [] },
    { name: "nobody", mapping: { "ai-admins": [] }, groups: ["ai-admins"], roles: [] },
    { name: "other roles keep theirs", mapping: { "ai-admins": ["ops"] }, groups: ["ai-users"], roles: ["ai-users"] },
  ])("mapped by the catalog: $name", ({ mapping, groups, roles }) => {
    expect(rolesOf(groups, mapping)).toEqual(roles);
  });
});
