import { describe, expect, test, vi } from "vitest";
import { openAiError, Problem } from "#src/problem.ts";
import { lateAnswer } from "#src/upstream/late-answer.ts";
import { textOf } from "#test/sse/chunking.ts";

const BEAT_MS = 5;

function play(answering?: Promise<string>) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const seen = { hungUp: 0 };
  const body = lateAnswer(answering ?? promise, () => seen.hungUp++, BEAT_MS, openAiError);
  const reader = body.getReader();
  const read = async (): Promise<string | null> => {
    const { done, value } = await reader.read();
    return done ? null : textOf(value);
  };
  const rest = async (): Promise<{ text: string; broken: unknown }> => {
    let text = "";
    try {
      for (let piece = await read(); piece !== null; piece = await read()) text += piece;
      return { text, broken: null };
    } catch (broken) {
      return { text, broken };
    }
  };
  return { reader, read, rest, resolve, reject, seen };
}

test("white space while it lasts, then the answer: one JSON document", async () => {
  const { read, rest, resolve, seen } = play();
  expect([await read(), await read()]).toEqual([" ", " "]);
  resolve('{"a":"é"}');
  const { text, broken } = await rest();
  expect(text).toMatch(/^ *\{"a":"é"\}$/);
  expect(broken).toBeNull();
  expect(seen.hungUp).toBe(0);
});

test("nothing piles up for a caller who does not read", async () => {
  const { read, rest, resolve } = play();
  await read();
  await scheduler.wait(20 * BEAT_MS);
  resolve("{}");
  expect(["{}", " {}"]).toContain((await rest()).text);
});

test("no timer is left behind", async () => {
  vi.useFakeTimers();
  try {
    const came = play(Promise.resolve("{}"));
    const left = play();
    expect(vi.getTimerCount()).toBe(2);
    await came.rest();
    await left.reader.cancel();
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

describe("an answer that fails after all", () => {
  test.each([
    { name: "a Problem", thrown: new Problem("host_busy"), code: "host_busy" },
    { name: "anything else", thrown: new TypeError("x"), code: "internal_error" },
  ])("is told as a document, and the connection breaks: $name", async ({ thrown, code }) => {
    const { rest, reject } = play();
    reject(thrown);
    const { text, broken } = await rest();
    expect(JSON.parse(text)).toMatchObject({ error: { code } });
    expect(broken).toBe(thrown);
  });
});

describe("a caller who leaves", () => {
  test.each([
    { name: "before anyone read, and the answer fails", reads: false, fails: true },
    { name: "before anyone read, and the answer comes", reads: false, fails: false },
    { name: "while someone reads, and the answer fails", reads: true, fails: true },
    { name: "while someone reads, and the answer comes", reads: true, fails: false },
  ])("$name: the host is hung up on once", async ({ reads, fails }) => {
    const { read, reader, seen, resolve, reject } = play();
    if (reads) await read();
    await reader.cancel();
    if (fails) reject(new Problem("upstream_error"));
    else resolve("{}");
    await scheduler.wait(4 * BEAT_MS);
    expect(seen.hungUp).toBe(1);
  });
});
