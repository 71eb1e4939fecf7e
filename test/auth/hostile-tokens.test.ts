import { env, exports } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { authenticate, type Door } from "#src/auth/authenticate.ts";
import { trustedIssuer } from "#src/catalog/issuer.ts";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import { Problem } from "#src/problem.ts";
import { CATALOG } from "#test/support/gateway.ts";
import {
  goodCredentials,
  type HostileCredential,
  hostileCredentials,
  type Target,
} from "#test/support/hostile-tokens.ts";
import { AUDIENCE, type SigningKey, signingKey, type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { tokenWorld } from "#test/support/token-world.ts";

const ALGORITHMS = ["RS256", "ES256", "EdDSA"] as const;
const GROUPS =
  "alg signature structure kid,key pointers,header time aud iss sub typ trust size encoding transport".split(
    /,| (?!pointers)/,
  );
const TENANT = { issuer: "https://tenant.example.test/", audience: "tenant" };
/** The issue's bound for one refusal. */
const MAX_REFUSAL_MS = 100;

let issuer: TestIssuer;
let fetcher: typeof fetch;
/** Addresses that were asked for beside the two issuers'. */
const strayed: string[] = [];
const hostile: Partial<Record<string, HostileCredential[]>> = {};
const targets: Partial<Record<string, Target>> = {};

beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  issuer = await testIssuer(Date.now(), env.OIDC_ISSUER);
  const tenant = await testIssuer(Date.now(), TENANT.issuer);
  const [ours, theirs, strangers, twice, enc, open] = await Promise.all(
    ["", "", "", "-twice", "-enc", "-private"].map((suffix) =>
      Promise.all(ALGORITHMS.map((alg) => signingKey(`the-${alg}-key${suffix}`, alg))),
    ),
  );
  const jwks = (keys: SigningKey[] = []) => keys.map(({ publicJwk }) => publicJwk);
  issuer.answers.keys = () =>
    Response.json({
      keys: [
        ...jwks(ours),
        ...jwks(twice),
        ...jwks(twice).map((jwk) => ({ ...jwk, alg: undefined })),
        ...jwks(enc).map((jwk) => ({ ...jwk, use: "enc" })),
        ...jwks(open).map((jwk) => ({ ...jwk, d: "AQAB" })),
      ],
    });
  tenant.answers.keys = () => Response.json({ keys: jwks(theirs) });
  fetcher = (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (url.startsWith(env.OIDC_ISSUER)) return issuer.fetcher(input, init);
    if (url.startsWith(TENANT.issuer)) return tenant.fetcher(input, init);
    if (!url.startsWith("http://gpu.test/")) strayed.push(url);
    return Promise.resolve(new Response("ok"));
  };
  vi.spyOn(globalThis, "fetch").mockImplementation(fetcher);
  await env.KV.put(CATALOG_KEY, JSON.stringify({ ...CATALOG, issuers: [TENANT] }));
  for (const [at, alg] of ALGORITHMS.entries()) {
    const one = (keys: SigningKey[] | undefined, index = at): SigningKey => {
      const key = keys?.[index];
      if (key === undefined) throw new Error("a key is missing");
      return key;
    };
    const target: Target = {
      issuer: env.OIDC_ISSUER,
      audience: AUDIENCE,
      nowS: Math.floor(Date.now() / 1000),
      key: one(ours),
      otherKey: one(ours, (at + 1) % ALGORITHMS.length),
      tenant: { ...TENANT, key: one(theirs) },
      attackerKey: one(strangers),
      unusable: { twice: one(twice), enc: one(enc), private: one(open) },
    };
    targets[alg] = target;
    hostile[alg] = await hostileCredentials(target);
  }
});
afterAll(() => {
  vi.restoreAllMocks();
});

function requestWith({ headers, query }: Pick<HostileCredential, "headers" | "query">): Request {
  const sent = new Headers();
  for (const [name, value] of headers) sent.append(name, value);
  return new Request(`http://x/v1/models${query}`, { headers: sent });
}

/** What differs from the one refusal that all of them get; null when nothing does. */
async function wrongWith(credential: HostileCredential): Promise<string | null> {
  const response = await exports.default.fetch(requestWith(credential));
  const body = await response.text();
  const challenge = response.headers.get("www-authenticate");
  const isGeneric = body === (await genericBody());
  const isChallenge = /^Bearer realm="causeway"(, error="invalid_(token|request)")?$/.test(challenge ?? "");
  return response.status === 401 && isGeneric && isChallenge ? null : `${credential.name}: ${response.status} ${body}`;
}

async function wrongAsKey(name: string, token: string): Promise<string | null> {
  const headers = { "x-api-key": token, "content-type": "application/json" };
  const response = await exports.default.fetch("http://x/v1/messages", { method: "POST", headers, body: "{}" });
  const { request_id: id, ...body } = (await response.json()) as Record<string, unknown>;
  const isOwn = id === response.headers.get("request-id");
  const isGeneric = JSON.stringify(body) === JSON.stringify(REFUSED_AS_KEY);
  return response.status === 401 && isOwn && isGeneric ? null : `${name}: ${response.status} ${JSON.stringify(body)}`;
}

const REFUSED_AS_KEY = {
  type: "error",
  error: { type: "authentication_error", message: new Problem("invalid_api_key").message },
};

let generic: string | undefined;
async function genericBody(): Promise<string> {
  generic ??= await (await exports.default.fetch("http://x/v1/models")).text();
  return generic;
}

describe.each(ALGORITHMS)("%s", (alg) => {
  test("has at least 70 hostile classes, each of its own name", () => {
    const names = hostile[alg]?.map(({ group, name }) => `${group}: ${name}`) ?? [];
    expect(names.filter((name, at) => names.indexOf(name) !== at)).toEqual([]);
    expect(names.length).toBeGreaterThanOrEqual(70);
    expect([...new Set(hostile[alg]?.map(({ group }) => group))].sort()).toEqual([...GROUPS].sort());
  });

  test.each(GROUPS)("%s: all 401, with one body and a challenge", async (group) => {
    const wrong: (string | null)[] = [];
    for (const credential of hostile[alg]?.filter((one) => one.group === group) ?? [])
      wrong.push(await wrongWith(credential));
    expect(wrong.length).toBeGreaterThan(0);
    expect(wrong.filter((one) => one !== null)).toEqual([]);
  });

  test("in x-api-key at /v1/messages: all 401, with one body, of the client's own shape", async () => {
    const wrong: (string | null)[] = [];
    for (const credential of hostile[alg] ?? []) {
      const [[name, value] = ["", ""]] = credential.headers;
      // How a bearer token is sent is another matter; here it is what it holds.
      if (credential.group === "transport" || name !== "authorization" || !value.startsWith("Bearer ")) continue;
      wrong.push(await wrongAsKey(credential.name, value.slice("Bearer ".length)));
    }
    expect(wrong.length).toBeGreaterThan(70);
    expect(wrong.filter((one) => one !== null)).toEqual([]);
  });

  test("good ones are accepted", async () => {
    const target = targets[alg];
    if (target === undefined) throw new Error("no target");
    const statuses: Record<string, number> = {};
    // As of now: what is good for ten seconds more is not when those before it took long.
    const nowS = Math.floor(Date.now() / 1_000);
    for (const [name, value] of Object.entries(await goodCredentials({ ...target, nowS })))
      statuses[name] = (
        await exports.default.fetch(requestWith({ headers: [["authorization", value]], query: "" }))
      ).status;
    expect(Object.entries(statuses).filter(([, status]) => status !== 200)).toEqual([]);
  });

  test("the door refuses each within 100 ms", async () => {
    const tokens = tokenWorld(Date.now(), {
      fetcher,
      issuers: [trustedIssuer(env.OIDC_ISSUER, AUDIENCE), trustedIssuer(TENANT.issuer, TENANT.audience)],
    });
    const door: Door = {
      tokens,
      catalog: CATALOG_PARTS,
      secret: env.CAUSEWAY_SECRET,
      keyRecords: new Map(),
      kv: tokens.kv,
    };
    const slow: string[] = [];
    for (const credential of hostile[alg] ?? []) {
      const tookMs: number[] = [];
      // The best of five: a stop of the machine is none of the door's.
      for (let run = 0; run < 5 && (run === 0 || Math.min(...tookMs) > MAX_REFUSAL_MS); run++)
        tookMs.push(await refusalMs(requestWith(credential), door));
      const bestMs = Math.min(...tookMs);
      if (bestMs > MAX_REFUSAL_MS) slow.push(`${credential.name}: ${bestMs} ms`);
    }
    expect(slow).toEqual([]);
  });
});

const CATALOG_PARTS: Door["catalog"] = { roles: {}, tiers: {} };

async function refusalMs(request: Request, door: Door): Promise<number> {
  const startedMs = performance.now();
  const thrown = await authenticate(request, door).catch((cause: unknown) => cause);
  const tookMs = performance.now() - startedMs;
  expect(thrown).toBeInstanceOf(Problem);
  expect(thrown).toMatchObject({ code: "invalid_api_key" });
  return tookMs;
}

test("none of them made the gateway ask anybody, or an issuer more than its share", () => {
  expect(strayed).toEqual([]);
  // One isolate of the Worker and three of the tests, each a discovery and a key set per half minute.
  expect(issuer.asked.length).toBeLessThanOrEqual(4 * 2 * 3);
});
