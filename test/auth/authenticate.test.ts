import { beforeEach, describe, expect, test, vi } from "vitest";
import { issueApiKey } from "#src/auth/api-key.ts";
import { authenticate, type Door } from "#src/auth/authenticate.ts";
import { newKeyMemory } from "#src/auth/jwks.ts";
import type { Principal } from "#src/auth/principal.ts";
import { Problem } from "#src/problem.ts";
import { AUDIENCE, ISSUER, type TestIssuer, testIssuer } from "#test/support/issuer.ts";

const NOW_MS = 1_790_000_000_000;
const SECRET = "s".repeat(43);

/** What the door says: the principal, or the problem's code and challenge. */
type Said =
  | Principal
  | { readonly code: string; readonly challenge: string | undefined; readonly retryAfterS: number | undefined };

let issuer: TestIssuer;
let records: Map<string, unknown>;
let keyLookUps: number;
let door: Door;

beforeEach(async () => {
  vi.spyOn(console, "error").mockReturnValue();
  issuer = await testIssuer(NOW_MS);
  records = new Map();
  keyLookUps = 0;
  const get = (name: string) => {
    keyLookUps++;
    return Promise.resolve(records.get(name) ?? null);
  };
  door = {
    issuer: { issuer: ISSUER, audience: AUDIENCE, keys: newKeyMemory() },
    secret: SECRET,
    kv: { get: get as Door["kv"]["get"] },
    tierOf: (claim) => (claim === "basic" || claim === "premium" ? claim : "default"),
    fetcher: issuer.fetcher,
    nowMs: NOW_MS,
  };
});

async function ask(authorization: string | null | readonly string[], through = door): Promise<Said> {
  const headers = new Headers();
  for (const value of [authorization ?? []].flat()) headers.append("authorization", value);
  try {
    return await authenticate(new Request("http://x/", { headers }), through);
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    const { headers: sent, retryAfterS } = thrown.facts;
    return { code: thrown.code, challenge: sent?.["www-authenticate"], retryAfterS };
  }
}

const refused = (challenge: string): Said => ({ code: "invalid_api_key", challenge, retryAfterS: undefined });
const NO_CREDENTIAL = refused('Bearer realm="causeway"');
const WRONG_REQUEST = refused('Bearer realm="causeway", error="invalid_request"');
const WRONG_TOKEN = refused('Bearer realm="causeway", error="invalid_token"');
const NOBODY_CAN_TELL = { code: "unavailable", challenge: undefined, retryAfterS: 5 };

describe("the header", () => {
  test.each<{ name: string; header: (token: string) => string | null | string[]; said: Said | "known" }>([
    { name: "Bearer", header: (token) => `Bearer ${token}`, said: "known" },
    { name: "bearer in lower case", header: (token) => `bearer ${token}`, said: "known" },
    { name: "BEARER in capitals", header: (token) => `BEARER ${token}`, said: "known" },
    { name: "none", header: () => null, said: NO_CREDENTIAL },
    { name: "empty", header: () => "", said: WRONG_REQUEST },
    { name: "the scheme alone", header: () => "Bearer", said: WRONG_REQUEST },
    { name: "the token alone", header: (token) => token, said: WRONG_REQUEST },
    { name: "Basic", header: (token) => `Basic ${token}`, said: WRONG_REQUEST },
    { name: "a scheme that ends in Bearer", header: (token) => `XBearer ${token}`, said: WRONG_REQUEST },
    { name: "two spaces", header: (token) => `Bearer  ${token}`, said: WRONG_REQUEST },
    { name: "a tab", header: (token) => `Bearer\t${token}`, said: WRONG_REQUEST },
    { name: "two tokens", header: (token) => `Bearer ${token} ${token}`, said: WRONG_REQUEST },
    { name: "a comma at the end", header: (token) => `Bearer ${token},`, said: WRONG_REQUEST },
    { name: "two, joined", header: (token) => `Bearer ${token}, Bearer ${token}`, said: WRONG_REQUEST },
    { name: "two headers", header: (token) => [`Bearer ${token}`, `Bearer ${token}`], said: WRONG_REQUEST },
    { name: "Basic and Bearer", header: (token) => ["Basic eDp5", `Bearer ${token}`], said: WRONG_REQUEST },
    { name: "no token at all", header: () => "Bearer hello", said: WRONG_TOKEN },
    { name: "a token of someone else", header: (token) => `Bearer ${token.slice(0, -9)}AAAAAAAAA`, said: WRONG_TOKEN },
  ])("$name", async ({ header, said }) => {
    const answer = await ask(header(await issuer.sign()));
    expect(said === "known" ? "userId" in answer && answer.userId : answer).toEqual(
      said === "known" ? "basic-user" : said,
    );
  });
});

test("a cookie or the query is no credential", async () => {
  const token = await issuer.sign();
  const request = new Request(`http://x/?access_token=${token}&api_key=${token}`, {
    headers: { cookie: `token=${token}` },
  });
  await expect(authenticate(request, door)).rejects.toMatchObject({ code: "invalid_api_key" });
});

describe("an API key", () => {
  const grant = { owner: "n8n", tier: "premium", groups: ["ai-users"], label: "flows", expiresAtMs: NOW_MS + 1 };

  async function issued(changed: Record<string, unknown> = {}) {
    const made = await issueApiKey(SECRET, grant, (bytes) => crypto.getRandomValues(new Uint8Array(bytes)));
    records.set(made.kvKey, { ...made.record, ...changed });
    return made;
  }

  test("is its owner", async () => {
    const { key, id } = await issued();
    const principal = { accountId: "key|n8n", userId: "n8n", tier: "premium", roles: ["ai-users"], keyId: id };
    expect(await ask(`Bearer ${key}`)).toEqual(principal);
    expect(issuer.asked).toEqual([]);
  });

  test("of a tier that the catalog does not have gets the default one", async () => {
    const { key } = await issued({ tier: "gold" });
    expect(await ask(`Bearer ${key}`)).toMatchObject({ tier: "default" });
  });

  test("with a typo is refused without a look-up", async () => {
    const { key } = await issued();
    expect(await ask(`Bearer ${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`)).toEqual(WRONG_TOKEN);
    expect(keyLookUps).toBe(0);
  });

  test.each<{ name: string; changed: Record<string, unknown> }>([
    { name: "expired", changed: { expiresAtMs: NOW_MS } },
    { name: "of a later version", changed: { v: 2 } },
    { name: "without an owner", changed: { owner: undefined } },
    { name: "with groups of another type", changed: { groups: "ai-admins" } },
  ])("whose record is $name is refused", async ({ changed }) => {
    const { key } = await issued(changed);
    expect(await ask(`Bearer ${key}`)).toEqual(WRONG_TOKEN);
  });

  test("that nobody issued, or that another secret made, is refused", async () => {
    const { key, kvKey } = await issued();
    expect(await ask(`Bearer ${key}`, { ...door, secret: `${SECRET}2` })).toEqual(WRONG_TOKEN);
    records.delete(kvKey);
    expect(await ask(`Bearer ${key}`)).toEqual(WRONG_TOKEN);
  });

  test("cannot be told from a wrong one while KV is down", async () => {
    const { key } = await issued();
    const get = () => Promise.reject(new Error("KV is down"));
    expect(await ask(`Bearer ${key}`, { ...door, kv: { get: get as Door["kv"]["get"] } })).toEqual(NOBODY_CAN_TELL);
  });
});

describe("an issuer that misbehaves", () => {
  test.each<{ name: string; keys: () => Response | Promise<Response> }>([
    { name: "500", keys: () => new Response("down", { status: 500 }) },
    { name: "HTML", keys: () => new Response("<html>", { headers: { "content-type": "text/html" } }) },
    { name: "a redirect", keys: () => Response.redirect("https://evil.example.test/", 302) },
    { name: "10 MB", keys: () => new Response(new Uint8Array(10 * 1024 * 1024)) },
    { name: "a broken connection", keys: () => Promise.reject(new TypeError("network")) },
  ])("$name: unavailable, and known callers go on", async ({ keys }) => {
    const token = `Bearer ${await issuer.sign()}`;
    expect(await ask(token)).toMatchObject({ userId: "basic-user" });
    issuer.answers.keys = keys;
    const cold = { ...door, issuer: { ...door.issuer, keys: newKeyMemory() } };
    expect(await ask(token, cold)).toEqual(NOBODY_CAN_TELL);
    const late = `Bearer ${await issuer.sign({ exp: NOW_MS / 1000 + 7_200 })}`;
    expect(await ask(late, { ...door, nowMs: NOW_MS + 3_600_000 })).toMatchObject({ userId: "basic-user" });
  });
});

test("no refusal carries the credential", async () => {
  const token = (await issuer.sign()).slice(0, -9);
  const problem = await authenticate(
    new Request("http://x/", { headers: { authorization: `Bearer ${token}` } }),
    door,
  ).catch((thrown: unknown) => thrown);
  expect(problem).toBeInstanceOf(Problem);
  if (!(problem instanceof Problem)) return;
  expect(JSON.stringify([problem.message, problem.facts.headers, String(problem.facts.cause)])).not.toContain(
    token.slice(10, 60),
  );
});
