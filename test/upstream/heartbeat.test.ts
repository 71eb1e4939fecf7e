import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
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

describe("what is due before the next beat", () => {
  test.each([
    { name: "just before it", dueAtMs: 1_900, atMs: [1_000, 1_200, 1_901, 2_000, 2_200] },
    { name: "between the two writes of a beat", dueAtMs: 1_100, atMs: [1_000, 1_101, 1_200, 2_000, 2_200] },
    { name: "at the beat itself", dueAtMs: 2_000, atMs: [1_000, 1_200, 2_000, 2_001, 2_200] },
    { name: "later", dueAtMs: 9_000, atMs: [1_000, 1_200, 2_000, 2_200] },
  ])("$name: it looks once more", ({ dueAtMs, atMs }) => {
    const startedAtMs = Date.now();
    const seen: number[] = [];
    const nowMs = (): number => Date.now() - startedAtMs;
    const leftMs = (): number => (nowMs() > dueAtMs ? Number.POSITIVE_INFINITY : dueAtMs - nowMs());
    const stop = startHeartbeat(1_000, () => seen.push(nowMs()), leftMs);
    vi.advanceTimersByTime(2_500);
    stop();
    expect(seen).toEqual(atMs);
  });

  test("that moved on meanwhile is looked for again by the beats", () => {
    let dueAtMs = 1_500;
    const startedAtMs = Date.now();
    const leftMs = (): number => dueAtMs - (Date.now() - startedAtMs);
    const stop = startHeartbeat(1_000, () => undefined, leftMs);
    vi.advanceTimersByTime(1_300);
    dueAtMs = 9_000;
    vi.advanceTimersByTime(300);
    // The beat and its second write, which is over: no more than that waits.
    expect(vi.getTimerCount()).toBe(1);
    stop();
  });

  test.each(["by a beat", "by what was due"])("leaves no timer when it is stopped %s", (how) => {
    const startedAtMs = Date.now();
    const write = (): void => {
      if (how === "by a beat" || Date.now() - startedAtMs === 1_501) stop();
    };
    const stop = startHeartbeat(1_000, write, () => startedAtMs + 1_500 - Date.now());
    vi.advanceTimersByTime(1_600);
    expect(vi.getTimerCount()).toBe(0);
  });
});
