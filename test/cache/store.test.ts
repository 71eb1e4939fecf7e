import { env } from "cloudflare:workers";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { type CachedAnswer, isWorthKeeping, keep, lookUp } from "#src/cache/store.ts";

type ReadKv = Parameters<typeof lookUp>[0];
type WriteKv = Parameters<typeof keep>[0];

const ANSWER: CachedAnswer = { v: 1, scope: "i|u", body: { choices: [{ text: "hi" }] }, totalTokens: 18 };
const readingFrom = (get: () => unknown): ReadKv => ({ get }) as unknown as ReadKv;

beforeEach(() => {
  vi.spyOn(console, "error").mockReturnValue();
  return () => {
    vi.restoreAllMocks();
  };
});

test("what is kept in KV is found by its own scope", async () => {
  await keep(env.KV, "cache:1", ANSWER, 60);
  expect(await lookUp(env.KV, "cache:1", "i|u")).toEqual(ANSWER);
  const { keys } = await env.KV.list({ prefix: "cache:1" });
  expect(keys[0]?.expiration).toBeGreaterThan(Date.now() / 1000);
});

test("an answer that is shared by all has no scope", async () => {
  await keep(env.KV, "cache:2", { ...ANSWER, scope: null }, 60);
  expect(await lookUp(env.KV, "cache:2", null)).toMatchObject({ scope: null });
  expect(await lookUp(env.KV, "cache:2", "i|u")).toBeNull();
});

describe("a miss", () => {
  test.each<{ name: string; get: () => unknown; scope?: string | null }>([
    { name: "nothing there", get: () => Promise.resolve(null) },
    { name: "KV rejects", get: () => Promise.reject(new Error("KV is down")) },
    {
      name: "KV throws",
      get: () => {
        throw new Error("KV is down");
      },
    },
    { name: "KV hangs", get: () => new Promise(() => undefined) },
    { name: "another caller's", get: () => Promise.resolve({ ...ANSWER, scope: "i|other" }) },
    { name: "everybody's, where only one's own is asked for", get: () => Promise.resolve({ ...ANSWER, scope: null }) },
    { name: "one caller's, where everybody's is asked for", get: () => Promise.resolve(ANSWER), scope: null },
    { name: "of a later version", get: () => Promise.resolve({ ...ANSWER, v: 2 }) },
    { name: "without a scope", get: () => Promise.resolve({ ...ANSWER, scope: undefined }) },
    { name: "of another shape", get: () => Promise.resolve("hi") },
  ])("$name", async ({ get, scope = "i|u" }) => {
    expect(await lookUp(readingFrom(get), "cache:3", scope)).toBeNull();
  });

  test("a read waits 250 ms at most", async () => {
    const waited = vi.spyOn(scheduler, "wait");
    await lookUp(
      readingFrom(() => new Promise(() => undefined)),
      "cache:3",
      "i|u",
    );
    // By their signals told apart: what others have left waiting in this runtime.
    expect(waited.mock.calls.filter((call) => call.length === 1)).toEqual([[250]]);
  });
});

describe("keeping never rejects", () => {
  test.each<{ name: string; put: () => Promise<void> }>([
    { name: "KV rejects", put: () => Promise.reject(new Error("KV is down")) },
    {
      name: "KV throws",
      put: () => {
        throw new Error("KV is down");
      },
    },
  ])("$name", async ({ put }) => {
    await expect(keep({ put } as unknown as WriteKv, "cache:4", ANSWER, 60)).resolves.toBeUndefined();
  });
});

test("a large answer is not kept", async () => {
  const put = vi.fn<() => Promise<void>>(() => Promise.resolve());
  const large = { ...ANSWER, body: { text: "x".repeat(256 * 1024) } };
  await keep({ put } as unknown as WriteKv, "cache:5", large, 60);
  expect(put).not.toHaveBeenCalled();
});

describe("worth keeping", () => {
  const stopped = { finish_reason: "stop", message: { content: "hi" } };
  test.each<{ name: string; answer: Record<string, unknown>; worth: boolean }>([
    { name: "a whole answer", answer: { choices: [stopped] }, worth: true },
    { name: "a whole completion", answer: { choices: [{ finish_reason: "stop", text: "hi" }] }, worth: true },
    {
      name: "an empty list of tool calls",
      answer: { choices: [{ ...stopped, message: { tool_calls: [] } }] },
      worth: true,
    },
    { name: "embeddings", answer: { object: "list", data: [{ embedding: [0] }] }, worth: true },
    { name: "cut at the length", answer: { choices: [{ ...stopped, finish_reason: "length" }] }, worth: false },
    { name: "filtered", answer: { choices: [{ ...stopped, finish_reason: "content_filter" }] }, worth: false },
    { name: "not ended", answer: { choices: [{ ...stopped, finish_reason: null }] }, worth: false },
    { name: "one of two cut", answer: { choices: [stopped, { ...stopped, finish_reason: "length" }] }, worth: false },
    { name: "a tool call", answer: { choices: [{ ...stopped, message: { tool_calls: [{}] } }] }, worth: false },
    { name: "no choices", answer: { choices: [] }, worth: false },
    { name: "an error with 200", answer: { error: { message: "x" } }, worth: false },
    { name: "no embeddings", answer: { object: "list", data: [] }, worth: false },
    { name: "a choice of null", answer: { choices: [null] }, worth: false },
    { name: "a message of null", answer: { choices: [{ ...stopped, message: null }] }, worth: true },
    { name: "choices as text", answer: { choices: "stop" }, worth: false },
  ])("$name: $worth", ({ answer, worth }) => {
    expect(isWorthKeeping(answer)).toBe(worth);
  });
});
