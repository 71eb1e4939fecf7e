import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seeded } from "#scripts/storm/chance.ts";
import { STRATEGIES } from "#src/catalog/schema.ts";
import { orderOf } from "#src/fleet/order.ts";
import { type Box, NOW_MS, nameOn, sharesOf, weighed } from "./boxes.ts";

const BACKUP = { backup: true };
const OPEN: Box["pair"] = { breaker: "open", openUntilMs: NOW_MS + 1_000 };
const TRIAL: Box["pair"] = { breaker: "half-open" };
const DOWN: Box["seen"] = { state: "down" };
const BUSY: Box["seen"] = { busyUntilMs: NOW_MS + 9_000 };
const FULL: Box["seen"] = { inFlight: 4 };

describe("who shares the traffic", () => {
  test.each<{ name: string; boxes: Box[]; shares: Record<string, number> }>([
    { name: "one host", boxes: [{ id: "a" }], shares: { a: 1 } },
    { name: "one host, on trial", boxes: [{ id: "a", pair: TRIAL }], shares: { a: 1 } },
    { name: "one host, busy", boxes: [{ id: "a", seen: BUSY }], shares: { a: 1 } },
    { name: "one host, full", boxes: [{ id: "a", seen: FULL }], shares: { a: 0 } },
    { name: "one host, down", boxes: [{ id: "a", seen: DOWN }], shares: { a: 0 } },
    {
      name: "backups wait while a primary is able",
      boxes: [{ id: "a" }, { id: "b", seen: DOWN }, { id: "c", host: BACKUP }],
      shares: { a: 1, b: 0, c: 0 },
    },
    {
      name: "backups when the primaries are out or full",
      boxes: [
        { id: "a", seen: FULL },
        { id: "b", pair: OPEN },
        { id: "c", host: BACKUP },
        { id: "d", host: { ...BACKUP, weight: 3 } },
      ],
      shares: { a: 0, b: 0, c: 0.25, d: 0.75 },
    },
    {
      name: "a host that does not list the name, while another does",
      boxes: [{ id: "a", seen: { missing: [nameOn("a")] } }, { id: "b" }],
      shares: { a: 0, b: 1 },
    },
    {
      name: "a host that does not list the name, and is all there is",
      boxes: [
        { id: "a", seen: { missing: [nameOn("a")] } },
        { id: "b", seen: DOWN },
      ],
      shares: { a: 1, b: 0 },
    },
    {
      name: "everybody out",
      boxes: [
        { id: "a", seen: DOWN },
        { id: "b", pair: OPEN },
        { id: "c", host: BACKUP, seen: { draining: true } },
      ],
      shares: { a: 0, b: 0, c: 0 },
    },
    {
      name: "a host on trial gets a tenth of what it would have, however heavy",
      boxes: [{ id: "a", host: { weight: 99 }, pair: TRIAL }, { id: "b" }],
      shares: { a: 0.099, b: 0.901 },
    },
    {
      name: "a busy one hardly anything",
      boxes: [{ id: "a", seen: BUSY }, { id: "b" }],
      shares: { a: 0.005, b: 0.995 },
    },
    {
      name: "none at its ease: rather one on trial than one that refuses",
      boxes: [
        { id: "a", seen: BUSY },
        { id: "b", pair: TRIAL },
      ],
      shares: { a: 0.091, b: 0.909 },
    },
  ])("$name", ({ boxes, shares }) => {
    expect(sharesOf(weighed(boxes))).toEqual(shares);
  });
});

test("those without a share say why", () => {
  const rows = weighed([{ id: "a" }, { id: "b", host: BACKUP }, { id: "c", seen: DOWN }]);
  expect(rows.map(({ why }) => why)).toEqual([
    "not probed yet, 0 of 4 in flight",
    "not probed yet, 0 of 4 in flight, backup",
    "down",
  ]);
  const costs = [1, 2].map((perHour) => ({ id: `h${perHour}`, host: { cost: { perHour } } }));
  expect(weighed(costs, "cheapest")[1]?.why).toBe("not probed yet, 0 of 4 in flight, not the cheapest");
});

test("a host that is not at its ease keeps nothing warm", () => {
  const rows = weighed([
    { id: "a", pair: TRIAL },
    { id: "b", seen: BUSY },
    { id: "c", seen: { inFlight: 3 } },
  ]);
  expect(rows.map(({ steadyWeight }) => steadyWeight)).toEqual([0, 0, 1]);
});

const nullable = (figure: fc.Arbitrary<number>) => fc.option(figure, { nil: null });
const REGIONS = ["FRA", "DE", "EU", "US"];
const box: fc.Arbitrary<Omit<Box, "id">> = fc.record({
  host: fc.record({
    slots: fc.integer({ min: 1, max: 64 }),
    overcommit: fc.double({ min: 1, max: 4, noNaN: true }),
    weight: fc.oneof(
      fc.double({ min: Number.MIN_VALUE, max: Number.MAX_VALUE, noNaN: true }),
      fc.constantFrom(1, 2, Number.MIN_VALUE, Number.MAX_VALUE),
    ),
    backup: fc.boolean(),
    region: fc.subarray(REGIONS),
    engine: fc.constantFrom("vllm", "llamacpp", "openai"),
    cost: fc.option(fc.record({ perHour: fc.double({ min: 0, max: 9, noNaN: true }) }), { nil: undefined }),
  }),
  seen: fc.option(
    fc.record({
      state: fc.constantFrom("up" as const, "up" as const, "unknown" as const, "down" as const, "loading" as const),
      draining: fc.boolean(),
      inFlight: fc.nat({ max: 80 }),
      busyUntilMs: fc.constantFrom(0, NOW_MS + 5_000),
      running: nullable(fc.nat({ max: 80 })),
      waiting: nullable(fc.nat({ max: 20 })),
      kvUsage: nullable(fc.double({ min: 0, max: 1, noNaN: true })),
    }),
    { nil: undefined },
  ),
  pair: fc.option(
    fc.record({
      breaker: fc.constantFrom("closed" as const, "open" as const, "half-open" as const),
      openUntilMs: fc.constantFrom(0, NOW_MS, NOW_MS + 5_000),
      ttftMs: nullable(fc.double({ min: 0, max: 1e6, noNaN: true })),
      tokensPerS: nullable(fc.double({ min: 0, max: 1e6, noNaN: true })),
    }),
    { nil: undefined },
  ),
}) as fc.Arbitrary<Omit<Box, "id">>;
const fleet = fc
  .array(box, { minLength: 1, maxLength: 6 })
  .map((some) => some.map((one, at): Box => ({ ...one, id: `h${at}` })));
const strategy = fc.constantFrom(...STRATEGIES);
const region = fc.subarray(REGIONS);

describe("whatever is known of them", () => {
  test("shares are shares: 1 in all where anybody is able, none for those who are not, and never a backup's beside a primary's", () => {
    fc.assert(
      fc.property(fleet, strategy, region, (boxes, by, from) => {
        const rows = weighed(boxes, by, from);
        expect(rows.map(({ host }) => host.id)).toEqual(boxes.map(({ id }) => id));
        const sum = rows.reduce((total, { share }) => total + share, 0);
        const able = rows.filter(({ standing }) => standing === "able");
        expect(sum).toBeCloseTo(able.length > 0 ? 1 : 0, 9);
        for (const { share, standing, weight, steadyWeight } of rows) {
          expect(share).toBeGreaterThanOrEqual(0);
          if (standing !== "able") expect(share).toBe(0);
          expect(weight).not.toBeNaN();
          expect(steadyWeight).not.toBeNaN();
        }
        const sharing = new Set(able.filter(({ share }) => share > 0).map(({ host }) => host.backup));
        expect(sharing.size).toBeLessThanOrEqual(1);
        if (able.some(({ host }) => !host.backup)) expect(sharing.has(true)).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });

  test("least-busy: more in flight is never more share", () => {
    fc.assert(
      fc.property(fleet, fc.nat({ max: 40 }), (boxes, more) => {
        const shareOf = (some: readonly Box[]) => weighed(some, "least-busy")[0]?.share ?? 0;
        const [first, ...others] = boxes;
        if (first === undefined) return;
        const inFlight = (first.seen?.inFlight ?? 0) + more;
        const busier = { ...first, seen: { ...first.seen, state: first.seen?.state ?? "unknown", inFlight } };
        expect(shareOf([busier, ...others])).toBeLessThanOrEqual(shareOf(boxes) + 1e-9);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("traffic follows the shares", () => {
  const DRAWS = 2_000;
  const PER_VIEW = 50;
  const hosts: Record<string, unknown>[] = [
    { weight: 4, slots: 16, region: ["FRA", "DE", "EU"], cost: { perHour: 4 } },
    { weight: 2, slots: 8, region: ["PAR", "FR", "EU"], cost: { perHour: 1 } },
    { weight: 1, slots: 8, region: ["DE"], cost: { perHour: 1 } },
    { weight: 1, slots: 2, backup: true },
  ];

  test.each(STRATEGIES)("%s: within 5 points over 2,000 requests, while what is known changes", (by) => {
    const random = seeded(20_261_121);
    const expected = new Map<string, number>();
    const measured = new Map<string, number>();
    for (let drawn = 0; drawn < DRAWS; drawn += PER_VIEW) {
      const boxes = hosts.map((host, at): Box => {
        const slots = Number(host.slots);
        return {
          id: `h${at}`,
          host,
          seen: {
            state: random() < 0.1 ? "down" : "up",
            inFlight: Math.floor(random() * slots * 1.1),
            waiting: random() < 0.2 ? 3 : null,
          },
          pair: { ttftMs: 100 + random() * 900, tokensPerS: 20 + random() * 80 },
        };
      });
      const rows = weighed(boxes, by, ["FRA", "DE", "EU"]);
      for (const { host, share } of rows) expected.set(host.id, (expected.get(host.id) ?? 0) + share * PER_VIEW);
      for (let turn = 0; turn < PER_VIEW; turn++) {
        const first = orderOf(rows, { random, affinity: null })[0];
        if (first?.standing !== "able") continue;
        measured.set(first.host.id, (measured.get(first.host.id) ?? 0) + 1);
      }
    }
    for (const [id, times] of expected) {
      expect(Math.abs((measured.get(id) ?? 0) - times) / DRAWS, id).toBeLessThan(0.05);
    }
  });
});
