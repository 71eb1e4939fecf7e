import { base64url } from "jose";
import { expect, test } from "vitest";
import type { TokenText } from "#src/auth/token-text.ts";
import { VerifiedTokens } from "#src/auth/verified-tokens.ts";

const NOW_MS = 1_790_000_000_000;
const NOW_S = NOW_MS / 1000;
const DAY_S = 86_400;

function tokenOf(claims: Partial<TokenText["claims"]> = {}, signature = "sig"): TokenText {
  const all = { iss: "https://i.test", sub: "u", iat: NOW_S, exp: NOW_S + 600, ...claims };
  return { text: `h.${JSON.stringify(all)}.${signature}`, header: { alg: "RS256", kid: "k1" }, claims: all };
}

/** A memory that holds these tokens since `NOW_MS`. */
function holding(...tokens: TokenText[]): VerifiedTokens {
  const memory = new VerifiedTokens();
  for (const token of tokens) memory.add(token, DAY_S, 0, NOW_MS);
  return memory;
}

test("knows the token it was told of", () => {
  expect(holding(tokenOf()).has(tokenOf(), 0, NOW_MS)).toBe(true);
});

test.each<{ name: string; other: TokenText }>([
  { name: "the same claims under another signature", other: tokenOf({}, "gis") },
  { name: "the same names with more claims", other: tokenOf({ groups: ["ai-admins"] }) },
  { name: "another subject", other: tokenOf({ sub: "v" }) },
  { name: "another issuer", other: tokenOf({ iss: "https://j.test" }) },
  { name: "another jti", other: tokenOf({ jti: "2" }) },
  { name: "another end", other: tokenOf({ exp: NOW_S + 601 }) },
  { name: "another beginning", other: tokenOf({ iat: NOW_S + 1 }) },
])("does not know $name", ({ other }) => {
  const memory = holding(tokenOf());
  expect(memory.has(other, 0, NOW_MS)).toBe(false);
  expect(memory.has(tokenOf(), 0, NOW_MS)).toBe(true);
});

test("a later purge makes it forget, for good", () => {
  const memory = holding(tokenOf());
  expect(memory.has(tokenOf(), 1, NOW_MS)).toBe(false);
  expect(memory.has(tokenOf(), 0, NOW_MS)).toBe(false);
});

test.each<{ name: string; claims: Partial<TokenText["claims"]>; maxAgeS: number; forMs: number }>([
  { name: "a minute", claims: {}, maxAgeS: DAY_S, forMs: 60_000 },
  { name: "until its end", claims: { exp: NOW_S + 7 }, maxAgeS: DAY_S, forMs: 7_000 },
  { name: "until it is too old for its issuer", claims: { iat: NOW_S - 50 }, maxAgeS: 60, forMs: 10_000 },
])("it is remembered $name", ({ claims, maxAgeS, forMs }) => {
  const memory = new VerifiedTokens();
  memory.add(tokenOf(claims), maxAgeS, 0, NOW_MS);
  expect(memory.has(tokenOf(claims), 0, NOW_MS + forMs - 1)).toBe(true);
  expect(memory.has(tokenOf(claims), 0, NOW_MS + forMs)).toBe(false);
});

test("5,000 are remembered, those used last", () => {
  const numbered = (at: number) => tokenOf({ sub: String(at) });
  const memory = holding(...Array.from({ length: 5_000 }, (_, at) => numbered(at)));
  expect(memory.has(numbered(0), 0, NOW_MS)).toBe(true);
  memory.add(numbered(5_000), DAY_S, 0, NOW_MS);
  const known = [0, 1, 2, 5_000].filter((at) => memory.has(numbered(at), 0, NOW_MS));
  expect(known).toEqual([0, 2, 5_000]);
});

/** As on the wire: the claims in base64url. */
function wireOf(claims: Partial<TokenText["claims"]> = {}, signature = "c2ln"): TokenText {
  const token = tokenOf(claims);
  const part = base64url.encode(new TextEncoder().encode(JSON.stringify(token.claims)));
  return { ...token, text: `aGVhZGVy.${part}.${signature}` };
}

test.each([
  { name: "the very text", text: wireOf().text, found: true },
  { name: "another signature", text: wireOf({}, "c2lo").text, found: false },
  { name: "padding", text: `${wireOf().text}=`, found: false },
  { name: "other claims of the same name", text: wireOf({ groups: ["ai-admins"] }).text, found: false },
  { name: "no claims", text: "a.b.c", found: false },
  { name: "claims of null", text: `a.${base64url.encode("null")}.c`, found: false },
  { name: "one part", text: "a", found: false },
  { name: "9 KB", text: `a.${"A".repeat(9_000)}.c`, found: false },
])("recalls by $name: $found", ({ text, found }) => {
  expect(holding(wireOf()).recall(text) !== null).toBe(found);
});
