import { exportJWK, generateKeyPair, type JWK } from "jose";
import { beforeAll, describe, expect, test } from "vitest";
import { usableKeys } from "#src/auth/key-set.ts";
import { signingKey } from "#test/support/issuer.ts";

/** Base64url of a number of so many bits. */
function ofBits(bits: number): string {
  const bytes = new Uint8Array(Math.ceil(bits / 8)).fill(0xff);
  bytes[0] = 0xff >> (bytes.length * 8 - bits);
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}

let [rsa, ec, okp]: JWK[] = [];
beforeAll(async () => {
  const algorithms = ["RS256", "ES256", "EdDSA"];
  [rsa, ec, okp] = await Promise.all(algorithms.map(async (alg) => (await signingKey(alg, alg)).publicJwk));
});

/** Ids of the keys that may be used, of a set that also holds a good one. */
function usable(...keys: unknown[]): (string | undefined)[] {
  return usableKeys({ keys: [...keys, { ...ec, kid: "good" }] }).map(({ kid }) => kid);
}

describe("may verify", () => {
  test.each<{ name: string; key: () => object }>([
    { name: "RSA", key: () => ({ ...rsa }) },
    { name: "an elliptic curve", key: () => ({ ...ec }) },
    { name: "Edwards", key: () => ({ ...okp }) },
    { name: "no `use`", key: () => ({ ...rsa, use: undefined }) },
    { name: "key_ops of verification", key: () => ({ ...rsa, key_ops: ["verify"] }) },
    { name: "no `alg`", key: () => ({ ...rsa, alg: undefined }) },
    { name: "a certificate beside it", key: () => ({ ...rsa, x5c: ["MIIB"], x5t: "x" }) },
    { name: "a modulus of 2,048 bits", key: () => ({ ...rsa, n: ofBits(2_048) }) },
  ])("$name", ({ key }) => {
    expect(usable({ ...key(), kid: "k" })).toEqual(["k", "good"]);
  });
});

describe("is left out, and the good key beside it is not", () => {
  test.each<{ name: string; key: () => unknown }>([
    { name: "a symmetric key", key: () => ({ kty: "oct", k: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", alg: "HS256" }) },
    { name: "a symmetric key in another type's clothes", key: () => ({ ...rsa, k: "c2VjcmV0" }) },
    ...["d", "p", "q", "dp", "dq", "qi", "oth"].map((member) => ({
      name: `a private part: ${member}`,
      key: () => ({ ...rsa, [member]: "AQAB" }),
    })),
    { name: "a private elliptic key", key: () => ({ ...ec, d: "AQAB" }) },
    { name: "a modulus of 2,047 bits", key: () => ({ ...rsa, n: ofBits(2_047) }) },
    { name: "a modulus of 1,024 bits", key: () => ({ ...rsa, n: ofBits(1_024) }) },
    { name: "a short modulus made long by zeros", key: () => ({ ...rsa, n: `${"A".repeat(400)}${ofBits(512)}` }) },
    { name: "an exponent of 1", key: () => ({ ...rsa, e: "AQ" }) },
    { name: "an exponent of 3", key: () => ({ ...rsa, e: "Aw" }) },
    { name: "an exponent of 65535", key: () => ({ ...rsa, e: "__8" }) },
    { name: "no exponent", key: () => ({ ...rsa, e: undefined }) },
    { name: "no modulus", key: () => ({ ...rsa, n: undefined }) },
    { name: "a modulus that is no base64url", key: () => ({ ...rsa, n: "+/=" }) },
    { name: "a modulus of a length that base64url never has", key: () => ({ ...rsa, n: "A".repeat(401) }) },
    { name: "an exponent of such a length", key: () => ({ ...rsa, e: "AQABA" }) },
    { name: "a modulus as number", key: () => ({ ...rsa, n: 7 }) },
    { name: "use enc", key: () => ({ ...rsa, use: "enc" }) },
    { name: "use of something else", key: () => ({ ...rsa, use: "SIG" }) },
    { name: "key_ops without verification", key: () => ({ ...rsa, key_ops: ["encrypt", "wrapKey"] }) },
    { name: "no curve", key: () => ({ ...ec, crv: undefined }) },
    { name: "a curve for agreement", key: () => ({ ...okp, crv: "X25519" }) },
    { name: "another curve", key: () => ({ ...ec, crv: "secp256k1" }) },
    { name: "another type", key: () => ({ ...rsa, kty: "AKP" }) },
    { name: "null", key: () => null },
    { name: "text", key: () => "key" },
  ])("$name", ({ key }) => {
    const bad = key();
    expect(usable(typeof bad === "object" && bad !== null ? { ...bad, kid: "k" } : bad)).toEqual(["good"]);
  });

  test.each([undefined, "", "a b", "../x", "k".repeat(129), 7, null, ["k"]])("a key named %j", (kid) => {
    expect(usable({ ...rsa, kid })).toEqual(["good"]);
  });

  test("both of two keys of one name", () => {
    expect(usable({ ...rsa, kid: "k" }, { ...okp, kid: "k" })).toEqual(["good"]);
    expect(usable({ ...rsa, kid: "k" }, { ...rsa, kid: "k" })).toEqual(["good"]);
  });

  test("but not a good one whose namesake is of no use anyway", () => {
    expect(usable({ ...rsa, kid: "k" }, { ...okp, kid: "k", use: "enc" })).toEqual(["k", "good"]);
  });
});

test("a real weak pair is left out too", async () => {
  const { publicKey } = await generateKeyPair("RS256", { modulusLength: 2048, extractable: true });
  expect(usable({ ...(await exportJWK(publicKey)), kid: "k" })).toEqual(["k", "good"]);
  const weak = (await crypto.subtle.generateKey(
    { name: "RSASSA-PKCS1-v1_5", modulusLength: 1024, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" },
    true,
    ["sign", "verify"],
  )) as CryptoKeyPair;
  expect(usable({ ...(await exportJWK(weak.publicKey)), kid: "k" })).toEqual(["good"]);
});

test.each<{ name: string; document: unknown }>([
  { name: "a list", document: [] },
  { name: "an empty object", document: {} },
  { name: "null", document: null },
  { name: "text", document: "keys" },
  { name: "keys that are no list", document: { keys: { 0: {} } } },
  { name: "more keys than anyone has", document: { keys: Array(33).fill({}) } },
])("$name is no key set", ({ document }) => {
  expect(() => usableKeys(document)).toThrow(expect.objectContaining({ name: "ZodError" }));
});
