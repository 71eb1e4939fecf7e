// The judges of the streams' suite before lab hosts that nobody stands in front of: there each fault shows as it is.
import { describe, expect, test } from "vitest";
import { abandon } from "#scripts/chaos/streams/abandon.ts";
import { expectedText } from "#scripts/chaos/streams/expected.ts";
import { startFirehose } from "#scripts/chaos/streams/firehose.ts";
import { hold } from "#scripts/chaos/streams/held-stream.ts";
import { arm, disarm, generationsOf, openAt, strikesOf } from "#scripts/chaos/streams/lab-host.ts";
import { RawReader } from "#scripts/chaos/streams/raw-reader.ts";
import { readSlowly } from "#scripts/chaos/streams/slow-reader.ts";
import { firstTokenMs, seamGapMs, verdictOf } from "#scripts/chaos/streams/verdict.ts";
import { type Asked, witness } from "#scripts/chaos/streams/witness.ts";
import { chatBody, hostFor, until } from "../../lab/asking.ts";

const ASKED: Asked = { number: 1, model: "llama", content: "hi [[tokens=8]]", maxTokens: 50, stop: [] };
const see = (host: { url: string }, asked = ASKED) => witness(host.url, "key", "test", asked);

describe("a stream and its two judges", () => {
  test.each([
    [null, "whole"],
    ["compressed", "whole"],
    ["crlf-split", "whole"],
    ["cut-after", "truncated"],
    ["rst-after", "truncated"],
    ["fin-after", "truncated"],
    ["fin-before-done", "truncated"],
    ["double-done", "truncated"],
    ["cut-inside", "unparsable"],
    ["fin-inside", "unparsable"],
    ["half-character", "unparsable"],
    ["garbage", "unparsable"],
    ["error-event", "both"],
    ["500", "refused"],
    ["html-502", "truncated"],
    ["refuse", "truncated"],
  ] as const)("%s is %s", async (kind, verdict) => {
    const host = await hostFor();
    if (kind !== null) await arm(host.url, { kind, model: "llama", times: 1, afterTokens: 3, ms: 1 });
    const seen = await see(host);
    expect(verdictOf(seen)).toBe(verdict);
    if (verdict === "whole") expect(seen.client.text).toBe(expectedText(ASKED));
  });

  test("llama.cpp's words for its end are one error", async () => {
    const host = await hostFor({ engine: "llamacpp" });
    await arm(host.url, { kind: "error-event", model: "llama", times: 1 });
    expect(verdictOf(await see(host))).toBe("error");
  });

  test.each([
    ASKED,
    { ...ASKED, content: "[[echo]] 🙂 one two\nthree 東京 four", stop: ["three"] },
    { ...ASKED, content: "free", maxTokens: 5, stop: ["never comes"] },
  ])("what is expected is what the lab says: $content", async (asked) => {
    for (const engine of ["vllm", "llamacpp"] as const)
      expect((await see(await hostFor({ engine }), asked)).client.text).toBe(expectedText(asked));
  });

  test("the first token is timed from the question, and a host that died alone leaves no seam", async () => {
    const seen = await see(await hostFor({ ttftMs: 80 }));
    expect(firstTokenMs(seen)).toBeGreaterThanOrEqual(80);
    expect(firstTokenMs({ ...seen, raw: null })).toBeNull();
    expect(seamGapMs(seen)).toBeNull();
  });
});

describe("the reader of bytes", () => {
  const read = (text: string | Uint8Array, size = 1_000) => {
    const reader = new RawReader();
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += size) reader.push(bytes.subarray(at, at + size), at);
    return reader.end(bytes.length);
  };
  const content = 'data: {"choices":[{"delta":{"content":"é🙂"}}]}';

  test.each(["\n", "\r\n", "\r"])("lines that end with %j, byte by byte", (end) => {
    const text = [": ping", "", content, "", ": on", "", "data: [DONE]", "", ""].join(end);
    const comments = [
      { text: "ping", after: 0 },
      { text: "on", after: 1 },
    ];
    for (const size of [1, 2, 3, 1_000])
      expect(read(text, size)).toMatchObject({ dones: 1, errors: 0, unparsable: [], comments });
    expect(read(text).contentAtMs).toHaveLength(1);
  });

  test("a pair that was cut: the CR alone ends the event", () => {
    expect(read(`${content}\r\n\rdata: [DONE]\r\n\r`)).toMatchObject({ dones: 1, unparsable: [] });
  });

  test.each([
    ["half an event", 'data: {"choices"', /^half an event/],
    ["no JSON", 'data: {"choi\n\n', /^no JSON/],
    ["no UTF-8", Buffer.from([0x64, 0xff, 0x0a]), /^no UTF-8/],
    ["an event behind the end", `data: [DONE]\n\n${content}\n\n`, /^behind the end/],
  ])("%s", (_name, wire, told) => {
    expect(read(wire).unparsable).toEqual([expect.stringMatching(told)]);
  });
});

describe("callers", () => {
  test("one who leaves says when, and the host closes then", async () => {
    const host = await hostFor({ tokensPerSecond: 100 });
    const left = await abandon(host.url, "key", "test", chatBody("[[tokens=500]]", { stream: true }), {
      since: "content",
      afterMs: 50,
    });
    const [generation] = await until(
      () => generationsOf([host.url]),
      ([first]) => first?.endedAtMs !== null,
    );
    expect(generation).toMatchObject({ ended: "aborted" });
    expect(Math.abs((generation?.endedAtMs ?? 0) - (left.leftAtMs ?? 0))).toBeLessThan(1_000);
    await until(
      () => openAt([host.url]),
      (open) => open === 0,
    );
    expect(
      await abandon(host.url, "key", "test", chatBody("[[tokens=2]]"), { since: "sent", afterMs: 5_000 }),
    ).toMatchObject({
      leftAtMs: null,
      status: 200,
    });
  });

  test("one who stays keeps every event, or knows that it has not", async () => {
    const host = await hostFor();
    const body = chatBody("held [[tokens=30]]", { stream: true, temperature: 0 });
    let begun = 0;
    const count = (): void => {
      begun += 1;
    };
    const expected = expectedText({ ...ASKED, content: "held [[tokens=30]]" });
    expect(await hold(host.url, "key", "test", body, count)).toEqual({ isWhole: true, events: 30, text: expected });
    await arm(host.url, { kind: "fin-after", model: "llama", afterTokens: 5 });
    expect(await hold(host.url, "key", "test", body, count)).toMatchObject({ isWhole: false, events: 5 });
    expect(begun).toBe(2);
    expect(await strikesOf([host.url])).toMatchObject([{ kind: "fin-after" }]);
    await disarm(host.url);
  });

  test("the firehose says as much as it was asked for, and no more than is taken from it", async () => {
    const firehose = await startFirehose();
    const body = (bytes: number) => chatBody(`[[bytes=${bytes}]]`, { stream: true });
    const small = await fetch(`${firehose.url}/v1/chat/completions`, {
      method: "POST",
      body: JSON.stringify(body(50_000)),
    });
    const wire = await small.text();
    expect(wire.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(wire.length).toBeGreaterThan(50_000);
    // Never the one who closes first: 5 s is what the Worker keeps a connection.
    expect(small.headers.get("keep-alive")).toBe("timeout=75");
    expect(firehose.taken).toEqual([{ ofBytes: 50_000, bytes: expect.any(Number) }]);
    const reader = readSlowly(firehose.url, "key", body(1e9), 1_024);
    await until(
      async () => reader.readBytes(),
      (bytes) => bytes >= 1_024,
    );
    const { bytes } = firehose.taken[1] ?? { bytes: 0 };
    expect(bytes).toBeGreaterThan(1_024);
    expect(bytes).toBeLessThan(1e8);
    expect(reader.isOpen()).toBe(true);
    reader.close();
    await firehose.stop();
  });
});
