import { beforeEach, describe, expect, test, vi } from "vitest";
import { issueApiKey } from "#src/auth/api-key.ts";
import { authenticate, type Door } from "#src/auth/authenticate.ts";
import type { Principal } from "#src/auth/principal.ts";
import { trustedIssuer } from "#src/catalog/issuer.ts";
import { Problem } from "#src/problem.ts";
import { AUDIENCE, ISSUER, type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { tierWith } from "#test/support/tier.ts";
import { type TestWorld, tokenWorld } from "#test/support/token-world.ts";

const NOW_MS = 1_790_000_000_000;
const SECRET = "s".repeat(43);

/** What the door says: the principal, or the problem's code and challenge. */
type Said =
  | Principal
  | { readonly code: string; readonly challenge: string | undefined; readonly retryAfterS: number | undefined };

const CATALOG: Door["catalog"] = {
  roles: {},
  tiers: { default: tierWith(), basic: tierWith(), premium: tierWith() },
};

let issuer: TestIssuer;
let world: TestWorld;
let door: Door;

beforeEach(async () => {
  vi.spyOn(console, "error").mockReturnValue();
  issuer = await testIssuer(NOW_MS);
  world = tokenWorld(NOW_MS, issuer);
  door = doorInto(world);
});

function doorInto(tokens: TestWorld): Door {
  return { tokens, catalog: CATALOG, secret: SECRET, keyRecords: new Map(), kv: tokens.kv };
}

async function ask(authorization: string | null | readonly string[], through = door): Promise<Said> {
  const headers = new Headers();
  for (const value of [authorization ?? []].flat()) headers.append("authorization", value);
  try {
    return (await authenticate(new Request("http://x/", { headers }), through)).principal;
  } catch (thrown) {
    if (!(thrown instanceof Problem)) throw thrown;
    const { headers: sent, retryAfterS } = thrown.facts;
    return { code: thrown.code, challenge: sent?.["www-authenticate"], retryAfterS };
  }
}

const refused = (challenge: string): Said => ({ code: "invalid_api_key", challenge, retryAfterS: undefined });
const NO_CREDENTIAL = refused('Bearer realm="causeway"');
const WRONG_TOKEN = refused('Bearer realm="causeway", error="invalid_token"');
const NOBODY_CAN_TELL = { code: "unavailable", challenge: undefined, retryAfterS: 5 };

describe("the header", () => {
  test.each<{ name: string; header: (token: string) => string | null | string[]; said: Said | "known" }>([
    { name: "Bearer", header: (token) => `Bearer ${token}`, said: "known" },
    { name: "bearer in lower case", header: (token) => `bearer ${token}`, said: "known" },
    { name: "BEARER in capitals", header: (token) => `BEARER ${token}`, said: "known" },
    { name: "none", header: () => null, said: NO_CREDENTIAL },
    { name: "empty", header: () => "", said: WRONG_TOKEN },
    { name: "the scheme alone", header: () => "Bearer", said: WRONG_TOKEN },
    { name: "the token alone", header: (token) => token, said: WRONG_TOKEN },
    { name: "Basic", header: (token) => `Basic ${token}`, said: WRONG_TOKEN },
    { name: "a scheme that ends in Bearer", header: (token) => `XBearer ${token}`, said: WRONG_TOKEN },
    { name: "two spaces", header: (token) => `Bearer  ${token}`, said: WRONG_TOKEN },
    { name: "a tab", header: (token) => `Bearer\t${token}`, said: WRONG_TOKEN },
    { name: "two tokens", header: (token) => `Bearer ${token} ${token}`, said: WRONG_TOKEN },
    { name: "a comma at the end", header: (token) => `Bearer ${token},`, said: WRONG_TOKEN },
    { name: "two, joined", header: (token) => `Bearer ${token}, Bearer ${token}`, said: WRONG_TOKEN },
    { name: "two headers", header: (token) => [`Bearer ${token}`, `Bearer ${token}`], said: WRONG_TOKEN },
    { name: "Basic and Bearer", header: (token) => ["Basic eDp5", `Bearer ${token}`], said: WRONG_TOKEN },
    { name: "no token at all", header: () => "Bearer hello", said: WRONG_TOKEN },
    { name: "a token of someone else", header: (token) => `Bearer ${token.slice(0, -9)}AAAAAAAAA`, said: WRONG_TOKEN },
  ])("$name", async ({ header, said }) => {
    const answer = await ask(header(await issuer.sign()));
    expect(said === "known" ? "userId" in answer && answer.userId : answer).toEqual(
      said === "known" ? "basic-user" : said,
    );
  });
});

describe("a header that holds the credential alone", () => {
  const KEY = "x-api-key";
  type Sent = readonly (readonly [name: string, value: string])[];
  async function said(sent: Sent, keyHeader?: typeof KEY): Promise<unknown> {
    const headers = new Headers();
    for (const [name, value] of sent) headers.append(name, value);
    return authenticate(new Request("http://x/", { headers }), door, keyHeader).then(
      ({ principal }) => principal.userId,
      ({ code, facts }: Problem) => ({
        code,
        challenge: facts.headers?.["www-authenticate"],
        retryAfterS: facts.retryAfterS,
      }),
    );
  }

  test.each<{ name: string; sent: (token: string) => Sent; of: Said | "known" }>([
    { name: "a token", sent: (token) => [[KEY, token]], of: "known" },
    { name: "a token in capitals' header", sent: (token) => [["X-Api-Key", token]], of: "known" },
    { name: "a bearer token all the same", sent: (token) => [["authorization", `Bearer ${token}`]], of: "known" },
    { name: "none", sent: () => [], of: NO_CREDENTIAL },
    { name: "an empty one", sent: () => [[KEY, ""]], of: WRONG_TOKEN },
    { name: "one with its scheme", sent: (token) => [[KEY, `Bearer ${token}`]], of: WRONG_TOKEN },
    { name: "a comma at the end", sent: (token) => [[KEY, `${token},`]], of: WRONG_TOKEN },
    { name: "two, joined", sent: (token) => [[KEY, `${token}, ${token}`]], of: WRONG_TOKEN },
    {
      name: "two headers",
      sent: (token) => [
        [KEY, token],
        [KEY, token],
      ],
      of: WRONG_TOKEN,
    },
    { name: "one that is no token", sent: () => [[KEY, "hello"]], of: WRONG_TOKEN },
    { name: "one of Anthropic's keys", sent: () => [[KEY, "sk-ant-api03-x"]], of: WRONG_TOKEN },
    {
      name: "the same in both headers",
      sent: (token) => [
        [KEY, token],
        ["authorization", `Bearer ${token}`],
      ],
      of: WRONG_TOKEN,
    },
    {
      name: "a good one beside a wrong one",
      sent: (token) => [
        [KEY, token],
        ["authorization", "Bearer hello"],
      ],
      of: WRONG_TOKEN,
    },
    {
      name: "a good one beside another scheme",
      sent: (token) => [
        [KEY, token],
        ["authorization", "Basic eDp5"],
      ],
      of: WRONG_TOKEN,
    },
    {
      name: "a wrong one beside a good one",
      sent: (token) => [
        [KEY, "hello"],
        ["authorization", `Bearer ${token}`],
      ],
      of: WRONG_TOKEN,
    },
    {
      name: "an empty one beside a good one",
      sent: (token) => [
        [KEY, ""],
        ["authorization", `Bearer ${token}`],
      ],
      of: WRONG_TOKEN,
    },
  ])("$name", async ({ sent, of }) => {
    expect(await said(sent(await issuer.sign()), KEY)).toEqual(of === "known" ? "basic-user" : of);
  });

  test("is none where the route does not take it there", async () => {
    const token = await issuer.sign();
    expect(await said([[KEY, token]])).toEqual(NO_CREDENTIAL);
    expect(
      await said([
        [KEY, "hello"],
        ["authorization", `Bearer ${token}`],
      ]),
    ).toBe("basic-user");
  });

  test("may be an API key", async () => {
    const grant = { owner: "n8n", tier: "basic", scopes: [], label: "", expiresAtMs: NOW_MS + 1_000 };
    const made = await issueApiKey(SECRET, grant, (bytes) => crypto.getRandomValues(new Uint8Array(bytes)));
    world.kv.stored.set(made.kvKey, JSON.stringify(made.record));
    expect(await said([[KEY, made.key]], KEY)).toBe("n8n");
    expect(await said([[KEY, `${made.key.slice(0, -1)}!`]], KEY)).toEqual(WRONG_TOKEN);
  });
});

test("a cookie or the query is no credential", async () => {
  const token = await issuer.sign();
  const request = new Request(`http://x/?access_token=${token}&api_key=${token}`, {
    headers: { cookie: `token=${token}` },
  });
  await expect(authenticate(request, door)).rejects.toMatchObject({ code: "invalid_api_key" });
});

describe("a token", () => {
  test("is its subject: issuer and subject name the account, the subject the user", async () => {
    expect(await ask(`Bearer ${await issuer.sign({ groups: ["ai-users", "else"] })}`)).toEqual({
      accountId: `${ISSUER}|basic-user`,
      userId: "basic-user",
      tenant: null,
      tier: "basic",
      roles: ["ai-users"],
      scopes: ["inference", "models", "embeddings"],
      keyId: null,
    });
  });

  test.each<{ name: string; changed: Record<string, unknown>; principal: Record<string, unknown> }>([
    { name: "no groups, no roles", changed: { groups: undefined }, principal: { roles: [], scopes: [] } },
    { name: "groups of another type, no roles", changed: { groups: "ai-admins" }, principal: { roles: [] } },
    { name: "no tier, the default one", changed: { tier: undefined }, principal: { tier: "default" } },
    { name: "a tier of another type, the default one", changed: { tier: ["basic"] }, principal: { tier: "default" } },
    { name: "a tier that every object has", changed: { tier: "constructor" }, principal: { tier: "default" } },
    { name: "a tenant", changed: { tenant: "acme" }, principal: { tenant: { id: `${ISSUER}|acme`, name: "acme" } } },
    { name: "an empty tenant is none", changed: { tenant: "" }, principal: { tenant: null } },
    { name: "a tenant of another type is none", changed: { tenant: ["acme"] }, principal: { tenant: null } },
    { name: "a tenant of null is none", changed: { tenant: null }, principal: { tenant: null } },
    {
      name: "a tenant of the longest name",
      changed: { tenant: "a".repeat(256) },
      principal: { tenant: { id: `${ISSUER}|${"a".repeat(256)}`, name: "a".repeat(256) } },
    },
    { name: "a tenant of a longer name is none", changed: { tenant: "a".repeat(257) }, principal: { tenant: null } },
  ])("$name", async ({ changed, principal }) => {
    expect(await ask(`Bearer ${await issuer.sign(changed)}`)).toMatchObject(principal);
  });

  describe("with the catalog's mapping", () => {
    const mapped = {
      groups: "realm_access.roles",
      tier: "https://causeway.example/tier",
      tenant: "org.name",
    };

    function through(claims: typeof mapped, roles: Door["catalog"]["roles"] = {}): Door {
      const issuers = [{ ...trustedIssuer(ISSUER, AUDIENCE), claims }];
      return { ...doorInto(tokenWorld(NOW_MS, { ...issuer, issuers })), catalog: { ...CATALOG, roles } };
    }

    test.each<{ name: string; changed: Record<string, unknown>; principal: Record<string, unknown> }>([
      {
        name: "groups by path",
        changed: { realm_access: { roles: ["ai-admins"] } },
        principal: { roles: ["ai-admins"] },
      },
      {
        name: "a claim whose name looks like the path comes first",
        changed: { "realm_access.roles": ["ai-users"], realm_access: { roles: ["ai-admins"] } },
        principal: { roles: ["ai-users"] },
      },
      {
        name: "a name that looks like a path",
        changed: { "https://causeway.example/tier": "premium", tier: "basic" },
        principal: { tier: "premium" },
      },
      {
        name: "nothing at the path",
        changed: { realm_access: "roles", groups: ["ai-admins"] },
        principal: { roles: [], tier: "default" },
      },
      { name: "null on the way", changed: { realm_access: null }, principal: { roles: [] } },
      {
        name: "a tenant by path, and not by the usual name",
        changed: { org: { name: "acme" }, tenant: "other" },
        principal: { tenant: { id: `${ISSUER}|acme`, name: "acme" } },
      },
      { name: "no tenant at the path", changed: { tenant: "other" }, principal: { tenant: null } },
    ])("$name", async ({ changed, principal }) => {
      expect(await ask(`Bearer ${await issuer.sign(changed)}`, through(mapped))).toMatchObject(principal);
    });

    test("what every object inherits is no claim", async () => {
      const inherited = through({ groups: "constructor.name", tier: "toString", tenant: "constructor.name" });
      expect(await ask(`Bearer ${await issuer.sign()}`, inherited)).toMatchObject({
        roles: [],
        tier: "default",
        tenant: null,
      });
    });

    test("groups of the catalog have the role, and the role's own name then has not", async () => {
      const roles = { "ai-admins": ["ops", "sre"] };
      const plain = through({ groups: "groups", tier: "tier", tenant: "tenant" }, roles);
      const rolesFor = async (groups: string[]) => {
        const said = await ask(`Bearer ${await issuer.sign({ groups })}`, plain);
        return "roles" in said ? said.roles : said;
      };
      expect(await rolesFor(["sre"])).toEqual(["ai-admins"]);
      expect(await rolesFor(["ai-admins"])).toEqual([]);
      expect(await rolesFor(["ai-users", "ops"])).toEqual(["ai-users", "ai-admins"]);
    });
  });

  test("tenants of one name at two issuers are two", async () => {
    const other = await testIssuer(NOW_MS, "https://other.example.test/");
    const issuers = [trustedIssuer(ISSUER, AUDIENCE), trustedIssuer("https://other.example.test/", AUDIENCE)];
    const fetcher: typeof fetch = (input, init) =>
      (String(input).startsWith(ISSUER) ? issuer : other).fetcher(input, init);
    const both = doorInto(tokenWorld(NOW_MS, { fetcher, issuers }));
    const tenants = await Promise.all(
      [issuer, other].map(async (from) => {
        const said = await ask(`Bearer ${await from.sign({ tenant: "acme" })}`, both);
        return "tenant" in said ? said.tenant : said;
      }),
    );
    expect(tenants).toEqual([
      { id: `${ISSUER}|acme`, name: "acme" },
      { id: "https://other.example.test/|acme", name: "acme" },
    ]);
  });
});

describe("an API key", () => {
  const grant = {
    owner: "n8n",
    tier: "premium",
    scopes: ["inference" as const],
    label: "flows",
    expiresAtMs: NOW_MS + 86_400_000,
  };

  async function issued(changed: Record<string, unknown> = {}) {
    const made = await issueApiKey(SECRET, grant, (bytes) => crypto.getRandomValues(new Uint8Array(bytes)));
    world.kv.stored.set(made.kvKey, JSON.stringify({ ...made.record, ...changed }));
    return made;
  }

  test("is its owner, and the issuer is not asked", async () => {
    const { key, id } = await issued();
    expect(await ask(`Bearer ${key}`)).toEqual({
      accountId: "key|n8n",
      userId: "n8n",
      tenant: null,
      tier: "premium",
      roles: ["ai-users"],
      scopes: ["inference"],
      keyId: id,
    });
    expect(issuer.asked).toEqual([]);
  });

  test("of a tier that the catalog does not have gets the default one", async () => {
    const { key } = await issued({ tier: "gold" });
    expect(await ask(`Bearer ${key}`)).toMatchObject({ tier: "default" });
  });

  test("with a typo is refused without a look-up", async () => {
    const { key } = await issued();
    expect(await ask(`Bearer ${key.slice(0, -1)}${key.endsWith("A") ? "B" : "A"}`)).toEqual(WRONG_TOKEN);
    expect(world.kv.read).toEqual([]);
  });

  test.each<{ name: string; changed: Record<string, unknown> }>([
    { name: "expired", changed: { expiresAtMs: NOW_MS } },
    { name: "of a later version", changed: { v: 2 } },
    { name: "without an owner", changed: { owner: undefined } },
    { name: "with scopes of another type", changed: { scopes: "admin" } },
    { name: "with a scope that nobody knows", changed: { scopes: ["inference", "root"] } },
  ])("whose record is $name is refused", async ({ changed }) => {
    const { key } = await issued(changed);
    expect(await ask(`Bearer ${key}`)).toEqual(WRONG_TOKEN);
  });

  test("that nobody issued, or that another secret made, is refused", async () => {
    const { key, kvKey } = await issued();
    expect(await ask(`Bearer ${key}`, { ...door, secret: `${SECRET}2` })).toEqual(WRONG_TOKEN);
    world.kv.stored.delete(kvKey);
    expect(await ask(`Bearer ${key}`)).toEqual(WRONG_TOKEN);
  });

  test("is looked up once in half a minute", async () => {
    const { key, kvKey } = await issued();
    for (const afterMs of [0, 1, 29_999]) {
      world.nowMs = NOW_MS + afterMs;
      await ask(`Bearer ${key}`);
    }
    expect(world.kv.read).toEqual([kvKey]);
    world.kv.stored.delete(kvKey);
    world.nowMs = NOW_MS + 30_000;
    expect(await ask(`Bearer ${key}`)).toEqual(WRONG_TOKEN);
  });

  test("that is remembered ends with its own expiry", async () => {
    const { key } = await issued({ expiresAtMs: NOW_MS + 10 });
    expect(await ask(`Bearer ${key}`)).toMatchObject({ userId: "n8n" });
    world.nowMs = NOW_MS + 10;
    expect(await ask(`Bearer ${key}`)).toEqual(WRONG_TOKEN);
  });

  describe("while KV is down", () => {
    test("goes on for a day where it is known", async () => {
      const { key } = await issued({ expiresAtMs: NOW_MS + 10 * 86_400_000 });
      await ask(`Bearer ${key}`);
      world.kv.mode = "down";
      world.nowMs = NOW_MS + 86_399_999;
      expect(await ask(`Bearer ${key}`)).toMatchObject({ userId: "n8n" });
      world.nowMs = NOW_MS + 86_400_000;
      expect(await ask(`Bearer ${key}`)).toEqual(NOBODY_CAN_TELL);
    });

    test("cannot be told from a wrong one where it is not", async () => {
      const { key } = await issued();
      world.kv.mode = "down";
      expect(await ask(`Bearer ${key}`)).toEqual(NOBODY_CAN_TELL);
    });
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
