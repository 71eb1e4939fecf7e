import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import type { KnownCall } from "#src/ingress/call.ts";
import { callOf, carriedOf } from "#src/ingress/carried-call.ts";
import { placeOf, regionOf } from "#src/ingress/region.ts";

test.each<{ name: string; cf: Record<string, unknown> | undefined; region: string[] }>([
  {
    name: "all of it",
    cf: { colo: "FRA", country: "DE", continent: "EU", city: "Frankfurt" },
    region: ["FRA", "DE", "EU"],
  },
  { name: "no country", cf: { colo: "FRA", continent: "EU" }, region: ["FRA", "EU"] },
  { name: "none", cf: {}, region: [] },
  { name: "no platform", cf: undefined, region: [] },
  { name: "what is no name", cf: { colo: 7, country: null, continent: "" }, region: [] },
])("$name", ({ cf, region }) => {
  expect(regionOf({ cf } as unknown as Request)).toEqual(region);
});

test("as it comes with a request", () => {
  const cf = { colo: "FRA", country: "DE" };
  const request = new Request("http://x", { cf });
  expect(regionOf(request)).toEqual(["FRA", "DE"]);
  // And as it is carried on to where the request is answered.
  const carried: { cf: Record<string, unknown> } = JSON.parse(JSON.stringify({ cf: placeOf(request) }));
  expect(regionOf(new Request("http://x", carried))).toEqual(["FRA", "DE"]);
  expect(regionOf(new Request("http://x"))).toEqual([]);
});

test("as it goes along to where the call is answered", async () => {
  const request = new Request("http://x", { cf: { colo: "FRA", country: "DE", continent: "EU", city: "Frankfurt" } });
  const principal = { accountId: "a", userId: "u", tenant: null, tier: "default", roles: [], scopes: [], keyId: null };
  const log = { requestId: "r", method: "GET", route: "/" };
  const call = { request, env, principal, requestId: "r", arrivedAtMs: 1, address: null, log } as unknown as KnownCall;
  const carried = structuredClone(carriedOf(call, null));
  const there = await callOf(carried, env, () => undefined, new AbortController().signal);
  expect(regionOf(there.request)).toEqual(["FRA", "DE", "EU"]);
  expect(JSON.stringify(carried)).not.toContain("Frankfurt");
});
