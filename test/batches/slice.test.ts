import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Answered } from "#src/batches/result-line.ts";
import { type HandedOut, lanesFor, type Ports, runSlice } from "#src/batches/slice.ts";

const DONE: Answered = { outcome: { kind: "completed" }, status: 200, body: "{}" };
const principal = { accountId: "a", userId: "u", tenant: null, tier: "default", roles: [], scopes: [], keyId: null };

const lineOf = (line: number): HandedOut => {
  const rest = {
    endpoint: "/v1/chat/completions",
    principal,
    startedAtMs: 0,
    body: "{}",
    signedBy: null,
    residency: null,
  } as const;
  return { batch: "b", line, requestId: `r${line}`, ...rest };
};

/** Ports to a batch of so many lines, and what was said there. */
function world(total: number, changed: Partial<Ports> = {}) {
  const said: string[] = [];
  const seen = { atOnce: 0, most: 0, claimed: 0 };
  const ports: Ports = {
    claim: async () => (seen.claimed < total ? lineOf(++seen.claimed) : null),
    renew: async () => true,
    run: async () => {
      seen.most = Math.max(seen.most, ++seen.atOnce);
      await scheduler.wait(1);
      seen.atOnce -= 1;
      return DONE;
    },
    report: async ({ line }, { status }) => void said.push(`${line} ${status}`),
    rest: async (hasMore) => void said.push(hasMore ? "more" : "rest"),
    now: () => 0,
    ...changed,
  };
  return { ports, said, seen };
}

beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("runs every line, a few at once, and says that it stops", async () => {
  const { ports, said, seen } = world(9);
  await runSlice(ports, 3);
  expect(said.slice(0, -1).sort()).toEqual(Array.from({ length: 9 }, (_, at) => `${at + 1} 200`));
  expect([said.at(-1), seen.most]).toEqual(["rest", 3]);
});

test("lines that are quick leave the rest to somebody else: one invocation may call so often and no more", async () => {
  const { ports, said, seen } = world(1_000, { run: async () => DONE });
  await runSlice(ports, 5);
  expect(seen.claimed).toBeLessThanOrEqual(500);
  expect(said.filter((what) => what === "more" || what === "rest")).toEqual(["more"]);
});

test.each([1, 2, 3, 4, 5])("of %i batches no more lines run at once than may wait for their answers", (batches) => {
  expect(lanesFor(batches)).toBeGreaterThanOrEqual(1);
  expect(batches * lanesFor(batches)).toBeLessThan(6);
});

test("calls somebody else when its time is up, before a slow line has ended", async () => {
  let nowMs = 0;
  const slow = Promise.withResolvers<Answered>();
  const { ports, said } = world(99, {
    now: () => (nowMs += 1_000),
    run: ({ line }) => (line === 1 ? slow.promise : Promise.resolve(DONE)),
  });
  const running = runSlice(ports, 2);
  await vi.waitFor(() => expect(said).toContain("more"));
  expect(said).not.toContain("1 200");
  slow.resolve(DONE);
  await running;
  expect(said.at(-1)).toBe("1 200");
  expect(said.filter((what) => what === "more" || what === "rest")).toEqual(["more"]);
  expect(said.length).toBeLessThan(20);
});

test("says that it lives while a line runs, and lets go of one that is not wanted any more", async () => {
  vi.useFakeTimers();
  const renewed: number[] = [];
  const { ports, said } = world(1, {
    renew: async ({ line }) => {
      renewed.push(line);
      if (renewed.length === 1) throw new Error("Network connection lost.");
      return renewed.length < 3;
    },
    run: (_, signal) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve({ ...DONE, status: 499 }));
      }),
  });
  const running = runSlice(ports, 1);
  await vi.advanceTimersByTimeAsync(29_999);
  expect(renewed).toEqual([1, 1]);
  await vi.advanceTimersByTimeAsync(1);
  vi.useRealTimers();
  await running;
  expect(said).toEqual(["1 499", "rest"]);
});

test.each<{ name: string; changed: Partial<Ports>; said: string[] }>([
  { name: "cannot be claimed from", changed: { claim: () => Promise.reject(new Error("gone")) }, said: ["rest"] },
  { name: "cannot be told of the end", changed: { rest: () => Promise.reject(new Error("gone")) }, said: ["1 200"] },
])("an object that $name is left alone, and nothing is thrown", async ({ changed, said: wanted }) => {
  const { ports, said } = world(1, changed);
  await runSlice(ports, 2);
  expect(said).toEqual(wanted);
});

test("a result that cannot be reported is reported again, three times at most", async () => {
  const tries: number[] = [];
  const { ports } = world(2, {
    report: async ({ line }) => {
      tries.push(line);
      if (line === 2 || tries.filter((one) => one === line).length < 2) throw new Error("gone");
    },
  });
  await runSlice(ports, 2);
  expect(tries.sort()).toEqual([1, 1, 2, 2, 2]);
});
