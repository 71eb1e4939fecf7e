import { describe, expect, test } from "vitest";
import { parseCatalog } from "#src/catalog/schema.ts";
import { protocolsOf, welcome } from "#src/ingress/page.ts";
import { Problem } from "#src/problem.ts";
import { CATALOG } from "#test/support/gateway.ts";

const ORIGINS = ["https://good.com", "http://localhost:5173"];

describe("a page", () => {
  const verdict = (headers: Record<string, string>): string => {
    try {
      return welcome(new Headers(headers), ORIGINS)["access-control-allow-origin"] ?? "no page";
    } catch (thrown) {
      if (!(thrown instanceof Problem)) throw thrown;
      return thrown.code;
    }
  };
  test.each<{ headers: Record<string, string>; is: string }>([
    { headers: {}, is: "no page" },
    { headers: { origin: "https://good.com" }, is: "https://good.com" },
    { headers: { origin: "https://good.com", "sec-fetch-site": "cross-site" }, is: "https://good.com" },
    { headers: { origin: "http://localhost:5173" }, is: "http://localhost:5173" },
    { headers: { "sec-fetch-site": "same-origin" }, is: "no page" },
    { headers: { "sec-fetch-site": "same-site" }, is: "origin_not_allowed" },
    { headers: { "sec-fetch-site": "cross-site" }, is: "origin_not_allowed" },
    { headers: { "sec-fetch-site": "none" }, is: "origin_not_allowed" },
    ...[
      "null",
      "",
      "*",
      "https://good.com.evil.com",
      "https://evilgood.com",
      "https://good.com:444",
      "https://good.com:443",
      "http://good.com",
      "https://GOOD.com",
      "https://good.com/",
      "https://sub.good.com",
      "https://good.com, https://evil.com",
      "https://good.com https://evil.com",
      "http://localhost",
    ].map((origin) => ({ headers: { origin }, is: "origin_not_allowed" })),
  ])("$headers: $is", ({ headers, is }) => {
    expect(verdict(headers)).toBe(is);
  });
});

describe("the catalog's origins", () => {
  test.each([
    { origin: "https://app.example.com", isGood: true },
    { origin: "http://localhost:5173", isGood: true },
    { origin: "http://[::1]:5173", isGood: true },
    { origin: "https://app.example.com/", isGood: false },
    { origin: "https://app.example.com:443", isGood: false },
    { origin: "https://App.example.com", isGood: false },
    { origin: "https://app.example.com/page", isGood: false },
    { origin: "https://user@app.example.com", isGood: false },
    { origin: "app.example.com", isGood: false },
    { origin: "ws://app.example.com", isGood: false },
    { origin: "https://*.example.com", isGood: false },
    { origin: "null", isGood: false },
    { origin: "*", isGood: false },
    { origin: "", isGood: false },
  ])("$origin: $isGood", ({ origin, isGood }) => {
    const parsed = parseCatalog({ ...CATALOG, origins: [origin] });
    expect(parsed.kind).toBe(isGood ? "valid" : "invalid");
    if (parsed.kind === "invalid") expect(parsed.problems.map(({ path }) => path)).toEqual(["origins.0"]);
  });
});

test.each([
  { offered: null, protocols: [] },
  { offered: "one", protocols: ["one"] },
  { offered: "one,two ,\tthree", protocols: ["one", "two", "three"] },
])("offered $offered", ({ offered, protocols }) => {
  const headers = offered === null ? {} : { "sec-websocket-protocol": offered };
  expect(protocolsOf(new Request("http://x/", { headers }))).toEqual(protocols);
});
