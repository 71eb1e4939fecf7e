import { expect, test } from "vitest";
import { within } from "#src/within.ts";

test("what comes in time", async () => {
  expect(await within(1_000, Promise.resolve(7))).toBe(7);
});

test("what fails in time fails as it does", async () => {
  await expect(within(1_000, Promise.reject(new TypeError("no")))).rejects.toThrow(TypeError);
});

test("what never comes is given up", async () => {
  await expect(within(5, new Promise(() => undefined))).rejects.toThrow(/5 ms/);
});
