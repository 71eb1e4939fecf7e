import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ApiKeyRecord, issueApiKey, isWellFormedKey, kvKeyOf, principalOfKey } from "#src/auth/api-key.ts";
import { tierWith } from "#test/support/tier.ts";

const SECRET = "a".repeat(43);
const GRANT = { owner: "n8n", tier: "premium", scopes: ["inference" as const], label: "flows", expiresAtMs: 2_000 };

/** Bytes that only look random, so that a test can be repeated. */
function counting(start: number): (bytes: number) => Uint8Array {
  let next = start;
  return (bytes) => Uint8Array.from({ length: bytes }, () => next++ * 37);
}

test("an issued key is well formed, and its record holds neither its text nor its hash", async () => {
  const { key, id, kvKey, record } = await issueApiKey(SECRET, GRANT, counting(1));
  expect(key).toMatch(/^cw_[A-Za-z0-9_-]{48}$/);
  expect(await isWellFormedKey(key)).toBe(true);
  expect(kvKey).toBe(await kvKeyOf(SECRET, key));
  expect(record).toEqual({ v: 1, id, ...GRANT });
  expect(JSON.stringify({ kvKey, record })).not.toContain(key.slice(3, 20));
});

test("the look-up name depends on the secret and the text", async () => {
  const names = await Promise.all([kvKeyOf(SECRET, "a"), kvKeyOf(SECRET, "b"), kvKeyOf(`${SECRET}b`, "a")]);
  expect(new Set(names).size).toBe(3);
});

test("the pepper is not the secret itself, nor the cache's", async () => {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const names = await Promise.all(
    [SECRET, `cache:${SECRET}`].map(async (pepper) => {
      const key = await crypto.subtle.importKey("raw", new TextEncoder().encode(pepper), algorithm, false, ["sign"]);
      const mac = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode("text"));
      return `key:${btoa(String.fromCharCode(...new Uint8Array(mac)))
        .replaceAll("+", "-")
        .replaceAll("/", "_")
        .replaceAll("=", "")}`;
    }),
  );
  expect(names).not.toContain(await kvKeyOf(SECRET, "text"));
});

test("any one character changed is a typo", async () => {
  const { key } = await issueApiKey(SECRET, GRANT, counting(7));
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const typo = fc.record({ at: fc.nat({ max: 47 }), to: fc.constantFrom(...alphabet) });
  await fc.assert(
    fc.asyncProperty(typo, async ({ at, to }) => {
      const changed = key.slice(0, 3 + at) + to + key.slice(4 + at);
      expect(await isWellFormedKey(changed)).toBe(changed === key);
    }),
  );
});

describe("not a key", () => {
  test.each([
    { name: "empty", text: "" },
    { name: "the prefix alone", text: "cw_" },
    { name: "another prefix", text: `sk_${"A".repeat(48)}` },
    { name: "one character less", text: `cw_${"A".repeat(47)}` },
    { name: "one more", text: `cw_${"A".repeat(49)}` },
    { name: "zeros with a wrong checksum", text: `cw_${"A".repeat(48)}` },
    { name: "base64 instead of base64url", text: `cw_${"+".repeat(48)}` },
    { name: "a line break at the end", text: `cw_${"A".repeat(48)}\n` },
  ])("$name", async ({ text }) => {
    expect(await isWellFormedKey(text)).toBe(false);
  });
});

describe("the principal of a record", () => {
  const TIERS = { default: tierWith(), premium: tierWith() };
  const record: ApiKeyRecord = { v: 1, id: "key_1", ...GRANT };

  test("is its owner, in an account that no token can name", () => {
    expect(principalOfKey(record, TIERS, 1_999)).toEqual({
      accountId: "key|n8n",
      userId: "n8n",
      tenant: null,
      tier: "premium",
      roles: ["ai-users"],
      scopes: ["inference"],
      keyId: "key_1",
    });
  });

  test("has the default tier where the catalog has none of its name", () => {
    for (const tier of ["gold", "__proto__", "toString"])
      expect(principalOfKey({ ...record, tier }, TIERS, 0)?.tier).toBe("default");
  });

  test.each<{ scopes: ApiKeyRecord["scopes"]; roles: string[] }>([
    { scopes: [], roles: [] },
    { scopes: ["models"], roles: [] },
    { scopes: ["embeddings"], roles: ["ai-users"] },
    { scopes: ["metrics"], roles: ["ai-monitoring"] },
    { scopes: ["admin"], roles: ["ai-admins"] },
    { scopes: ["admin", "inference", "metrics"], roles: ["ai-admins", "ai-users", "ai-monitoring"] },
  ])("with scopes $scopes stands behind roles $roles, and has no scope more", ({ scopes, roles }) => {
    expect(principalOfKey({ ...record, scopes }, TIERS, 0)).toMatchObject({ scopes, roles });
  });

  test("is nobody once it has expired", () => {
    expect(principalOfKey(record, TIERS, 2_000)).toBeNull();
  });
});
