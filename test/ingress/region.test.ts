import { expect, test } from "vitest";
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
