import { describe, expect, test } from "vitest";
import type { Catalog, Model } from "#src/catalog/schema.ts";
import { candidatesOf } from "#src/fleet/variants.ts";
import { HOST, valid } from "#test/catalog/catalog-of.ts";

const HOSTS = [
  HOST,
  { ...HOST, id: "b" },
  { ...HOST, id: "c", location: "cloud" },
  { ...HOST, id: "d", engine: "openai" },
];

type Entry = { host: string; as: string; split?: number; enabled?: boolean };

function served(...entries: Entry[]): { catalog: Catalog; model: Model } {
  const catalog = valid({ hosts: HOSTS, models: [{ id: "m", served: entries }] });
  const [model] = catalog.models;
  if (model === undefined) throw new Error("a catalog of one model");
  return { catalog, model };
}

const named = (candidates: readonly { host: { id: string }; served: { as: string } }[]) =>
  candidates.map(({ host, served }) => `${host.id}:${served.as}`);

const ACCOUNTS = Array.from({ length: 10_000 }, (_, at) => `https://id.example.test|user-${at}`);

/** The variant that each of the accounts belongs to. */
function assigned({ catalog, model }: { catalog: Catalog; model: Model }): (string | undefined)[] {
  return ACCOUNTS.map((account) => candidatesOf(catalog, model, account, false).first[0]?.served.as);
}

describe("without variants", () => {
  test.each<{ name: string; entries: Entry[]; onlyOnPrem: boolean; first: string[] }>([
    {
      name: "every host, in the catalog's order",
      entries: [
        { host: "b", as: "m" },
        { host: "gpu", as: "n" },
        { host: "d", as: "o" },
      ],
      onlyOnPrem: false,
      first: ["b:m", "gpu:n", "d:o"],
    },
    {
      name: "none that is switched off",
      entries: [
        { host: "gpu", as: "m", enabled: false },
        { host: "b", as: "m" },
      ],
      onlyOnPrem: false,
      first: ["b:m"],
    },
    {
      name: "none in the cloud, for what stays on the premises",
      entries: [
        { host: "c", as: "m" },
        { host: "d", as: "m" },
        { host: "gpu", as: "m" },
      ],
      onlyOnPrem: true,
      first: ["gpu:m"],
    },
    { name: "nobody rather than the cloud", entries: [{ host: "d", as: "m" }], onlyOnPrem: true, first: [] },
    {
      name: "nobody where all is off",
      entries: [{ host: "gpu", as: "m", enabled: false }],
      onlyOnPrem: false,
      first: [],
    },
  ])("$name", ({ entries, onlyOnPrem, first }) => {
    const { catalog, model } = served(...entries);
    const found = candidatesOf(catalog, model, "anyone", onlyOnPrem);
    expect({ first: named(found.first), fallback: found.fallback }).toEqual({ first, fallback: [] });
  });

  test("a host that the catalog does not have is passed over", () => {
    const { catalog, model } = served({ host: "gpu", as: "m" }, { host: "b", as: "m" });
    const without = { hosts: catalog.hosts.filter(({ id }) => id !== "gpu") };
    expect(named(candidatesOf(without, model, "anyone", false).first)).toEqual(["b:m"]);
  });
});

describe("with variants", () => {
  test("a caller's own first, the others behind it", () => {
    const { catalog, model } = served(
      { host: "gpu", as: "old", split: 45 },
      { host: "b", as: "old", split: 45 },
      { host: "b", as: "new", split: 10 },
    );
    for (const account of ACCOUNTS.slice(0, 100)) {
      const found = candidatesOf(catalog, model, account, false);
      const [first, fallback] = [named(found.first), named(found.fallback)];
      expect([first, fallback]).toEqual(
        first.length === 2 ? [["gpu:old", "b:old"], ["b:new"]] : [["b:new"], ["gpu:old", "b:old"]],
      );
      expect(candidatesOf(catalog, model, account, false)).toEqual(found);
    }
  });

  test.each([
    { splits: { a: 50, b: 50 } },
    { splits: { a: 99, b: 1 } },
    { splits: { a: 0.9, b: 0.1 } },
    { splits: { a: 5, b: 3, c: 2 } },
    { splits: { "org/model-v1": 40, "org/model-v2": 30, "org/model-v3": 20, "org/model-v4": 10 } },
  ])("callers are spread as $splits, within 2 points", ({ splits }) => {
    const variants = Object.entries(splits);
    const of = assigned(served(...variants.map(([as, split]) => ({ host: "gpu", as, split }))));
    const total = variants.reduce((sum, [, split]) => sum + split, 0);
    for (const [as, split] of variants) {
      const share = of.filter((one) => one === as).length / of.length;
      expect(Math.abs(share - split / total), as).toBeLessThan(0.02);
    }
  });

  test("a split that grows takes its callers from the others, and moves nobody else", () => {
    const at = (c: number) =>
      assigned(
        served(
          { host: "gpu", as: "a", split: 50 },
          { host: "gpu", as: "b", split: 30 },
          { host: "gpu", as: "c", split: c },
        ),
      );
    const [before, after] = [at(20), at(40)];
    const moved = before.flatMap((as, index) => (as === after[index] ? [] : [after[index]]));
    expect(new Set(moved)).toEqual(new Set(["c"]));
    // From a fifth of all to a third.
    expect(Math.abs(moved.length / before.length - (40 / 120 - 20 / 100))).toBeLessThan(0.02);
  });

  test("another model has other callers in its variant", () => {
    const { catalog, model } = served({ host: "gpu", as: "a", split: 1 }, { host: "b", as: "b", split: 1 });
    const first = (id: string, account: string) =>
      named(candidatesOf(catalog, { ...model, id }, account, false).first)[0];
    const same = ACCOUNTS.filter((account) => first("m", account) === first("n", account)).length;
    expect(Math.abs(same / ACCOUNTS.length - 0.5)).toBeLessThan(0.02);
  });

  test("one that has no split yet is given nobody, not even as a fallback", () => {
    const { catalog, model } = served({ host: "gpu", as: "old", split: 1 }, { host: "b", as: "new", split: 0 });
    for (const account of ACCOUNTS.slice(0, 100)) {
      const found = candidatesOf(catalog, model, account, false);
      expect([named(found.first), found.fallback]).toEqual([["gpu:old"], []]);
    }
  });

  test("one that is switched off gives its callers to the others, who keep theirs", () => {
    const at = (enabled: boolean) =>
      assigned(
        served(
          { host: "gpu", as: "a", split: 1 },
          { host: "gpu", as: "b", split: 1 },
          { host: "b", as: "c", split: 1, enabled },
        ),
      );
    const [on, off] = [at(true), at(false)];
    expect(off).not.toContain("c");
    expect(on.filter((as, index) => as !== "c" && as !== off[index])).toEqual([]);
  });

  test("a host of a variant that is switched off moves no caller", () => {
    const at = (enabled: boolean) =>
      assigned(
        served(
          { host: "gpu", as: "a", split: 30 },
          { host: "b", as: "a", split: 30, enabled },
          { host: "c", as: "b", split: 40 },
        ),
      );
    expect(at(false)).toEqual(at(true));
  });

  test("what stays on the premises is answered by a variant that is there", () => {
    const { catalog, model } = served({ host: "gpu", as: "home", split: 1 }, { host: "d", as: "away", split: 99 });
    for (const account of ACCOUNTS.slice(0, 100)) {
      const found = candidatesOf(catalog, model, account, true);
      expect([named(found.first), found.fallback]).toEqual([["gpu:home"], []]);
    }
  });
});
