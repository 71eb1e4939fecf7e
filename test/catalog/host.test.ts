import { describe, expect, test } from "vitest";
import { locationOf } from "#src/catalog/host.ts";
import { catalogOf, valid, wrongAt } from "./catalog-of.ts";

test("what a host leaves out has a default", () => {
  const [host] = valid(catalogOf()).hosts;
  expect(host).toMatchObject({ region: [], overcommit: 1 });
  expect([host?.location, host?.canary]).toEqual([undefined, undefined]);
});

test.each([
  { engine: "vllm", location: undefined, stands: "on-prem" },
  { engine: "llamacpp", location: undefined, stands: "on-prem" },
  { engine: "openai", location: undefined, stands: "cloud" },
  { engine: "openai", location: "on-prem", stands: "on-prem" },
  { engine: "vllm", location: "cloud", stands: "cloud" },
] as const)("a $engine host whose location is $location stands $stands", ({ engine, location, stands }) => {
  const [host] = valid(catalogOf({ host: { engine, ...(location === undefined ? {} : { location }) } })).hosts;
  expect(host === undefined ? null : locationOf(host)).toBe(stands);
});

describe("refused, with the path", () => {
  test.each<{ name: string; host: object; path: string }>([
    { name: "a place that is neither", host: { location: "moon" }, path: "hosts.0.location" },
    { name: "a region as text", host: { region: "EU" }, path: "hosts.0.region" },
    { name: "a region without a name", host: { region: ["FRA", ""] }, path: "hosts.0.region.1" },
    { name: "fewer requests than slots", host: { overcommit: 0.5 }, path: "hosts.0.overcommit" },
    {
      name: "a canary more often than hosts are probed",
      host: { canary: { everyS: 9 } },
      path: "hosts.0.canary.everyS",
    },
    { name: "a canary without its pace", host: { canary: {} }, path: "hosts.0.canary.everyS" },
    { name: "a typo in a canary", host: { canary: { everyS: 60, tokens: 2 } }, path: "hosts.0.canary" },
    { name: "a cloud as native", host: { engine: "openai", native: true }, path: "hosts.0.native" },
  ])("$name", ({ host, path }) => {
    expect(wrongAt(catalogOf({ host }))).toEqual([path]);
  });
});
