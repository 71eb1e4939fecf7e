import { base64url, CompactSign, exportJWK, exportSPKI, generateKeyPair, importJWK, SignJWT } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { newKeyMemory } from "#src/auth/jwks.ts";
import { type TokenVerdict, verifyToken } from "#src/auth/jwt.ts";
import { AUDIENCE, ISSUER, type TestIssuer, testIssuer } from "#test/support/issuer.ts";

const NOW_MS = 1_790_000_000_000;
const NOW_S = NOW_MS / 1000;

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await testIssuer(NOW_MS);
});

function verify(token: string, nowMs = NOW_MS): Promise<TokenVerdict> {
  const tierOf = (claim: unknown) => (claim === "basic" ? "basic" : "default");
  const from = { issuer: ISSUER, audience: AUDIENCE, keys: newKeyMemory() };
  return verifyToken(token, from, tierOf, issuer.fetcher, nowMs);
}

const utf8 = new TextEncoder();
const encoded = (value: unknown): string => base64url.encode(utf8.encode(JSON.stringify(value)));

/** A token of any header and payload text, signed by nobody. */
function unsigned(header: unknown, payload: unknown, signature = "c2ln"): string {
  return `${encoded(header)}.${typeof payload === "string" ? payload : encoded(payload)}.${signature}`;
}

const claims = { iss: ISSUER, aud: AUDIENCE, sub: "root", groups: ["ai-admins"], iat: NOW_S, exp: NOW_S + 600 };

/** A token of this issuer with one part replaced. */
async function withPart(at: 0 | 1 | 2, part: string): Promise<string> {
  return (await issuer.sign()).split(".").with(at, part).join(".");
}

async function hmac(key: Uint8Array, alg = "HS256"): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, kid: "k1" }).sign(key);
}

describe("accepted", () => {
  test.each<{ name: string; changed: Record<string, unknown>; atMs?: number }>([
    { name: "a good token", changed: {} },
    { name: "one audience of several", changed: { aud: ["other", AUDIENCE] } },
    { name: "within the clock's tolerance after its end", changed: { exp: NOW_S - 29 } },
    { name: "within the tolerance before its issue", changed: { iat: NOW_S + 29 } },
    { name: "almost a day old", changed: { iat: NOW_S - 86_000 } },
    { name: "a subject of 255 characters", changed: { sub: "s".repeat(255) } },
    { name: "claims it does not know", changed: { __proto__x: 1, nonce: "n", azp: "c" } },
  ])("$name", async ({ changed }) => {
    expect((await verify(await issuer.sign(changed))).kind).toBe("verified");
  });

  test("as a principal: issuer and subject name the account, the subject the user", async () => {
    expect(await verify(await issuer.sign({ groups: ["ai-users", "else"] }))).toEqual({
      kind: "verified",
      principal: {
        accountId: `${ISSUER}|basic-user`,
        userId: "basic-user",
        tier: "basic",
        roles: ["ai-users"],
        keyId: null,
      },
    });
  });

  test.each<{ name: string; changed: Record<string, unknown>; principal: Record<string, unknown> }>([
    { name: "no groups, no roles", changed: { groups: undefined }, principal: { roles: [] } },
    { name: "groups of another type, no roles", changed: { groups: "ai-admins" }, principal: { roles: [] } },
    { name: "no tier, the default one", changed: { tier: undefined }, principal: { tier: "default" } },
    { name: "a tier of another type, the default one", changed: { tier: ["basic"] }, principal: { tier: "default" } },
  ])("$name", async ({ changed, principal }) => {
    expect(await verify(await issuer.sign(changed))).toMatchObject({ kind: "verified", principal });
  });

  test("a token without a key id, while the issuer has one key", async () => {
    expect((await verify(await issuer.sign({}, { kid: undefined }))).kind).toBe("verified");
  });
});

describe("refused by claim", () => {
  test.each<{ name: string; changed: Record<string, unknown> }>([
    { name: "another issuer", changed: { iss: "https://evil.example.test/" } },
    { name: "the issuer without its slash", changed: { iss: ISSUER.slice(0, -1) } },
    { name: "the issuer in capitals", changed: { iss: ISSUER.toUpperCase() } },
    { name: "no issuer", changed: { iss: undefined } },
    { name: "a list of issuers", changed: { iss: [ISSUER] } },
    { name: "another audience", changed: { aud: "other" } },
    { name: "a part of the audience", changed: { aud: AUDIENCE.slice(0, -1) } },
    { name: "the audience and more", changed: { aud: `${AUDIENCE}2` } },
    { name: "audiences without ours", changed: { aud: ["a", "b"] } },
    { name: "no audience", changed: { aud: undefined } },
    { name: "no audiences", changed: { aud: [] } },
    { name: "expired", changed: { exp: NOW_S - 31 } },
    { name: "no end", changed: { exp: undefined } },
    { name: "an end as text", changed: { exp: String(NOW_S + 600) } },
    { name: "a negative end", changed: { exp: -1 } },
    { name: "not yet valid", changed: { nbf: NOW_S + 60 } },
    { name: "issued in the future", changed: { iat: NOW_S + 31 } },
    { name: "no issue time", changed: { iat: undefined } },
    { name: "issued more than a day ago", changed: { iat: NOW_S - 86_431 } },
    { name: "no subject", changed: { sub: undefined } },
    { name: "an empty subject", changed: { sub: "" } },
    { name: "a subject as number", changed: { sub: 7 } },
    { name: "a subject of 256 characters", changed: { sub: "s".repeat(256) } },
    { name: "a subject with NUL", changed: { sub: "root\0" } },
  ])("$name", async ({ changed }) => {
    expect((await verify(await issuer.sign(changed))).kind).toBe("refused");
  });
});

describe("refused by algorithm and key", () => {
  test.each<{ name: string; token: () => Promise<string> | string }>([
    ...["none", "None", "nOnE", "NONE", "", null, 7, ["RS256"], "HS256", "RS512", "PS256"].map((alg) => ({
      name: `alg ${JSON.stringify(alg)}`,
      token: () => unsigned({ alg, kid: "k1" }, claims),
    })),
    { name: "no alg", token: () => unsigned({ kid: "k1" }, claims) },
    { name: "alg none over a real signature", token: () => withPart(0, encoded({ alg: "none", kid: "k1" })) },
    {
      name: "HS256 keyed with the public key as PEM",
      token: async () => {
        const key = await importJWK(issuer.publicJwk, "RS256", { extractable: true });
        if (key instanceof Uint8Array) throw new Error("not an RSA key");
        return hmac(utf8.encode(await exportSPKI(key)));
      },
    },
    { name: "HS256 keyed with the JWK's text", token: () => hmac(utf8.encode(JSON.stringify(issuer.publicJwk))) },
    { name: "HS256 keyed with the modulus", token: () => hmac(base64url.decode(issuer.publicJwk.n ?? "")) },
    { name: "HS512 keyed with the modulus", token: () => hmac(base64url.decode(issuer.publicJwk.n ?? ""), "HS512") },
    { name: "another pair of the same key id", token: async () => (await testIssuer(NOW_MS)).sign() },
    { name: "an unknown key id", token: () => issuer.sign({}, { kid: "k2" }) },
    { name: "a path as key id", token: () => issuer.sign({}, { kid: "../../dev/null" }) },
    { name: "__proto__ as key id", token: () => issuer.sign({}, { kid: "__proto__" }) },
    { name: "an object as key id", token: () => unsigned({ alg: "RS256", kid: { a: 1 } }, claims) },
    {
      name: "the attacker's key inside",
      token: async () => {
        const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
        const jwk = (await crypto.subtle.exportKey("jwk", publicKey)) as JsonWebKey;
        const header = { alg: "RS256", jwk, jku: "https://evil.example.test/jwks", x5u: "https://evil.example.test/x" };
        return new SignJWT(claims).setProtectedHeader({ ...header, kid: "k1" } as never).sign(privateKey);
      },
    },
  ])("$name", async ({ token }) => {
    expect((await verify(await token())).kind).toBe("refused");
  });
});

describe("refused by form", () => {
  test.each<{ name: string; token: () => Promise<string> | string }>([
    { name: "empty", token: () => "" },
    { name: "two parts", token: async () => (await issuer.sign()).split(".").slice(0, 2).join(".") },
    { name: "no signature", token: () => withPart(2, "") },
    { name: "four parts", token: async () => `${await issuer.sign()}.x` },
    { name: "five parts", token: () => "a.b.c.d.e" },
    { name: "padding at the end", token: async () => `${await issuer.sign()}=` },
    { name: "a space inside", token: async () => (await issuer.sign()).replace(".", ". ") },
    { name: "a line break at the end", token: async () => `${await issuer.sign()}\n` },
    { name: "base64 for base64url", token: () => withPart(2, "++//") },
    {
      name: "a signature of another token",
      token: async () => withPart(2, (await issuer.sign({ sub: "x" })).split(".")[2] ?? ""),
    },
    { name: "a signature cut short", token: async () => (await issuer.sign()).slice(0, -8) },
    { name: "the claims changed", token: () => withPart(1, encoded(claims)) },
    { name: "a header that is no JSON", token: () => withPart(0, base64url.encode("{")) },
    { name: "a header that is a list", token: () => withPart(0, encoded([])) },
    { name: "a payload that is no JSON", token: () => withPart(1, base64url.encode("{")) },
    { name: "an unknown crit", token: () => unsigned({ alg: "RS256", kid: "k1", crit: ["x"], x: 1 }, claims) },
    { name: "9 KB", token: () => issuer.sign({ filler: "f".repeat(9 * 1024) }) },
    { name: "8 MB", token: () => unsigned({ alg: "RS256" }, "A".repeat(8 * 1024 * 1024)) },
    {
      name: "claims 100,000 deep",
      token: () => unsigned({ alg: "RS256", kid: "k1" }, base64url.encode("[".repeat(100_000))),
    },
    {
      name: "claims as deep as the length allows",
      token: () => unsigned({ alg: "RS256", kid: "k1" }, base64url.encode("[".repeat(5_900))),
    },
    { name: "a header as deep as the length allows", token: () => `${base64url.encode("[".repeat(5_900))}.e30.c2ln` },
  ])("$name", async ({ token }) => {
    expect((await verify(await token())).kind).toBe("refused");
  });

  test.each<{ name: string; payload: string }>([
    { name: "a signed list", payload: "[]" },
    { name: "signed text", payload: "hello" },
    { name: "a signed null", payload: "null" },
    { name: "a signed list, 2,500 deep", payload: "[".repeat(2_500) + "]".repeat(2_500) },
    { name: "signed brackets that never close", payload: `{"sub":${"[".repeat(5_000)}` },
    { name: "signed invalid UTF-8", payload: "\xff" },
  ])("$name", async ({ payload }) => {
    const { publicKey, privateKey } = await generateKeyPair("RS256", { extractable: true });
    const jwk = (await crypto.subtle.exportKey("jwk", publicKey)) as JsonWebKey;
    const bytes = Uint8Array.from(payload, (character) => character.charCodeAt(0));
    const token = await new CompactSign(bytes).setProtectedHeader({ alg: "RS256", kid: "k1" }).sign(privateKey);
    const signing = await testIssuer(NOW_MS);
    signing.answers.keys = () => Response.json({ keys: [{ ...jwk, kid: "k1" }] });
    const from = { issuer: ISSUER, audience: AUDIENCE, keys: newKeyMemory() };
    expect((await verifyToken(token, from, () => "default", signing.fetcher, NOW_MS)).kind).toBe("refused");
  });
});

test.each(["RS512", "PS256"])("%s is refused, though the issuer's key could verify it", async (alg) => {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const { alg: _, ...jwk } = await exportJWK(publicKey);
  const signing = await testIssuer(NOW_MS);
  signing.answers.keys = () => Response.json({ keys: [{ ...jwk, kid: "k1" }] });
  const token = await new SignJWT(claims).setProtectedHeader({ alg, kid: "k1" }).sign(privateKey);
  const from = { issuer: ISSUER, audience: AUDIENCE, keys: newKeyMemory() };
  expect((await verifyToken(token, from, () => "default", signing.fetcher, NOW_MS)).kind).toBe("refused");
});

test("a token never makes the gateway ask anyone but the issuer", () => {
  expect(issuer.asked.filter((url) => !url.startsWith(ISSUER))).toEqual([]);
});

describe("while the issuer is down", () => {
  test("nobody can tell about a good token", async () => {
    const down = await testIssuer(NOW_MS);
    down.answers.keys = () => new Response("down", { status: 500 });
    const from = { issuer: ISSUER, audience: AUDIENCE, keys: newKeyMemory() };
    const verdict = await verifyToken(await down.sign(), from, () => "default", down.fetcher, NOW_MS);
    expect(verdict.kind).toBe("undecided");
  });

  test("what is no token is refused without asking", async () => {
    const down = await testIssuer(NOW_MS);
    const from = { issuer: ISSUER, audience: AUDIENCE, keys: newKeyMemory() };
    expect((await verifyToken("a.b", from, () => "default", down.fetcher, NOW_MS)).kind).toBe("refused");
    expect(down.asked).toEqual([]);
  });
});

test("a rotated key is found by its first token once the issuer may be asked again", async () => {
  const rotating = await testIssuer(NOW_MS);
  const next = await testIssuer(NOW_MS, ISSUER, "k2");
  const from = { issuer: ISSUER, audience: AUDIENCE, keys: newKeyMemory() };
  const kindAt = async (token: Promise<string>, nowMs: number) =>
    (await verifyToken(await token, from, () => "default", rotating.fetcher, nowMs)).kind;
  expect(await kindAt(rotating.sign(), NOW_MS)).toBe("verified");
  rotating.answers.keys = () => Response.json({ keys: [rotating.publicJwk, next.publicJwk] });
  expect(await kindAt(next.sign(), NOW_MS + 1_000)).toBe("refused");
  expect(await kindAt(next.sign(), NOW_MS + 30_000)).toBe("verified");
  rotating.answers.keys = () => Response.json({ keys: [next.publicJwk] });
  expect(await kindAt(rotating.sign(), NOW_MS + 31_000)).toBe("verified");
  // The withdrawn key is refused once the copy is ten minutes old; the tolerance lets its token live until then.
  const late = rotating.sign({ exp: NOW_S + 3_600 });
  expect(await kindAt(late, NOW_MS + 11 * 60_000)).toBe("refused");
});
