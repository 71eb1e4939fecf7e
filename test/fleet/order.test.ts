import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seeded } from "#scripts/storm/chance.ts";
import { AffinityLoads } from "#src/fleet/affinity.ts";
import { orderOf } from "#src/fleet/order.ts";
import type { Weighed } from "#src/fleet/weigh.ts";
import { type Box, candidatesOf, NOW_MS, weighed } from "./boxes.ts";

const ids = (rows: readonly Weighed[]) => rows.map(({ host }) => host.id);
const BACKUP = { backup: true };
const FULL: Box["seen"] = { inFlight: 4 };
const cost = (perHour: number) => ({ cost: { perHour } });

describe("the order", () => {
  test.each<{ name: string; boxes: Box[]; by?: "weighted" | "cheapest"; order: string[] }>([
    {
      name: "able primaries, able backups, full primaries, full backups; never who is out",
      boxes: [
        { id: "spare-full", host: BACKUP, seen: FULL },
        { id: "full", seen: FULL },
        { id: "spare", host: BACKUP },
        { id: "down", seen: { state: "down" } },
        { id: "a" },
      ],
      order: ["a", "spare", "full", "spare-full"],
    },
    {
      name: "backups first where all primaries are full",
      boxes: [
        { id: "a", seen: FULL },
        { id: "spare", host: BACKUP },
      ],
      order: ["spare", "a"],
    },
    {
      name: "from cheap to dear, also among the full ones",
      boxes: [
        { id: "full-3", host: cost(3), seen: FULL },
        { id: "c", host: cost(3) },
        { id: "b", host: cost(2) },
        { id: "a", host: cost(1) },
        { id: "unknown" },
        { id: "full-1", host: cost(1), seen: FULL },
      ],
      by: "cheapest",
      order: ["a", "b", "c", "unknown", "full-1", "full-3"],
    },
    { name: "one host", boxes: [{ id: "a" }], order: ["a"] },
    { name: "all out", boxes: [{ id: "a", seen: { state: "loading" } }], order: [] },
  ])("$name", ({ boxes, by, order }) => {
    expect(ids(orderOf(weighed(boxes, by), { random: Math.random, affinity: null }))).toEqual(order);
  });

  test("second places are drawn among those left", () => {
    const rows = weighed([2, 3, 1].map((weight, at) => ({ id: `h${at}`, host: { weight } })));
    const random = seeded(7);
    const seconds = { h1: 0, h2: 0 };
    for (let turn = 0; turn < 10_000; turn++) {
      const [first, second] = ids(orderOf(rows, { random, affinity: null }));
      if (first === "h0" && (second === "h1" || second === "h2")) seconds[second]++;
    }
    expect(Math.abs(seconds.h1 / (seconds.h1 + seconds.h2) - 0.75)).toBeLessThan(0.03);
  });

  test("whatever chance says: everybody who is not out, once", () => {
    const box = fc.record({
      host: fc.record({
        weight: fc.double({ min: 1e-300, max: 1e300, noNaN: true }),
        backup: fc.boolean(),
        cost: fc.record({ perHour: fc.constantFrom(1, 2) }),
      }),
      seen: fc.record({ state: fc.constantFrom("up" as const, "down" as const), inFlight: fc.nat({ max: 5 }) }),
      pair: fc.record({ breaker: fc.constantFrom("closed" as const, "half-open" as const) }),
    });
    const chance = fc.oneof(
      fc.constantFrom(0, 1 - 2 ** -53),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    );
    fc.assert(
      fc.property(
        fc.array(box, { maxLength: 6, minLength: 1 }),
        fc.array(chance, { minLength: 5, maxLength: 5 }),
        fc.constantFrom("weighted" as const, "cheapest" as const),
        fc.option(fc.string(), { nil: null }),
        (some, chances, by, key) => {
          const rows = weighed(
            some.map((one, at) => ({ ...one, id: `h${at}` })),
            by,
          );
          let turn = 0;
          const random = () => chances[turn++ % chances.length] ?? 0;
          const affinity = key === null ? null : { key, nowMs: NOW_MS, loads: new AffinityLoads() };
          const order = orderOf(rows, { random, affinity });
          const inside = rows.filter(({ standing }) => standing !== "out");
          expect(ids(order).sort()).toEqual(ids(inside).sort());
          const places = order.map(({ standing, host }) => Number(standing === "full") * 2 + Number(host.backup));
          expect(places).toEqual([...places].sort());
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe("what is warm", () => {
  const boxes: Box[] = [{ id: "a" }, { id: "b" }, { id: "c" }];
  const firstOf = (rows: readonly Weighed[], key: string, random: () => number, loads = new AffinityLoads()) =>
    ids(orderOf(rows, { random, affinity: { key, nowMs: NOW_MS, loads } }))[0];

  test("comes first, whatever is drawn; the rest is drawn", () => {
    const random = seeded(1);
    const rows = weighed(boxes);
    const firsts = new Set(Array.from({ length: 50 }, () => firstOf(rows, "key", random)));
    expect(firsts.size).toBe(1);
    const affinity = { key: "key", nowMs: NOW_MS, loads: new AffinityLoads() };
    const seconds = new Set(Array.from({ length: 50 }, () => ids(orderOf(rows, { random, affinity }))[1]));
    expect(seconds.size).toBe(2);
  });

  test("is never a host without a share", () => {
    const rows = weighed([{ id: "a", host: cost(1) }, { id: "b", host: cost(2) }, { id: "c" }], "cheapest");
    for (let at = 0; at < 50; at++) expect(firstOf(rows, `key ${at}`, Math.random)).toBe("a");
  });

  test("leaves a host on trial its share, and no more", () => {
    const rows = weighed([{ id: "a", pair: { breaker: "half-open" } }, { id: "b" }, { id: "c" }]);
    const random = seeded(3);
    const share = rows[0]?.share ?? 0;
    const firsts = Array.from({ length: 5_000 }, (_, at) => firstOf(rows, `key ${at}`, random));
    expect(Math.abs(firsts.filter((id) => id === "a").length / 5_000 - share)).toBeLessThan(0.01);
  });

  test("gives way to the draw when it has enough to do", () => {
    const loads = new AffinityLoads();
    const rows = weighed(boxes);
    const [candidate] = candidatesOf(boxes).filter(({ host }) => host.id === firstOf(rows, "key", Math.random));
    if (candidate === undefined) throw new Error("one of them is warm");
    for (let at = 0; at < 20; at++) loads.started(candidate, rows, NOW_MS);
    expect(firstOf(rows, "key", Math.random, loads)).not.toBe(candidate.host.id);
  });
});
