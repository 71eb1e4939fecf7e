import { base64url, CompactSign, exportSPKI, generateKeyPair, importJWK, SignJWT } from "jose";
import { afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type TokenVerdict, verifyToken } from "#src/auth/jwt.ts";
import { type TrustedIssuer, trustedIssuer } from "#src/catalog/issuer.ts";
import { AUDIENCE, ISSUER, signingKey, type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { tokenWorld } from "#test/support/token-world.ts";

const NOW_MS = 1_790_000_000_000;
const NOW_S = NOW_MS / 1000;

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await testIssuer(NOW_MS);
});

/** By an isolate that has seen nothing before. */
function verify(token: string, nowMs = NOW_MS): Promise<TokenVerdict> {
  return verifyToken(token, tokenWorld(nowMs, issuer));
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

  test("with its claims and the issuer that they were checked by", async () => {
    expect(await verify(await issuer.sign({ groups: ["ai-users", "else"] }))).toEqual({
      kind: "verified",
      claims: expect.objectContaining({ iss: ISSUER, sub: "basic-user", groups: ["ai-users", "else"] }),
      issuer: trustedIssuer(ISSUER, AUDIENCE),
      kid: "k1",
    });
  });

  test.each(["RS256", "ES256", "EdDSA"])("signed by %s", async (alg) => {
    const other = await testIssuer(NOW_MS, ISSUER, "k1", alg);
    expect((await verifyToken(await other.sign(), tokenWorld(NOW_MS, other))).kind).toBe("verified");
  });

  test.each(["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])("of the type %s", async (typ) => {
    expect((await verify(await issuer.sign({}, { typ }))).kind).toBe("verified");
  });
});

test("a token without a key id is refused", async () => {
  expect((await verify(await issuer.sign({}, { kid: undefined }))).kind).toBe("refused");
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
    const bytes = Uint8Array.from(payload, (character) => character.charCodeAt(0));
    const header = { alg: "RS256", kid: "k1" };
    expect(
      (await verify(await new CompactSign(bytes).setProtectedHeader(header).sign(issuer.key.privateKey))).kind,
    ).toBe("refused");
  });
});

test("a token never makes the gateway ask anyone but the issuer", () => {
  expect(issuer.asked.filter((url) => !url.startsWith(ISSUER))).toEqual([]);
});

describe("while the issuer is down", () => {
  test("nobody can tell about a good token", async () => {
    const down = await testIssuer(NOW_MS);
    down.answers.keys = () => new Response("down", { status: 500 });
    expect((await verifyToken(await down.sign(), tokenWorld(NOW_MS, down))).kind).toBe("undecided");
  });

  test.each<{ name: string; token: () => Promise<string> | string }>([
    { name: "what is no token", token: () => "a.b.c" },
    { name: "another issuer's", token: () => issuer.sign({ iss: "https://evil.example.test/" }) },
    { name: "another algorithm", token: () => hmac(utf8.encode("k")) },
    { name: "another type", token: () => issuer.sign({}, { typ: "logout+jwt" }) },
  ])("$name is refused without asking", async ({ token }) => {
    const world = tokenWorld(NOW_MS, { fetcher: () => Promise.reject(new Error("asked")) });
    expect((await verifyToken(await token(), world)).kind).toBe("refused");
    expect(world.kv.read).toEqual([]);
  });
});

test("a rotated key is found by its first token once the issuer may be asked again", async () => {
  const rotating = await testIssuer(NOW_MS);
  const next = await testIssuer(NOW_MS, ISSUER, "k2");
  const world = tokenWorld(NOW_MS, rotating);
  const kindAt = async (token: Promise<string>, nowMs: number) => {
    world.nowMs = nowMs;
    return (await verifyToken(await token, world)).kind;
  };
  expect(await kindAt(rotating.sign(), NOW_MS)).toBe("verified");
  rotating.answers.keys = () => Response.json({ keys: [rotating.publicJwk, next.publicJwk] });
  expect(await kindAt(next.sign(), NOW_MS + 1_000)).toBe("refused");
  expect(await kindAt(next.sign(), NOW_MS + 30_000)).toBe("verified");
  rotating.answers.keys = () => Response.json({ keys: [next.publicJwk] });
  expect(await kindAt(rotating.sign(), NOW_MS + 31_000)).toBe("verified");
  // The withdrawn key is refused once the copy is ten minutes old; its token would live longer.
  const late = rotating.sign({ exp: NOW_S + 3_600 });
  expect(await kindAt(late, NOW_MS + 11 * 60_000)).toBe("refused");
});

describe("several issuers at once", () => {
  const STRICT = "https://strict.example.test";

  function configured(changed: Partial<TrustedIssuer>): TrustedIssuer {
    return { ...trustedIssuer(STRICT, "strict"), ...changed };
  }

  /** Both issuers, each with its own key of the same name, in one world. */
  async function two(changed: Partial<TrustedIssuer> = {}, alg = "ES256") {
    const strict = await testIssuer(NOW_MS, STRICT, "k1", alg);
    const fetcher: typeof fetch = (input, init) =>
      (String(input).startsWith(STRICT) ? strict : issuer).fetcher(input, init);
    const world = tokenWorld(NOW_MS, { fetcher, issuers: [trustedIssuer(ISSUER, AUDIENCE), configured(changed)] });
    return { strict, verdict: async (token: Promise<string>) => (await verifyToken(await token, world)).kind };
  }

  test("each is judged by its own audience and keys", async () => {
    const { strict, verdict } = await two();
    expect(await verdict(issuer.sign())).toBe("verified");
    expect(await verdict(strict.sign({ aud: "strict" }))).toBe("verified");
    expect(await verdict(strict.sign({ aud: AUDIENCE }))).toBe("refused");
    expect(await verdict(issuer.sign({ aud: "strict" }))).toBe("refused");
    expect(await verdict(issuer.sign({ iss: STRICT, aud: "strict" }))).toBe("refused");
    expect(await verdict(strict.sign({ iss: ISSUER, aud: AUDIENCE }))).toBe("refused");
  });

  test("by its own algorithms", async () => {
    const { strict, verdict } = await two({ algorithms: ["ES256"] }, "EdDSA");
    expect(await verdict(strict.sign({ aud: "strict" }))).toBe("refused");
    const { strict: pss, verdict: byPss } = await two({ algorithms: ["PS256"] }, "PS256");
    expect(await byPss(pss.sign({ aud: "strict" }))).toBe("verified");
  });

  test("a key whose own algorithm is another is not used for this one", async () => {
    const { strict, verdict } = await two({ algorithms: ["RS256", "PS256"] }, "PS256");
    strict.answers.keys = () => Response.json({ keys: [{ ...strict.publicJwk, alg: "RS256" }] });
    expect(await verdict(strict.sign({ aud: "strict" }))).toBe("refused");
  });

  test.each<{ wanted: string; typ: string | undefined; kind: string }>([
    { wanted: "at+jwt", typ: "at+jwt", kind: "verified" },
    { wanted: "at+jwt", typ: "AT+JWT", kind: "verified" },
    { wanted: "at+jwt", typ: "JWT", kind: "refused" },
    { wanted: "at+jwt", typ: undefined, kind: "refused" },
    { wanted: "Bearer", typ: "Bearer", kind: "verified" },
    { wanted: "Bearer", typ: "at+jwt", kind: "refused" },
  ])("pinned to typ $wanted, one of $typ is $kind", async ({ wanted, typ, kind }) => {
    const { strict, verdict } = await two({ typ: wanted });
    expect(await verdict(strict.sign({ aud: "strict" }, { typ }))).toBe(kind);
  });

  test("by its own bound on age", async () => {
    const { strict, verdict } = await two({ maxAge: 60 });
    expect(await verdict(strict.sign({ aud: "strict", iat: NOW_S - 89 }))).toBe("verified");
    expect(await verdict(strict.sign({ aud: "strict", iat: NOW_S - 91 }))).toBe("refused");
  });
});

describe("what was verified once", () => {
  /** How often a signature was judged. */
  function judged() {
    const verify = vi.spyOn(crypto.subtle, "verify");
    return () => verify.mock.calls.length;
  }
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test("is not judged again within a minute, and is after it", async () => {
    const world = tokenWorld(NOW_MS, issuer);
    const token = await issuer.sign();
    const count = judged();
    for (const nowMs of [NOW_MS, NOW_MS + 1, NOW_MS + 59_999]) {
      world.nowMs = nowMs;
      expect((await verifyToken(token, world)).kind).toBe("verified");
    }
    expect(count()).toBe(1);
    world.nowMs = NOW_MS + 60_000;
    await verifyToken(token, world);
    expect(count()).toBe(2);
  });

  test("does not vouch for the same claims under another signature", async () => {
    const world = tokenWorld(NOW_MS, issuer);
    const token = await issuer.sign();
    expect((await verifyToken(token, world)).kind).toBe("verified");
    const forged = `${token.slice(0, token.lastIndexOf("."))}.${(await issuer.sign({ sub: "x" })).split(".")[2]}`;
    expect((await verifyToken(forged, world)).kind).toBe("refused");
    // Nor does the forgery push out what was verified.
    const count = judged();
    expect((await verifyToken(token, world)).kind).toBe("verified");
    expect(count()).toBe(0);
  });

  test("is refused after its end, at the latest by the clock's tolerance", async () => {
    const world = tokenWorld(NOW_MS, issuer);
    const token = await issuer.sign({ exp: NOW_S + 10 });
    expect((await verifyToken(token, world)).kind).toBe("verified");
    world.nowMs = NOW_MS + 39_000;
    expect((await verifyToken(token, world)).kind).toBe("verified");
    world.nowMs = NOW_MS + 41_000;
    expect((await verifyToken(token, world)).kind).toBe("refused");
  });

  test("of a key that the issuer withdrew is refused, although it is remembered", async () => {
    const own = await testIssuer(NOW_MS);
    const next = await signingKey("k2");
    const world = tokenWorld(NOW_MS, own);
    const late = await own.sign({ exp: NOW_S + 3_600 });
    expect((await verifyToken(late, world)).kind).toBe("verified");
    own.answers.keys = () => Response.json({ keys: [next.publicJwk] });
    // Old enough to be asked for again, behind this request: the token is remembered anew, and its key is gone.
    world.nowMs = NOW_MS + 560_000;
    expect((await verifyToken(late, world)).kind).toBe("verified");
    await Promise.all(world.deferred);
    world.nowMs += 1;
    expect((await verifyToken(late, world)).kind).toBe("refused");
  });

  test("does not outlive a purge, neither at once nor once the keys are back", async () => {
    const own = await testIssuer(NOW_MS);
    // The issuer found the key leaked and made another of the same name.
    const fresh = await signingKey("k1");
    const world = tokenWorld(NOW_MS, own);
    const [first, second] = [await own.sign({ sub: "a" }), await own.sign({ sub: "b" })];
    for (const token of [first, second]) expect((await verifyToken(token, world)).kind).toBe("verified");
    own.answers.keys = () => Response.json({ keys: [fresh.publicJwk] });
    world.keysEpoch = 1;
    for (const token of [first, second, first]) expect((await verifyToken(token, world)).kind).toBe("refused");
  });
});
