import { describe, expect, test } from "vitest";
import { drawOf, hash32 } from "#src/fleet/rendezvous.ts";

const KEYS = Array.from({ length: 10_000 }, (_, at) => `user-${at}`);

/** The name that each key has first. */
function firsts(weights: Readonly<Record<string, number>>): string[] {
  return KEYS.map((key) => {
    const draws = Object.entries(weights).map(([name, weight]) => ({ name, draw: drawOf(key, name, weight) }));
    return draws.reduce((best, one) => (one.draw < best.draw ? one : best)).name;
  });
}

describe("the order of names", () => {
  test.each([
    { name: "alike", weights: { a: 1, b: 1, c: 1 } },
    { name: "4 to 1", weights: { a: 4, b: 1 } },
    { name: "far apart", weights: { a: 97, b: 2, c: 1 } },
    { name: "names that differ in one letter", weights: { "gpu-1": 1, "gpu-2": 1, "gpu-3": 1, "gpu-4": 1 } },
  ])("gives each name its part of the keys within two points: $name", ({ weights }) => {
    const given = firsts(weights);
    const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
    for (const [name, weight] of Object.entries(weights)) {
      expect(Math.abs(given.filter((one) => one === name).length / KEYS.length - weight / total)).toBeLessThan(0.02);
    }
  });

  test("a name that goes moves only its own keys", () => {
    const before = firsts({ a: 1, b: 2, c: 1 });
    const after = firsts({ a: 1, b: 2 });
    expect(before.every((name, at) => name === "c" || name === after[at])).toBe(true);
  });

  test("a name that becomes heavier takes keys and gives none", () => {
    const before = firsts({ a: 1, b: 2, c: 1 });
    const after = firsts({ a: 1, b: 4, c: 1 });
    expect(before.every((name, at) => after[at] === "b" || name === after[at])).toBe(true);
  });
});

test("the hash: 32 bits, another one for another basis, few collisions", () => {
  const hashes = KEYS.map((key) => hash32(key));
  expect(hashes.every((bits) => Number.isInteger(bits) && bits >= 0 && bits < 2 ** 32)).toBe(true);
  // Of 10,000 in 2^32 about 0.01 pairs are alike.
  expect(new Set(hashes).size).toBeGreaterThan(KEYS.length - 2);
  expect(hash32("a", 1)).not.toBe(hash32("a"));
});
