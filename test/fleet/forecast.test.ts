import { describe, expect, test } from "vitest";
import { Forecast, standingBoundMs, waitMs } from "#src/fleet/forecast.ts";
import type { Pair } from "#src/fleet/pair.ts";

const pair = (host: string, capacity: number): Pair => ({ host, servedAs: "m", capacity });

describe("what hosts serve", () => {
  test("is not known before anything has ended", () => {
    expect(new Forecast().servedPerMs([pair("a", 4)])).toBeNull();
  });

  test("is their slots by the time that one is held; hosts that nobody knows add nothing", () => {
    const forecast = new Forecast();
    forecast.released("a", { value: 2_000, count: 1 });
    forecast.released("b", { value: 1_000, count: 1 });
    expect(forecast.servedPerMs([pair("a", 4)])).toBeCloseTo(0.002);
    expect(forecast.servedPerMs([pair("a", 4), pair("b", 1), pair("c", 9)])).toBeCloseTo(0.003);
  });

  test("follows: a tenth new", () => {
    const forecast = new Forecast();
    forecast.released("a", { value: 1_000, count: 1 });
    forecast.released("a", { value: 2_000, count: 1 });
    expect(forecast.servedPerMs([pair("a", 1)])).toBeCloseTo(1 / 1_100);
  });

  test("follows as far for many at once as for as many one by one", () => {
    const [atOnce, byOne] = [new Forecast(), new Forecast()];
    for (const forecast of [atOnce, byOne]) forecast.released("a", { value: 9_000, count: 1 });
    atOnce.released("a", { value: 100, count: 30 });
    atOnce.released("a", { value: 0, count: 0 });
    for (let call = 0; call < 30; call++) byOne.released("a", { value: 100, count: 1 });
    expect(atOnce.servedPerMs([pair("a", 1)])).toBeCloseTo(byOne.servedPerMs([pair("a", 1)]) ?? 0);
    expect(atOnce.servedPerMs([pair("a", 1)])).toBeGreaterThan(1 / 500);
  });

  test("of a slot that was held for no time at all is a number all the same", () => {
    const forecast = new Forecast();
    forecast.released("a", { value: 0, count: 1 });
    expect(forecast.servedPerMs([pair("a", 4)])).toBe(4);
  });
});

test.each([
  { ahead: 0, servedPerMs: 0.01, ms: 100 },
  { ahead: 9, servedPerMs: 0.01, ms: 1_000 },
  { ahead: 9, servedPerMs: null, ms: 0 },
])("behind $ahead, at $servedPerMs a ms: $ms ms", ({ ahead, servedPerMs, ms }) => {
  expect(waitMs(ahead, servedPerMs)).toBeCloseTo(ms);
});

describe("how long a line may stand", () => {
  test("is less than half the time to a first token, on many slots", () => {
    const boundMs = standingBoundMs(600, [pair("a", 8), pair("b", 8)], 0.001);
    expect(boundMs).toBeGreaterThan(0);
    expect(boundMs).toBeLessThanOrEqual(300);
    expect(standingBoundMs(1_200, [pair("a", 16)], 0.001)).toBeCloseTo(2 * boundMs);
  });

  test("is a place at least, on few", () => {
    expect(standingBoundMs(600, [pair("a", 1)], 0.0001)).toBeCloseTo(10_000);
  });

  test("is something where nobody knows the host", () => {
    expect(standingBoundMs(null, [pair("a", 16)], null)).toBeGreaterThan(0);
  });
});
