import { describe, expect, test } from "vitest";
import { type Standing, standingOf } from "#src/fleet/standing.ts";
import { type Box, candidatesOf, NOW_MS, nameOn, viewOf } from "./boxes.ts";

function standing(box: Omit<Box, "id">): Standing {
  const boxes = [{ id: "a", ...box }];
  const [candidate] = candidatesOf(boxes);
  if (candidate === undefined) throw new Error("one was given");
  return standingOf(candidate, viewOf(boxes), NOW_MS);
}

describe("whether a host may be given work, and why", () => {
  test.each<{ name: string; box: Omit<Box, "id">; is: Standing["standing"]; why: string }>([
    { name: "unseen", box: {}, is: "able", why: "not probed yet, 0 of 4 in flight" },
    { name: "up", box: { seen: { inFlight: 1 } }, is: "able", why: "up, 1 of 4 in flight" },
    { name: "down", box: { seen: { state: "down" } }, is: "out", why: "down" },
    { name: "loading", box: { seen: { state: "loading" } }, is: "out", why: "loading" },
    { name: "draining", box: { seen: { draining: true } }, is: "out", why: "draining" },
    {
      name: "the name is missing",
      box: { seen: { missing: ["other", nameOn("a")] } },
      is: "able",
      why: "does not serve m-on-a, up, 0 of 4 in flight",
    },
    {
      name: "another name is missing",
      box: { seen: { missing: ["other"] } },
      is: "able",
      why: "up, 0 of 4 in flight",
    },
    { name: "open", box: { pair: { breaker: "open", openUntilMs: NOW_MS + 1 } }, is: "out", why: "breaker open" },
    {
      name: "open, and its time is over",
      box: { pair: { breaker: "open", openUntilMs: NOW_MS } },
      is: "able",
      why: "not probed yet, 0 of 4 in flight, breaker half open: trial calls",
    },
    {
      name: "half open",
      box: { seen: {}, pair: { breaker: "half-open" } },
      is: "able",
      why: "up, 0 of 4 in flight, breaker half open: trial calls",
    },
    { name: "full", box: { seen: { inFlight: 4 } }, is: "full", why: "up, full, 4 of 4 in flight" },
    {
      name: "overcommitted",
      box: { host: { overcommit: 1.5 }, seen: { inFlight: 5 } },
      is: "able",
      why: "up, 5 of 6 in flight",
    },
    {
      name: "the engine is busy with others: that figure may be old",
      box: { seen: { inFlight: 1, running: 4, waiting: 2 } },
      is: "able",
      why: "up, 1 of 4 in flight, 2 waiting in the engine",
    },
    {
      name: "busy by its own word",
      box: { seen: { busyUntilMs: NOW_MS + 1_001 } },
      is: "able",
      why: "up, 0 of 4 in flight, busy for 2 s",
    },
    { name: "no longer", box: { seen: { busyUntilMs: NOW_MS } }, is: "able", why: "up, 0 of 4 in flight" },
  ])("$name: $is", ({ box, is, why }) => {
    expect(standing(box)).toMatchObject({ standing: is, why });
  });
});

describe("how gladly it takes some", () => {
  test.each<{ name: string; seen: NonNullable<Box["seen"]>; pressure: number; room: number }>([
    { name: "nothing known", seen: {}, pressure: 1, room: 4 },
    { name: "half full", seen: { inFlight: 2 }, pressure: 1, room: 2 },
    { name: "three quarters", seen: { inFlight: 3 }, pressure: 0.55, room: 1 },
    { name: "full", seen: { inFlight: 4 }, pressure: 0.1, room: 0.1 },
    { name: "others use it too", seen: { inFlight: 1, running: 3 }, pressure: 0.55, room: 1 },
    { name: "its own figure is the older one", seen: { inFlight: 3, running: 0 }, pressure: 0.55, room: 1 },
    { name: "three wait inside", seen: { waiting: 3 }, pressure: 0.46, room: 1 },
    { name: "saturated: five wait", seen: { waiting: 5 }, pressure: 0.1, room: 0.1 },
    { name: "hundreds wait", seen: { waiting: 500 }, pressure: 0.1, room: 0.1 },
    { name: "its cache is well used", seen: { kvUsage: 0.8 }, pressure: 1, room: 4 },
    { name: "its cache is nearly used up", seen: { kvUsage: 0.9 }, pressure: 0.55, room: 4 },
    { name: "used up", seen: { kvUsage: 1 }, pressure: 0.1, room: 4 },
    { name: "the worst of all decides", seen: { inFlight: 3, waiting: 1, kvUsage: 1 }, pressure: 0.1, room: 0.1 },
  ])("$name", ({ seen, pressure, room }) => {
    const found = standing({ seen });
    expect(found.pressure).toBeCloseTo(pressure, 9);
    expect(found.room).toBeCloseTo(room, 9);
  });

  test("at its ease, for trial calls, or hardly at all", () => {
    const trial: Box["pair"] = { breaker: "half-open" };
    const busy: Box["seen"] = { busyUntilMs: NOW_MS + 1 };
    const eases = [{}, { pair: trial }, { seen: busy }, { seen: busy, pair: trial }].map((box) => standing(box).ease);
    expect(eases).toEqual([1, 0.1, 0.01, 0.01]);
  });
});
