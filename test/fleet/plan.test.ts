import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Catalog, type Model, parseCatalog } from "#src/catalog/schema.ts";
import type { HostState } from "#src/fleet/health.ts";
import { plan } from "#src/fleet/plan.ts";

type Box = { readonly id: string; readonly weight?: number; readonly backup?: boolean };

/** A catalog of these hosts, one model on all of them, and one on none of them but `elsewhere`. */
function fleetOf(boxes: readonly Box[]): { catalog: Catalog; model: Model } {
  const parsed = parseCatalog({
    hosts: [...boxes, { id: "elsewhere" }].map((box) => ({
      engine: "vllm",
      reach: { via: "direct", url: `http://${box.id}.internal` },
      ...box,
    })),
    models: [
      { id: "m", served: boxes.map(({ id }) => ({ host: id, as: `m-on-${id}` })) },
      { id: "other", served: [{ host: "elsewhere", as: "other" }] },
    ],
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  const [model] = parsed.catalog.models;
  if (model === undefined) throw new Error("a catalog has a model");
  return { catalog: parsed.catalog, model };
}

/** A generator of chance that says the same every time (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const order = (boxes: readonly Box[], states: Record<string, HostState>, random: () => number): string[] => {
  const { catalog, model } = fleetOf(boxes);
  return plan(catalog, model, states, random).map(({ host }) => host.id);
};

describe("who may be asked", () => {
  const boxes = [{ id: "a" }, { id: "b" }, { id: "spare", backup: true }];
  test.each<{ name: string; states: Record<string, HostState>; order: string[] }>([
    { name: "all up: backups last", states: { a: "up", b: "up", spare: "up" }, order: ["a", "b", "spare"] },
    { name: "none probed yet: all are tried", states: {}, order: ["a", "b", "spare"] },
    { name: "one down", states: { a: "down", b: "up", spare: "up" }, order: ["b", "spare"] },
    { name: "one loading", states: { a: "loading", b: "up", spare: "up" }, order: ["b", "spare"] },
    { name: "only the backup", states: { a: "down", b: "loading", spare: "up" }, order: ["spare"] },
    { name: "the backup down", states: { spare: "down" }, order: ["a", "b"] },
    { name: "none", states: { a: "down", b: "down", spare: "loading" }, order: [] },
  ])("$name", ({ states, order: expected }) => {
    expect(order(boxes, states, () => 0)).toEqual(expected);
  });

  test("each comes with the model's name there, and no host of another model comes", () => {
    const { catalog, model } = fleetOf(boxes);
    const candidates = plan(catalog, model, {}, Math.random);
    for (const { host, served } of candidates) expect(served.as).toBe(`m-on-${host.id}`);
    expect(candidates.map(({ host }) => host.id)).not.toContain("elsewhere");
  });
});

describe("the draw", () => {
  const DRAWS = 10_000;

  test.each([
    { name: "equal", weights: [1, 1] },
    { name: "4 to 1", weights: [4, 1] },
    { name: "fractions", weights: [0.5, 0.25, 0.25] },
    { name: "far apart", weights: [97, 2, 1] },
    { name: "many", weights: [1, 2, 3, 4, 5, 6] },
  ])("gives each its share of first places within two points: $name", ({ weights }) => {
    const boxes = weights.map((weight, at) => ({ id: `h${at}`, weight }));
    const { catalog, model } = fleetOf([...boxes, { id: "spare", weight: 1_000, backup: true }]);
    const random = seeded(20_260_101);
    const firsts = new Map<string, number>();
    for (let draw = 0; draw < DRAWS; draw++) {
      const first = plan(catalog, model, {}, random)[0]?.host.id ?? "none";
      firsts.set(first, (firsts.get(first) ?? 0) + 1);
    }
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const { id, weight } of boxes) {
      expect(Math.abs((firsts.get(id) ?? 0) / DRAWS - weight / total)).toBeLessThan(0.02);
    }
    expect(firsts.get("spare")).toBeUndefined();
  });

  test("second places too: among those left", () => {
    const { catalog, model } = fleetOf([
      { id: "a", weight: 2 },
      { id: "b", weight: 3 },
      { id: "c", weight: 1 },
    ]);
    const random = seeded(7);
    let [afterA, bAfterA] = [0, 0];
    for (let draw = 0; draw < DRAWS; draw++) {
      const [first, second] = plan(catalog, model, {}, random);
      if (first?.host.id !== "a") continue;
      afterA++;
      if (second?.host.id === "b") bAfterA++;
    }
    expect(Math.abs(bAfterA / afterA - 0.75)).toBeLessThan(0.03);
  });

  test("whatever chance says: every able host once, primaries before backups", () => {
    const box = fc.record({ weight: fc.double({ min: 0.001, max: 1_000, noNaN: true }), backup: fc.boolean() });
    const chance = fc.oneof(
      fc.constantFrom(0, 1 - 2 ** -53, 0.5),
      fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    );
    fc.assert(
      fc.property(
        fc.array(box, { minLength: 1, maxLength: 6 }),
        fc.array(chance, { minLength: 12, maxLength: 12 }),
        (some, chances) => {
          const boxes = some.map((one, at) => ({ ...one, id: `h${at}` }));
          let turn = 0;
          const drawn = order(boxes, {}, () => chances[turn++ % chances.length] ?? 0);
          expect([...drawn].sort()).toEqual(boxes.map(({ id }) => id).sort());
          const backups = drawn.map((id) => boxes.find((one) => one.id === id)?.backup);
          expect(backups).toEqual([...backups].sort());
        },
      ),
      { numRuns: 500 },
    );
  });
});
