import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Problem } from "#src/problem.ts";
import { MAX_EVENT_BYTES } from "#src/sse.ts";
import { BrokenStream } from "#src/upstream/answer-stream.ts";
import { OpenAiStream } from "#src/upstream/openai-stream.ts";
import { relay } from "#src/upstream/relay.ts";
import type { CarryOn, Source } from "#src/upstream/telling.ts";
import { PLAIN, type Voice } from "#src/upstream/voice.ts";
import type { Deadlines } from "#src/upstream/waiting.ts";
import { cuts, textOf, utf8 } from "#test/sse/chunking.ts";

const BEAT_MS = 5;
const DEADLINES: Deadlines = { betweenTokensMs: 30_000, totalMs: 600_000 };
const PING = ": ping\n\n";
const ROLE = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n';
const FINISH = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
const DONE = `${FINISH}data: [DONE]\n\n`;
const token = (text: string): string =>
  `data: {"choices":[{"index":0,"delta":{"content":${JSON.stringify(text)}},"finish_reason":null}]}\n\n`;

/** Beats pass in real time; what the relay takes for the time of day is the test's. */
const beats = (count: number): Promise<void> => scheduler.wait(count * BEAT_MS);

const opened: (() => void)[] = [];
afterEach(() => {
  for (const close of opened.splice(0)) close();
});

/** A host that says what the test says, and a relay before it. */
function play(
  options: {
    deadlines?: Partial<Deadlines>;
    opening?: Promise<Source>;
    heartbeatMs?: number;
    carryOn?: CarryOn;
    waitedMs?: number;
    voice?: Voice;
    now?: () => number;
  } = {},
) {
  const clock = { nowMs: options.now?.() ?? 1_000_000 };
  const seen = { pulls: 0, hungUp: 0, settled: 0 };
  let host: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        host = controller;
      },
      pull() {
        seen.pulls++;
      },
      // Hung up on: nobody hears it any more.
      cancel() {
        host = undefined;
      },
    },
    { highWaterMark: 0 },
  );
  const stream = new OpenAiStream({ usageChunk: true, member: "usage" });
  const relayed = relay(options.opening ?? Promise.resolve({ reader: body.getReader(), stream, head: null }), {
    deadlines: { ...DEADLINES, ...options.deadlines },
    arrivedAtMs: clock.nowMs - (options.waitedMs ?? 0),
    heartbeatMs: options.heartbeatMs ?? BEAT_MS,
    voice: options.voice ?? PLAIN,
    carryOn: options.carryOn ?? (() => Promise.resolve(null)),
    hangUp: () => seen.hungUp++,
    now: options.now ?? (() => clock.nowMs),
  });
  const settled = relayed.ended.then(() => seen.settled++);
  const reader = relayed.body.getReader();
  opened.push(() => void reader.cancel().catch(() => undefined));
  const read = async (): Promise<string | null> => {
    const { done, value } = await reader.read();
    return done ? null : textOf(value);
  };
  return {
    ...relayed,
    source: (): Source => ({ reader: body.getReader(), stream, head: null }),
    clock,
    seen,
    settled,
    reader,
    read,
    stream,
    say: (said: string | Uint8Array) => host?.enqueue(typeof said === "string" ? utf8(said) : said),
    end: () => host?.close(),
    reset: () => host?.error(new Error("Network connection lost.")),
    /** The rest, to the end; one string per chunk. */
    async rest(): Promise<string[]> {
      const chunks: string[] = [];
      for (let chunk = await read(); chunk !== null; chunk = await read()) chunks.push(chunk);
      return chunks;
    },
  };
}

/** The code of the one error event with which a stream must end, after these whole events and nothing else. */
function codeAfter(text: string, before: string): unknown {
  expect(text.startsWith(before)).toBe(true);
  const [, json = ""] = /^data: (.*)\n\n$/.exec(text.slice(before.length)) ?? [];
  const { error } = JSON.parse(json);
  expect(error).toEqual({ message: expect.any(String), type: "server_error", param: null, code: error.code });
  return error.code;
}

describe("while tokens flow", () => {
  test("each chunk reaches the reader before the host sends the next", async () => {
    const { say, read, end, ended, seen } = play();
    for (const event of [ROLE, token("a"), token("b"), DONE]) {
      say(event);
      expect(await read()).toBe(event);
    }
    end();
    expect(await read()).toBeNull();
    expect(await ended).toEqual({ kind: "complete" });
    expect(seen.hungUp).toBe(0);
  });

  test("the time of the first content is told, and a role is none", async () => {
    const { say, read, clock, firstContentAtMs } = play();
    say(ROLE);
    await read();
    expect(firstContentAtMs()).toBeNull();
    clock.nowMs += 700;
    say(token("a"));
    await read();
    clock.nowMs += 700;
    say(token("b"));
    await read();
    expect(firstContentAtMs()).toBe(1_000_700);
  });

  test("a host that is always ready is read once for each event that is taken", async () => {
    let pulls = 0;
    const body = new ReadableStream<Uint8Array>(
      { pull: (controller) => controller.enqueue(utf8(token(String(++pulls)))) },
      { highWaterMark: 0 },
    );
    const stream = new OpenAiStream({ usageChunk: true, member: "usage" });
    const { read } = play({ opening: Promise.resolve({ reader: body.getReader(), stream, head: null }) });
    await beats(2);
    expect(pulls).toBe(0);
    for (const taken of [1, 2, 3]) {
      expect(await read()).toBe(token(String(taken)));
      await beats(2);
      expect(pulls).toBe(taken);
    }
  });

  test("what a slow reader has not asked for is not taken from the host", async () => {
    const { say, read, stream } = play();
    for (let turn = 0; turn < 100; turn++) say(token("a"));
    for (const taken of [1, 2, 3]) {
      await read();
      await beats(3);
      expect(stream.tally.contentPieces).toBe(taken);
    }
  });
});

describe("a caller who leaves", () => {
  test.each([
    { name: "before the first byte", said: [], pieces: 0 },
    { name: "after a role", said: [ROLE], pieces: 0 },
    { name: "while tokens flow", said: [ROLE, token("a"), token("b")], pieces: 2 },
  ])("$name: the host is hung up on, and what it made is known", async ({ said, pieces }) => {
    const { say, read, reader, ended, seen, stream, settled, reset } = play();
    for (const event of said) {
      say(event);
      await read();
    }
    await reader.cancel();
    expect(await ended).toMatchObject({ kind: "client_left" });
    reset();
    await settled;
    await beats(2);
    expect(seen).toMatchObject({ hungUp: 1, settled: 1 });
    expect(stream.tally.contentPieces).toBe(pieces);
  });

  test("with a read on its way", async () => {
    const { say, read, reader, ended, seen } = play();
    const pending = read();
    await beats(1);
    await reader.cancel();
    expect([null, PING]).toContain(await pending);
    say(token("a"));
    expect(await ended).toMatchObject({ kind: "client_left" });
    expect(seen.hungUp).toBe(1);
  });

  test("is waited out up to the host's next event, and hung up on just behind it", async () => {
    const { say, read, reader, seen, stream, reset } = play();
    say(ROLE + token("a"));
    await read();
    for (const piled of ["b", "c", "d"]) say(token(piled));
    const left = reader.cancel();
    await beats(4);
    expect(seen.hungUp).toBe(0);
    expect(stream.tally.contentPieces).toBe(4);
    say(token("e"));
    await left;
    expect(seen.hungUp).toBe(1);
    expect(stream.tally.contentPieces).toBe(5);
    reset();
  });

  test("with a read on its way: what it brings is counted once", async () => {
    const { say, read, reader, ended, stream } = play();
    const pending = read();
    await beats(1);
    const left = reader.cancel();
    await beats(4);
    say(token("a"));
    await left;
    await pending;
    expect(await ended).toMatchObject({ kind: "client_left" });
    expect(stream.tally.contentPieces).toBe(1);
  });

  test("by the request's own signal and by the stream: once", async () => {
    const { say, read, reader, leave, ended, seen, settled } = play();
    say(token("a"));
    await read();
    await Promise.all([leave(), reader.cancel(), leave()]);
    expect(await ended).toMatchObject({ kind: "client_left" });
    await settled;
    expect(seen).toMatchObject({ hungUp: 1, settled: 1 });
  });

  test("a host that never pauses is hung up on all the same", async () => {
    const body = new ReadableStream<Uint8Array>(
      { pull: (controller) => controller.enqueue(utf8(token("a"))) },
      { highWaterMark: 0 },
    );
    const stream = new OpenAiStream({ usageChunk: true, member: "usage" });
    const { reader, seen } = play({ opening: Promise.resolve({ reader: body.getReader(), stream, head: null }) });
    await reader.read();
    await reader.cancel();
    expect(seen.hungUp).toBe(1);
  });

  test("behind the whole answer has it all", async () => {
    const { say, read, reader, ended } = play();
    say(token("a") + DONE);
    await read();
    await reader.cancel();
    expect(await ended).toEqual({ kind: "complete" });
  });
});

describe("what a host made and the caller never got", () => {
  const usage = (tokens: number): string =>
    `data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":${tokens}}}\n\n`;

  test("the beginning that nobody has read", async () => {
    const stream = new OpenAiStream({ usageChunk: true, member: "usage" });
    const head = stream.push(utf8(ROLE + token("a") + token("b")));
    const { reader, ended, seen } = play({ opening: Promise.resolve({ reader: silent(), stream, head }) });
    await beats(1);
    await reader.cancel();
    expect(await ended).toEqual({ kind: "client_left", unseenTokens: 2 });
    expect(seen.hungUp).toBe(1);
  });

  test("an end that came when the caller was gone", async () => {
    const { say, read, reader, ended, end } = play();
    say(token("a"));
    await read();
    for (const event of [token("b"), token("c"), DONE]) say(event);
    end();
    await reader.cancel();
    expect(await ended).toEqual({ kind: "client_left", unseenTokens: 2 });
  });

  test("of tokens that came in one piece with more, those that were passed are seen", async () => {
    const { say, read, reader, ended } = play();
    say(token("a") + usage(4));
    await read();
    say(token("b"));
    say(usage(7));
    await reader.cancel();
    expect(await ended).toEqual({ kind: "client_left", unseenTokens: 3 });
  });

  test("of the host that carries on, when the caller leaves after its first words", async () => {
    const further = new TransformStream<Uint8Array, Uint8Array>();
    const writer = further.writable.getWriter();
    const next = new OpenAiStream({ usageChunk: true, member: "usage" });
    const source = { reader: further.readable.getReader(), stream: next, head: next.push(utf8(token("a"))) };
    const carryOn: CarryOn = () => Promise.resolve({ source, comment: utf8(": further\n\n") });
    const { say, read, reader, reset, ended } = play({ carryOn });
    say(token("a"));
    await read();
    const comment = read();
    await beats(1);
    reset();
    expect(await comment).toBe(": further\n\n");
    writer.write(utf8(token("b"))).catch(() => undefined);
    await reader.cancel();
    await ended;
    expect(next.tally.contentPieces).toBe(2);
  });
});

/** A host that says nothing any more. */
function silent(): Source["reader"] {
  return new ReadableStream<Uint8Array>({}, { highWaterMark: 0 }).getReader();
}

describe("a host that fails", () => {
  const hi = token("hi");
  const cases: { name: string; said: string[]; how: "end" | "reset" | "stay"; passed: string }[] = [
    { name: "ends before the first event", said: [], how: "end", passed: "" },
    { name: "is reset before the first event", said: [], how: "reset", passed: "" },
    { name: "ends between events", said: [ROLE, hi], how: "end", passed: ROLE + hi },
    { name: "is reset between events", said: [ROLE, hi], how: "reset", passed: ROLE + hi },
    { name: "ends inside an event", said: [hi, hi.slice(0, 20)], how: "end", passed: hi },
    { name: "is reset inside an event", said: [hi, hi.slice(0, 20)], how: "reset", passed: hi },
    { name: "talks garbage and stays", said: [hi, "data: {\n\n"], how: "stay", passed: hi },
    { name: "talks garbage in the chunk of a token", said: [`${hi}data: {\n\n`], how: "stay", passed: hi },
    {
      name: "reports an error",
      said: [hi, 'data: {"error":{"message":"x","code":500}}\n\n', DONE],
      how: "end",
      passed: hi,
    },
    {
      name: "reports an error with [DONE] behind it",
      said: [`${hi}data: {"error":{"message":"x"}}\n\n${DONE}`],
      how: "end",
      passed: hi,
    },
    { name: "sends an event too large", said: [hi, `data: ${"x".repeat(MAX_EVENT_BYTES)}`], how: "stay", passed: hi },
    { name: "sends HTML", said: ["<html><body>502</body></html>"], how: "end", passed: "" },
  ];
  test.each(cases)("$name: whole events, then one error event", async ({ said, how, passed }) => {
    const { say, end, reset, rest, ended, seen, settled } = play();
    const all = rest();
    for (const event of said) {
      say(event);
      await beats(1);
    }
    if (how === "end") end();
    if (how === "reset") reset();
    const text = (await all).join("");
    expect(codeAfter(text, passed)).toBe("upstream_error");
    expect(await ended).toMatchObject({ kind: "upstream_error", problem: { code: "upstream_error" } });
    await settled;
    await beats(2);
    expect(seen).toMatchObject({ hungUp: 1, settled: 1 });
  });

  test("wherever it is cut, and however", async () => {
    const whole = ROLE + token("a") + token('é "\\n') + token("b");
    await fc.assert(
      fc.asyncProperty(fc.nat(utf8(whole).byteLength), cuts, fc.boolean(), async (at, cut, isReset) => {
        const { say, end, reset, rest } = play({ heartbeatMs: 60_000 });
        const sent = utf8(whole).subarray(0, at);
        const all = rest();
        for (const chunk of cut(sent)) say(chunk);
        // A reset throws away what is still queued: let it be read first.
        if (isReset) setTimeout(reset, 0);
        else end();
        const events = whole.split(/(?<=\n\n)/);
        const passed = events.filter((_, index) => utf8(events.slice(0, index + 1).join("")).byteLength <= at).join("");
        expect(codeAfter((await all).join(""), passed)).toBe("upstream_error");
      }),
      { numRuns: 100 },
    );
  });

  test.each([
    { name: "a reset", said: [token("a") + DONE], how: "reset" },
    { name: "half an event", said: [token("a") + DONE, "data: {"], how: "end" },
    { name: "garbage", said: [`${token("a") + DONE}data: {\n\n`], how: "end" },
    { name: "silence", said: [token("a") + DONE], how: "silence" },
  ])("$name behind the whole answer takes nothing from it", async ({ said, how }) => {
    const { say, end, reset, rest, ended, clock } = play();
    const all = rest();
    for (const event of said) {
      say(event);
      await beats(1);
    }
    if (how === "end") end();
    if (how === "reset") reset();
    if (how === "silence") clock.nowMs += DEADLINES.betweenTokensMs + 1;
    expect((await all).join("").replaceAll(PING, "")).toBe(token("a") + DONE);
    expect(await ended).toEqual({ kind: "complete" });
  });
});

test("a host that does not end its connection behind the last word is hung up on", async () => {
  const { say, rest, ended, seen } = play();
  say(token("a") + DONE);
  expect((await rest()).join("")).toBe(token("a") + DONE);
  expect(await ended).toEqual({ kind: "complete" });
  await vi.waitFor(() => expect(seen.hungUp).toBe(1), { timeout: 3_000 });
});

describe("what the caller's protocol has no words for", () => {
  test.each([
    { name: "in the midst of the answer", said: [token("?")], how: "stay" },
    { name: "with the word that it stops beside it", said: [token("?") + FINISH], how: "end" },
    { name: "with the whole rest beside it", said: [token("?") + DONE], how: "end" },
    {
      name: "in its last word",
      said: [`${token("a")}${FINISH}`, "data: [DONE]\n\n"],
      how: "end",
      speechless: "[DONE]",
    },
  ])("$name: one error event, and nobody carries it on", async ({ said, how, speechless = "?" }) => {
    const carryOn = vi.fn<CarryOn>(() => Promise.resolve(null));
    const say: Voice["say"] = (events) => {
      if (textOf(events).includes(speechless)) throw new BrokenStream("no word for it");
      return events;
    };
    const played = play({ voice: { ...PLAIN, say }, carryOn });
    const all = played.rest();
    for (const event of said) {
      played.say(event);
      await beats(1);
    }
    if (how === "end") played.end();
    expect(codeAfter((await all).join(""), said.slice(0, -1).join(""))).toBe("upstream_error");
    expect(await played.ended).toMatchObject({ kind: "upstream_error" });
    expect(carryOn).not.toHaveBeenCalled();
    expect(played.seen.hungUp).toBe(1);
  });
});

describe("heartbeats", () => {
  test("come only when the host has been silent", async () => {
    const { say, read, rest, clock, end } = play();
    say(token("a"));
    expect(await read()).toBe(token("a"));
    const next = read();
    let came = false;
    void next.then(() => {
      came = true;
    });
    await beats(6);
    expect(came).toBe(false);
    clock.nowMs += BEAT_MS;
    expect(await next).toBe(PING);
    say(DONE);
    end();
    expect((await rest()).at(-1)).toBe(DONE);
  });

  test("come between whole events only, in the midst of half a one", async () => {
    const { say, read, rest, clock, end } = play();
    say(token("a").slice(0, 30));
    const first = read();
    await beats(1);
    clock.nowMs += BEAT_MS;
    expect(await first).toBe(PING);
    const later = rest();
    await beats(3);
    say(token("a").slice(30) + DONE);
    end();
    expect((await later).join("").replaceAll(PING, "")).toBe(token("a") + DONE);
  });

  test("do not pile up for a reader who does not read", async () => {
    const { say, read, rest, clock, end } = play();
    const first = read();
    clock.nowMs += BEAT_MS;
    expect(await first).toBe(PING);
    await beats(20);
    say(token("a") + DONE);
    end();
    expect(["", PING]).toContain((await rest()).join("").replace(token("a") + DONE, ""));
  });

  test.each(["left", "complete", "broken"])("leave no timer behind a stream that is %s", async (how) => {
    vi.useFakeTimers();
    try {
      const { reader, rest, say, end } = play();
      expect(vi.getTimerCount()).toBe(1);
      if (how === "left") await reader.cancel();
      else {
        say(how === "complete" ? DONE : "data: {\n\n");
        if (how === "complete") end();
        await rest();
      }
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test("stop with the stream", async () => {
    const { reader, clock, ended, seen } = play();
    await reader.cancel();
    await ended;
    clock.nowMs += DEADLINES.totalMs + 1;
    await beats(3);
    expect(seen).toMatchObject({ hungUp: 1, settled: 1 });
  });
});

describe("deadlines", () => {
  test.each([
    {
      name: "the next token",
      said: [ROLE, token("a")],
      waitedMs: DEADLINES.betweenTokensMs,
      betweenTokensMs: DEADLINES.betweenTokensMs,
      code: "next_token_timeout",
    },
    {
      name: "the whole answer",
      said: [token("a")],
      waitedMs: DEADLINES.totalMs,
      betweenTokensMs: 10_000_000,
      code: "total_timeout",
    },
  ])("$name", async ({ said, waitedMs, betweenTokensMs, code }) => {
    const { say, rest, clock, ended, seen } = play({ deadlines: { betweenTokensMs } });
    const all = rest();
    for (const event of said) {
      say(event);
      await beats(1);
    }
    await beats(1);
    clock.nowMs += waitedMs;
    await beats(4);
    expect(seen.settled).toBe(0);
    clock.nowMs += 1;
    const text = (await all).join("").replaceAll(PING, "");
    expect(codeAfter(text, said.join("").replaceAll(PING, ""))).toBe(code);
    expect(await ended).toMatchObject({ kind: "upstream_error", problem: { code } });
    expect(seen.hungUp).toBe(1);
  });

  test.each([
    { name: "the next token", betweenTokensMs: 2_500, totalMs: 60_000, code: "next_token_timeout" },
    { name: "the whole answer", betweenTokensMs: 60_000, totalMs: 2_600, code: "total_timeout" },
  ])("$name: noticed when it passes, not by the beat after it", async ({ code, ...deadlines }) => {
    vi.useFakeTimers();
    try {
      const { say, rest, ended, seen } = play({ deadlines, heartbeatMs: 2_000, now: Date.now });
      const all = rest();
      await vi.advanceTimersByTimeAsync(100);
      say(token("a"));
      await vi.advanceTimersByTimeAsync(2_500);
      expect(seen.settled).toBe(0);
      await vi.advanceTimersByTimeAsync(1);
      expect(await ended).toMatchObject({ problem: { code } });
      expect(codeAfter((await all).join("").replaceAll(PING, ""), token("a"))).toBe(code);
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  test.each([
    { name: "a host that only pings", said: PING },
    {
      name: "a host that only counts",
      said: 'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}\n\n',
    },
    { name: "a host that drips", said: ":" },
  ])("$name brings no next token", async ({ said }) => {
    const { say, rest, clock, ended } = play();
    const all = rest();
    say(token("a"));
    await beats(1);
    for (let turn = 0; turn < 4; turn++) {
      clock.nowMs += DEADLINES.betweenTokensMs / 3;
      say(said);
      await beats(1);
    }
    expect(await ended).toMatchObject({ problem: { code: "next_token_timeout" } });
    expect(codeAfter((await all).join("").replaceAll(PING, ""), token("a"))).toBe("next_token_timeout");
  });

  test("pings add up only until the next token", async () => {
    const { say, rest, clock, end } = play();
    const all = rest();
    let said = "";
    for (let turn = 0; turn < 4; turn++) {
      for (const event of [token("a"), PING]) {
        said += event;
        say(event);
        await beats(2);
        clock.nowMs += 0.4 * DEADLINES.betweenTokensMs;
      }
    }
    say(DONE);
    end();
    expect((await all).join("").replaceAll(PING, "")).toBe(said.replaceAll(PING, "") + DONE);
  });

  test("before the host begins its answer only the whole answer's deadline counts: hosts have theirs, one by one", async () => {
    const { rest, clock, ended, seen } = play({ opening: new Promise(() => undefined) });
    const all = rest();
    await beats(1);
    clock.nowMs += DEADLINES.betweenTokensMs + 1;
    await beats(4);
    expect(seen.settled).toBe(0);
    clock.nowMs += DEADLINES.totalMs;
    expect(codeAfter((await all).join("").replaceAll(PING, ""), "")).toBe("total_timeout");
    expect(await ended).toMatchObject({ kind: "upstream_error" });
  });

  test("the whole answer's counts from the question's arrival", async () => {
    const { say, rest, clock, ended } = play({ waitedMs: 5_000 });
    say(token("a"));
    const all = rest();
    await beats(1);
    clock.nowMs += DEADLINES.totalMs - 4_999;
    expect(await ended).toMatchObject({ problem: { code: "total_timeout" } });
    await all;
  });

  test("a reader's own slowness is not the host's", async () => {
    const { say, read, clock, seen, end, rest } = play();
    say(token("a"));
    await read();
    clock.nowMs += 10 * DEADLINES.betweenTokensMs;
    await beats(4);
    expect(seen.settled).toBe(0);
    say(DONE);
    end();
    expect((await rest()).join("")).toBe(DONE);
  });

  test("the whole answer's also holds for a reader who does not read", async () => {
    const { say, read, clock, ended, rest } = play();
    say(token("a"));
    await read();
    clock.nowMs += DEADLINES.totalMs + 1;
    expect(await ended).toMatchObject({ problem: { code: "total_timeout" } });
    expect(codeAfter((await rest()).join(""), "")).toBe("total_timeout");
  });
});

describe("a host that has not begun", () => {
  test("is heartbeated, and then heard", async () => {
    const { promise, resolve } = Promise.withResolvers<Source>();
    const { read, rest, clock, say, end, source, ended } = play({ opening: promise });
    const first = read();
    clock.nowMs += BEAT_MS;
    expect(await first).toBe(PING);
    say(token("a") + DONE);
    end();
    resolve(source());
    expect((await rest()).join("").replaceAll(PING, "")).toBe(token("a") + DONE);
    expect(await ended).toEqual({ kind: "complete" });
  });

  test.each([
    { name: "a Problem", thrown: new Problem("host_busy", { retryAfterS: 2 }), code: "host_busy" },
    { name: "anything else", thrown: new TypeError("Network connection lost."), code: "upstream_error" },
  ])("and never does, by $name: one error event", async ({ thrown, code }) => {
    const { rest, ended, settled, seen } = play({ opening: Promise.reject(thrown) });
    expect(codeAfter((await rest()).join(""), "")).toBe(code);
    expect(await ended).toMatchObject({ kind: "upstream_error", problem: { code } });
    await settled;
    expect(seen).toMatchObject({ hungUp: 1, settled: 1 });
  });

  test.each([
    { name: "before anyone read", reads: false },
    { name: "while someone reads", reads: true },
  ])("and the caller leaves $name: hung up on, and what comes of it is nobody's", async ({ reads }) => {
    for (const isRefused of [true, false]) {
      const { promise, resolve, reject } = Promise.withResolvers<Source>();
      const { reader, read, ended, seen, source, settled } = play({ opening: promise });
      const pending = reads ? read() : null;
      await reader.cancel();
      expect(await ended).toMatchObject({ kind: "client_left" });
      if (isRefused) reject(new Problem("upstream_error"));
      else resolve(source());
      await pending;
      await settled;
      await beats(1);
      expect(seen).toEqual({ pulls: 0, hungUp: 1, settled: 1 });
    }
  });
});
