import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { startHeartbeat } from "#src/upstream/heartbeat.ts";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** When it wrote within this time, ms since its start. */
function writes(everyMs: number, forMs: number): { atMs: number[]; stop: () => void } {
  const atMs: number[] = [];
  const startedAtMs = Date.now();
  const stop = startHeartbeat(everyMs, () => atMs.push(Date.now() - startedAtMs));
  vi.advanceTimersByTime(forMs);
  return { atMs, stop };
}

test("two writes a beat: the first that a departed caller's side refuses, the second that fails for it", () => {
  expect(writes(2_000, 4_500).atMs).toEqual([2_000, 2_200, 4_000, 4_200]);
});

test.each([
  { name: "before the first beat", everyMs: 2_000, forMs: 1_999 },
  { name: "between the two writes of a beat", everyMs: 2_000, forMs: 2_100 },
  { name: "with beats shorter than the time between the two", everyMs: 50, forMs: 320 },
])("stopped $name it writes no more", ({ everyMs, forMs }) => {
  const { atMs, stop } = writes(everyMs, forMs);
  const before = atMs.length;
  stop();
  vi.advanceTimersByTime(10_000);
  expect(atMs).toHaveLength(before);
});
