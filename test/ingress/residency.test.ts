import { describe, expect, test } from "vitest";
import { mustStayHome, RESIDENCY_HEADER } from "#src/ingress/residency.ts";
import { problemOf } from "#test/upstream/asked.ts";

type Asked = { header?: string; model?: "on-prem"; keyId?: string | null };

function stays({ header, model, keyId = null }: Asked): boolean {
  const request = new Request("http://x/", { headers: header === undefined ? {} : { [RESIDENCY_HEADER]: header } });
  const principal = {
    accountId: "a",
    userId: "u",
    tenant: null,
    tier: "default",
    roles: [],
    scopes: [],
    keyId,
  };
  const keys = { key_home: { residency: "on-prem" as const }, key_free: { rpm: 1 } };
  return mustStayHome({ request, principal, catalog: { keys } }, model === undefined ? {} : { residency: model });
}

test.each<{ name: string; asked: Asked; home: boolean }>([
  { name: "nobody says so", asked: {}, home: false },
  { name: "the model", asked: { model: "on-prem" }, home: true },
  { name: "the key", asked: { keyId: "key_home" }, home: true },
  { name: "a key of which the catalog says something else", asked: { keyId: "key_free" }, home: false },
  { name: "a key that the catalog does not name", asked: { keyId: "key_other" }, home: false },
  { name: "a key named as what every object has", asked: { keyId: "constructor" }, home: false },
  { name: "the request", asked: { header: "on-prem" }, home: true },
  { name: "the request, with white space around it", asked: { header: " on-prem " }, home: true },
  { name: "all three", asked: { header: "on-prem", model: "on-prem", keyId: "key_home" }, home: true },
])("$name: $home", ({ asked, home }) => {
  expect(stays(asked)).toBe(home);
});

describe("a header that says anything else is refused, whatever model and key say", () => {
  test.each(["", "onprem", "On-Prem", "cloud", "any", "on-prem, on-prem", "on-prem;"])("%j", (header) => {
    for (const rest of [{}, { model: "on-prem" as const, keyId: "key_home" }]) {
      expect(problemOf(() => stays({ header, ...rest }))).toMatchObject({
        code: "invalid_value",
        facts: { param: RESIDENCY_HEADER },
      });
    }
  });
});
