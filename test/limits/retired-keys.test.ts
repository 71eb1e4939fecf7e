import { describe, expect, test } from "vitest";
import { isRetired, type RetiredKeys, retireKey } from "#src/limits/retired-keys.ts";

const START_MS = 1_790_000_000_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

const retired = retireKey({}, "key_1", START_MS, START_MS);

describe("a retired key", () => {
  test.each<{ name: string; keyId: string | null; wallMs: number; is: boolean }>([
    { name: "at its end", keyId: "key_1", wallMs: START_MS, is: true },
    { name: "before it", keyId: "key_1", wallMs: START_MS - 1, is: false },
    { name: "another key", keyId: "key_2", wallMs: START_MS, is: false },
    { name: "no key", keyId: null, wallMs: START_MS, is: false },
    { name: "a name that every object has", keyId: "constructor", wallMs: START_MS, is: false },
  ])("$name: $is", ({ keyId, wallMs, is }) => {
    expect(isRetired(retired, keyId, wallMs)).toBe(is);
  });

  test.each([
    { name: "put off, keeps its end", fromMs: START_MS + HOUR_MS, endMs: START_MS },
    { name: "brought forward, has the earlier one", fromMs: START_MS - HOUR_MS, endMs: START_MS - HOUR_MS },
  ])("$name", ({ fromMs, endMs }) => {
    expect(retireKey(retired, "key_1", fromMs, START_MS)).toEqual({ key_1: endMs });
  });

  test("is forgotten after thirty days, when another one is retired", () => {
    const at = (wallMs: number) => Object.keys(retireKey(retired, "key_2", wallMs, wallMs));
    expect(at(START_MS + 30 * DAY_MS - 1)).toEqual(["key_1", "key_2"]);
    expect(at(START_MS + 30 * DAY_MS)).toEqual(["key_2"]);
  });

  test("stays one after it was stored as JSON", () => {
    const stored: RetiredKeys = JSON.parse(JSON.stringify(retired));
    expect(isRetired(stored, "key_1", START_MS)).toBe(true);
  });

  test("the record given is not changed", () => {
    const before = structuredClone(retired);
    retireKey(retired, "key_2", START_MS, START_MS + 31 * DAY_MS);
    expect(retired).toEqual(before);
  });
});
