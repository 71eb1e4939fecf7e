// What counts and what does not: only between the window's edges; and a sample that stays small without becoming wrong.
import { describe, expect, test } from "vitest";
import type { Job } from "#scripts/bench/load/job.ts";
import { nowUs } from "#scripts/bench/load/now.ts";
import { Sample } from "#scripts/bench/load/spread.ts";
import { type StreamSeen, Window } from "#scripts/bench/load/window.ts";

const JOB: Job = {
  target: { url: "http://127.0.0.1:1/", headers: [{}], groups: [] },
  stream: true,
  connections: 1,
  ratePerS: null,
  answer: { tokens: 3, firstMs: 0, gapMs: 5 },
  warmUpMs: 0,
  forMs: 0,
};
const stream = (): StreamSeen => ({ lastUs: null, stalled: false });

test("the warm-up counts for nothing, and neither does what comes after", () => {
  const window = new Window(JOB);
  const noted = () => {
    window.answered();
    window.failed("cut");
    window.latency(nowUs());
    window.tokens(stream(), [nowUs()]);
    window.ended({ lastUs: nowUs(), stalled: false });
  };
  noted();
  window.open();
  noted();
  const seen = window.close();
  noted();
  expect(seen).toMatchObject({ requests: 1, failed: 1, failure: "cut", events: 1, streams: 1, stallFree: 1, cpuUs: 0 });
  expect(() => window.close()).toThrow("never opened");
});

test("of failures the first is told", () => {
  const window = new Window(JOB);
  window.open();
  for (const how of ["503 full", "500 worse"]) window.failed(how);
  expect(window.close()).toMatchObject({ failed: 2, failure: "503 full" });
});

test("delay is from the stamp to the arrival, jitter how far two arrivals are from the engine's gap", () => {
  let nowUs = 0;
  const window = new Window(JOB, () => nowUs);
  window.open();
  const one = stream();
  nowUs = 1_000_300;
  window.tokens(one, [1_000_000]);
  nowUs = 1_006_300;
  window.tokens(one, [1_005_900]);
  window.ended(one);
  expect(window.close()).toMatchObject({
    delayUs: { p50: 300, p99: 400 },
    jitterUs: { p50: 1_000, p99: 1_000 },
    events: 2,
  });
});

test.each([
  { name: "just in time", delayUs: 99_999, stallFree: 1, streams: 1 },
  { name: "late by 100 ms", delayUs: 100_000, stallFree: 0, streams: 1 },
])("a stream with a token $name", ({ delayUs, stallFree, streams }) => {
  const window = new Window(JOB, () => 1_000_000);
  window.open();
  const one = stream();
  window.tokens(one, [1_000_000 - delayUs]);
  window.ended(one);
  // One that had no token in the window says nothing of stalls.
  window.ended(stream());
  expect(window.close()).toMatchObject({ streams, stallFree });
});

describe("a sample", () => {
  test("of nothing", () => expect(new Sample().spread).toEqual({ p50: null, p99: null }));
  test("of few is exact", () => {
    const sample = new Sample();
    for (let value = 1; value <= 100; value++) sample.add(value);
    expect(sample.spread).toEqual({ p50: 50, p99: 99 });
  });
  test("of more than is kept is close, from its beginning to its end", () => {
    const sample = new Sample();
    for (let value = 1; value <= 300_000; value++) sample.add(value);
    const { p50, p99 } = sample.spread;
    expect(p50).toBeGreaterThan(149_000);
    expect(p50).toBeLessThan(151_000);
    expect(p99).toBeGreaterThan(296_000);
  });
});
