import { describe, expect, test } from "vitest";
import { catalogOf, valid, wrongAt } from "./catalog-of.ts";

const withPrice = (price: unknown): object => catalogOf({ model: { price } });
const withCost = (cost: unknown): object => catalogOf({ host: { cost } });

describe("a model's price, taken as written", () => {
  test.each<{ name: string; price: Record<string, unknown> }>([
    { name: "tokens", price: { per1kTokens: 0.0001 } },
    { name: "free", price: { per1kTokens: 0 } },
    { name: "in and out", price: { per1kPromptTokens: 1, per1kCompletionTokens: 3 } },
    { name: "out dearer than the rest", price: { per1kTokens: 1, per1kCompletionTokens: 3 } },
    { name: "with a credit", price: { per1kTokens: 1, per1kCachedTokens: 0.1 } },
    {
      name: "in, out and a credit",
      price: { per1kPromptTokens: 1, per1kCompletionTokens: 3, per1kCachedTokens: 0.1 },
    },
    { name: "a request", price: { perRequest: 0.01 } },
    { name: "a GPU's seconds", price: { perGpuSecond: 0.01 } },
    { name: "the host's time", price: { hostTime: true } },
    { name: "with a name", price: { version: "2026-11", perRequest: 0.01 } },
  ])("$name", ({ price }) => {
    expect(valid(withPrice(price)).models[0]?.price).toEqual(price);
  });
});

describe("refused, with the path", () => {
  const FIGURES = ["per1kTokens", "per1kPromptTokens", "per1kCachedTokens", "perRequest", "perGpuSecond"];
  test.each<{ name: string; json: object; path: string }>([
    ...FIGURES.flatMap((figure) =>
      [-1, "1", null].map((value) => ({
        name: `${figure} of ${JSON.stringify(value)}`,
        json: withPrice({ [figure]: value }),
        path: `models.0.price.${figure}`,
      })),
    ),
    { name: "no figure: an unknown price is left out", json: withPrice({}), path: "models.0.price" },
    { name: "a name for nothing", json: withPrice({ version: "1" }), path: "models.0.price" },
    {
      name: "nothing but host time that is switched off",
      json: withPrice({ hostTime: false }),
      path: "models.0.price",
    },
    { name: "the way in alone: out would be free", json: withPrice({ per1kPromptTokens: 1 }), path: "models.0.price" },
    { name: "the way out alone", json: withPrice({ per1kCompletionTokens: 1 }), path: "models.0.price" },
    { name: "a credit on nothing", json: withPrice({ per1kCachedTokens: 1 }), path: "models.0.price" },
    {
      name: "a credit on a request",
      json: withPrice({ perRequest: 1, per1kCachedTokens: 1 }),
      path: "models.0.price",
    },
    { name: "an empty name", json: withPrice({ version: "", perRequest: 1 }), path: "models.0.price.version" },
    {
      name: "a name too long for a column of reports",
      json: withPrice({ version: "v".repeat(65), perRequest: 1 }),
      path: "models.0.price.version",
    },
    { name: "a typo", json: withPrice({ per1kToken: 1 }), path: "models.0.price" },
    { name: "a price as number", json: withPrice(1), path: "models.0.price" },
    { name: "a host's cost without its hours", json: withCost({ watts: 5 }), path: "hosts.0.cost.perHour" },
    { name: "a host that earns", json: withCost({ perHour: -1 }), path: "hosts.0.cost.perHour" },
    { name: "negative power", json: withCost({ perHour: 1, watts: -1 }), path: "hosts.0.cost.watts" },
    { name: "a typo in a host's cost", json: withCost({ perHour: 1, perKWh: 1 }), path: "hosts.0.cost" },
  ])("$name", ({ json, path }) => {
    expect(wrongAt(json)).toContain(path);
  });
});

test("a host's cost has no power where none is named, and there is none where it is left out", () => {
  expect(valid(withCost({ perHour: 1 })).hosts[0]?.cost).toEqual({ perHour: 1, watts: 0, perKwh: 0 });
  expect(valid(catalogOf()).hosts[0]?.cost).toBeUndefined();
});

test("content is stored nowhere unless a model says so", () => {
  expect(valid(catalogOf()).models[0]?.storeContent).toBe(false);
  expect(valid(catalogOf({ model: { storeContent: true } })).models[0]?.storeContent).toBe(true);
  expect(wrongAt(catalogOf({ model: { storeContent: "yes" } }))).toEqual(["models.0.storeContent"]);
});
