import { expect, test } from "vitest";
import { trustedIssuer } from "#src/catalog/issuer.ts";
import { catalogOf, valid, wrongAt } from "./catalog-of.ts";

const SECOND = { issuer: "https://id.example.test/realms/ai/", audience: "causeway" };

test("an issuer is kept to the letter, with safe defaults", () => {
  expect(valid(catalogOf({ rest: { issuers: [SECOND] } })).issuers).toEqual([
    {
      ...SECOND,
      algorithms: ["RS256", "ES256", "EdDSA"],
      maxAge: 86_400,
      claims: { groups: "groups", tier: "tier", tenant: "tenant" },
    },
  ]);
});

test("the issuer of the variables has the same defaults", () => {
  const [second] = valid(catalogOf({ rest: { issuers: [SECOND] } })).issuers;
  expect(trustedIssuer(SECOND.issuer, SECOND.audience)).toEqual(second);
});

test.each(["groups", "realm_access.roles", "https://example.com/claims/groups"])("a claim named %s", (path) => {
  for (const claim of ["groups", "tier", "tenant"]) {
    const { issuers } = valid(catalogOf({ rest: { issuers: [{ ...SECOND, claims: { [claim]: path } }] } }));
    expect(issuers[0]?.claims).toEqual({ groups: "groups", tier: "tier", tenant: "tenant", [claim]: path });
  }
});

const issuer = (changed: object) => catalogOf({ rest: { issuers: [{ ...SECOND, ...changed }] } });
test.each<{ name: string; json: unknown; path: string }>([
  { name: "an issuer twice", json: catalogOf({ rest: { issuers: [SECOND, SECOND] } }), path: "issuers.1.issuer" },
  { name: "an issuer that is no URL", json: issuer({ issuer: "id.example.test" }), path: "issuers.0.issuer" },
  { name: "an issuer without an audience", json: issuer({ audience: "" }), path: "issuers.0.audience" },
  ...["HS256", "none", "rs256"].map((algorithm) => ({
    name: `the algorithm ${algorithm}`,
    json: issuer({ algorithms: ["RS256", algorithm] }),
    path: "issuers.0.algorithms.1",
  })),
  { name: "no algorithm", json: issuer({ algorithms: [] }), path: "issuers.0.algorithms" },
  { name: "no maximum age", json: issuer({ maxAge: 0 }), path: "issuers.0.maxAge" },
  ...["groups", "tier", "tenant"].flatMap((claim) =>
    ["a..b", ".a", "a.", ""].map((path) => ({
      name: `${JSON.stringify(path)} for the claim of the ${claim}`,
      json: issuer({ claims: { [claim]: path } }),
      path: `issuers.0.claims.${claim}`,
    })),
  ),
  { name: "a typo in a claim", json: issuer({ claims: { tennant: "org" } }), path: "issuers.0.claims" },
  { name: "a typo in an issuer", json: issuer({ audiences: ["x"] }), path: "issuers.0" },
])("$name is refused", ({ json, path }) => {
  expect(wrongAt(json)).toContain(path);
});
