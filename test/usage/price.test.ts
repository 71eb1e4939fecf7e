import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Price } from "#src/catalog/price.ts";
import { parseCatalog } from "#src/catalog/schema.ts";
import { costMicros, type PricedHost, priceVersion, type Spent } from "#src/usage/price.ts";

const HOST: PricedHost = { slots: 4, cost: { perHour: 1.2, watts: 500, perKwh: 0.4 } };
const NOTHING: Spent = { promptTokens: 0, completionTokens: 0, cachedTokens: null, hostMs: null };

/** In micro-dollars. */
const cost = (price: Price | undefined, spent: Partial<Spent> = {}, host: PricedHost | null = HOST): number | null =>
  costMicros(price, { ...NOTHING, ...spent }, host);

describe("by tokens", () => {
  test.each<{ name: string; price: Price; spent: Partial<Spent>; micros: number }>([
    { name: "free is zero", price: { per1kTokens: 0 }, spent: { promptTokens: 1_000 }, micros: 0 },
    { name: "no tokens, no cost", price: { per1kTokens: 0.0001 }, spent: {}, micros: 0 },
    { name: "a thousand", price: { per1kTokens: 0.0001 }, spent: { promptTokens: 1_000 }, micros: 100 },
    {
      name: "both ways alike",
      price: { per1kTokens: 0.0001 },
      spent: { promptTokens: 400, completionTokens: 600 },
      micros: 100,
    },
    { name: "less than half a micro-dollar", price: { per1kTokens: 0.0001 }, spent: { promptTokens: 4 }, micros: 0 },
    { name: "half a micro-dollar rounds up", price: { per1kTokens: 0.0001 }, spent: { promptTokens: 5 }, micros: 1 },
    {
      name: "halves of both ways are rounded once",
      price: { per1kTokens: 0.0001 },
      spent: { promptTokens: 5, completionTokens: 5 },
      micros: 1,
    },
    {
      name: "binary fractions do not show",
      price: { per1kTokens: 0.0003 },
      spent: { promptTokens: 1_000_000 },
      micros: 300_000,
    },
    {
      name: "the dearest model of the bundled catalog at its whole context",
      price: { per1kTokens: 0.0008 },
      spent: { promptTokens: 131_072 },
      micros: 104_858,
    },
    {
      name: "dearer on the way out",
      price: { per1kPromptTokens: 1, per1kCompletionTokens: 3 },
      spent: { promptTokens: 2, completionTokens: 5 },
      micros: 17_000,
    },
    {
      name: "the more precise figure wins, the other one stands for the rest",
      price: { per1kTokens: 1, per1kCompletionTokens: 3 },
      spent: { promptTokens: 2, completionTokens: 5 },
      micros: 17_000,
    },
    {
      name: "a prompt that costs nothing is not one without a figure",
      price: { per1kTokens: 1, per1kPromptTokens: 0 },
      spent: { promptTokens: 2, completionTokens: 5 },
      micros: 5_000,
    },
  ])("$name", ({ price, spent, micros }) => {
    expect(cost(price, spent)).toBe(micros);
  });

  test.each<{ name: string; price: Price; cachedTokens: number | null; micros: number }>([
    { name: "credited", price: { per1kTokens: 1, per1kCachedTokens: 0.1 }, cachedTokens: 8, micros: 3_800 },
    { name: "for nothing", price: { per1kTokens: 1, per1kCachedTokens: 0 }, cachedTokens: 8, micros: 3_000 },
    { name: "without a figure they cost as others", price: { per1kTokens: 1 }, cachedTokens: 8, micros: 11_000 },
    {
      name: "an engine that did not say is credited nothing",
      price: { per1kTokens: 1, per1kCachedTokens: 0 },
      cachedTokens: null,
      micros: 11_000,
    },
    {
      name: "an engine that says more than there were is credited the prompt",
      price: { per1kTokens: 1, per1kCachedTokens: 0 },
      cachedTokens: 99,
      micros: 1_000,
    },
  ])("prompt tokens from the engine's cache: $name", ({ price, cachedTokens, micros }) => {
    expect(cost(price, { promptTokens: 10, completionTokens: 1, cachedTokens })).toBe(micros);
  });
});

describe("by the request and by time", () => {
  test.each<{ name: string; price: Price; spent: Partial<Spent>; host?: PricedHost; micros: number }>([
    { name: "a request", price: { perRequest: 0.002 }, spent: { promptTokens: 9 }, micros: 2_000 },
    {
      name: "a request and its tokens",
      price: { perRequest: 0.002, per1kTokens: 1 },
      spent: { promptTokens: 9 },
      micros: 11_000,
    },
    { name: "a second of a GPU", price: { perGpuSecond: 0.001 }, spent: { hostMs: 1_500 }, micros: 1_500 },
    { name: "no time at all", price: { perGpuSecond: 0.001 }, spent: { hostMs: 0 }, micros: 0 },
    // (1.2 + 0.5 kW * 0.4) $/h over four slots.
    { name: "a slot of a host for an hour", price: { hostTime: true }, spent: { hostMs: 3_600_000 }, micros: 350_000 },
    {
      name: "the same by a host of one slot",
      price: { hostTime: true },
      spent: { hostMs: 3_600_000 },
      host: { ...HOST, slots: 1 },
      micros: 1_400_000,
    },
    {
      name: "a host whose power costs nothing",
      price: { hostTime: true },
      spent: { hostMs: 36_000 },
      host: { slots: 1, cost: { perHour: 1, watts: 0, perKwh: 0 } },
      micros: 10_000,
    },
    {
      name: "power alone: a kilowatt for an hour",
      price: { hostTime: true },
      spent: { hostMs: 3_600_000 },
      host: { slots: 1, cost: { perHour: 0, watts: 1_000, perKwh: 0.3 } },
      micros: 300_000,
    },
    {
      name: "everything together, rounded once",
      price: { per1kTokens: 0.1, perRequest: 0.000_000_3, perGpuSecond: 0.01, hostTime: true },
      spent: { promptTokens: 10, completionTokens: 10, hostMs: 360 },
      // 2,000 + 0.3 + 3,600 + 35
      micros: 5_635,
    },
    {
      name: "host time that is switched off",
      price: { perRequest: 0.002, hostTime: false },
      spent: { hostMs: 1_000 },
      micros: 2_000,
    },
  ])("$name", ({ price, spent, host = HOST, micros }) => {
    expect(cost(price, spent, host)).toBe(micros);
  });
});

describe("what is not known is null, and what is known is not", () => {
  const prices: { name: string; price: Price | undefined; needs: ("price" | "time" | "host")[] }[] = [
    { name: "no price", price: undefined, needs: ["price"] },
    { name: "tokens", price: { per1kTokens: 1 }, needs: [] },
    { name: "free", price: { perRequest: 0 }, needs: [] },
    { name: "a request", price: { perRequest: 1 }, needs: [] },
    { name: "GPU seconds", price: { perGpuSecond: 1 }, needs: ["time"] },
    { name: "free GPU seconds", price: { per1kTokens: 1, perGpuSecond: 0 }, needs: ["time"] },
    { name: "host time", price: { hostTime: true }, needs: ["time", "host"] },
    { name: "tokens and host time", price: { per1kTokens: 1, hostTime: true }, needs: ["time", "host"] },
    { name: "no host time", price: { per1kTokens: 1, hostTime: false }, needs: [] },
  ];
  const times = [{ hostMs: null }, { hostMs: 0 }, { hostMs: 5 }];
  const hosts: (PricedHost | null)[] = [null, { slots: 1 }, HOST];
  const every = prices.flatMap((price) =>
    times.flatMap((time) => hosts.map((host) => ({ ...price, ...time, host: host === null ? null : { ...host } }))),
  );
  test.each(every)("$name, host time $hostMs, host $host", ({ price, needs, hostMs, host }) => {
    const lacks = {
      price: true,
      time: hostMs === null,
      host: host?.cost === undefined,
    };
    const isUnknown = needs.some((need) => lacks[need]);
    expect(cost(price, { promptTokens: 3, hostMs }, host) === null).toBe(isUnknown);
  });
});

test("integers, so that sums are exact; the true price, rounded half up; never less for more", () => {
  // Prices as integers of a micro-dollar, so that the truth can be reckoned in integers.
  const micros = fc.integer({ min: 0, max: 100_000 });
  const tokens = fc.integer({ min: 0, max: 10_000_000 });
  fc.assert(
    fc.property(micros, micros, micros, tokens, tokens, tokens, (prompt, completion, request, asked, said, more) => {
      const price: Price = {
        per1kPromptTokens: prompt / 1e6,
        per1kCompletionTokens: completion / 1e6,
        perRequest: request / 1e6,
      };
      const spent = { promptTokens: asked, completionTokens: said };
      const made = cost(price, spent) ?? Number.NaN;
      expect(Number.isSafeInteger(made)).toBe(true);
      const thousandths = asked * prompt + said * completion + request * 1_000;
      expect(made).toBe(Math.floor((thousandths + 500) / 1_000));
      expect(cost(price, { ...spent, promptTokens: asked + more })).toBeGreaterThanOrEqual(made);
      expect(cost(price, { ...spent, completionTokens: said + more })).toBeGreaterThanOrEqual(made);
    }),
    { numRuns: 1_000 },
  );
});

describe("the price's version", () => {
  const FIGURES = [
    "per1kTokens",
    "per1kPromptTokens",
    "per1kCompletionTokens",
    "per1kCachedTokens",
    "perRequest",
    "perGpuSecond",
  ] as const;
  const dollars = fc.double({ min: 0, max: 10, noNaN: true });
  const anyPrice = fc.record(
    { ...Object.fromEntries(FIGURES.map((figure) => [figure, dollars])), hostTime: fc.boolean() },
    { requiredKeys: ["hostTime"] },
  ) as fc.Arbitrary<Price>;

  test("is the catalog's own name where it has one, whatever the figures", () => {
    expect(priceVersion({ version: "2026-11", per1kTokens: 1 }, null)).toBe("2026-11");
    expect(priceVersion({ version: "2026-11", hostTime: true }, HOST)).toBe("2026-11");
  });

  test("is null without a price", () => {
    expect(priceVersion(undefined, HOST)).toBeNull();
  });

  test("is else a digest that stays while the figures do", () => {
    fc.assert(
      fc.property(anyPrice, (price) => {
        const version = priceVersion(price, HOST);
        expect(version).toMatch(/^[0-9a-f]{8}$/);
        expect(priceVersion(structuredClone(price), structuredClone(HOST))).toBe(version);
      }),
    );
  });

  test("and changes with any figure", () => {
    fc.assert(
      fc.property(anyPrice, fc.constantFrom(...FIGURES), dollars, (price, figure, other) => {
        fc.pre(!Object.is(price[figure], other));
        expect(priceVersion({ ...price, [figure]: other }, HOST)).not.toBe(priceVersion(price, HOST));
        expect(priceVersion({ ...price, hostTime: !price.hostTime }, HOST)).not.toBe(priceVersion(price, HOST));
      }),
      { numRuns: 500 },
    );
  });

  test.each<{ name: string; other: PricedHost | null }>([
    { name: "none", other: null },
    { name: "of unknown cost", other: { slots: 4 } },
    { name: "of other slots", other: { ...HOST, slots: 5 } },
    { name: "dearer by the hour", other: { slots: 4, cost: { perHour: 1.3, watts: 500, perKwh: 0.4 } } },
    { name: "of more watts", other: { slots: 4, cost: { perHour: 1.2, watts: 501, perKwh: 0.4 } } },
    { name: "of dearer power", other: { slots: 4, cost: { perHour: 1.2, watts: 500, perKwh: 0.5 } } },
  ])(
    "where the host's time is charged, a host $name is another version; else the host is none of its business",
    ({ other }) => {
      expect(priceVersion({ hostTime: true }, other)).not.toBe(priceVersion({ hostTime: true }, HOST));
      expect(priceVersion({ per1kTokens: 1 }, other)).toBe(priceVersion({ per1kTokens: 1 }, HOST));
    },
  );

  test("does not depend on the order in which a catalog has its figures", () => {
    const versionOf = (price: object): string | null => {
      const parsed = parseCatalog({
        hosts: [{ id: "h", engine: "vllm", reach: { via: "direct", url: "http://h" } }],
        models: [{ id: "m", served: [{ host: "h", as: "m" }], price }],
      });
      return parsed.kind === "valid" ? priceVersion(parsed.catalog.models[0]?.price, null) : "invalid";
    };
    expect(versionOf({ perRequest: 2, per1kTokens: 1 })).toBe(versionOf({ per1kTokens: 1, perRequest: 2 }));
    expect(versionOf({ perRequest: 2, per1kTokens: 1 })).toMatch(/^[0-9a-f]{8}$/);
  });
});
