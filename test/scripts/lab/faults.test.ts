// Each scripted fault, as a caller's socket sees it, and what the truth says of it afterwards.

import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { FAULT_KINDS } from "#scripts/lab/faults.ts";
import type { Strike } from "#scripts/lab/strikes.ts";
import { ask, askRaw, chatBody, chunksOf, eventsOf, hostFor, piecesOf, truthOf, until } from "./asking.ts";

const CHAT = "/v1/chat/completions";
const stream = chatBody("hi [[tokens=8]]", { stream: true });
const whole = chatBody("hi [[tokens=8]]");

describe("instead of an answer", () => {
  test.each([
    ["500", 500, "application/json"],
    ["503-loading", 503, "application/json"],
    ["html-502", 502, "text/html; charset=UTF-8"],
    ["rate-limited", 429, "application/json"],
    ["redirect", 302, null],
  ])("%s answers %d, as often as it was told, and no generation begins", async (kind, status, type) => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind, times: 2 });
    for (const body of [stream, whole]) {
      const struck = await ask(host, CHAT, body);
      expect(struck.status).toBe(status);
      expect(struck.headers.get("content-type")).toBe(type);
    }
    expect((await ask(host, "/lab/fault")).json).toEqual([]);
    expect((await ask(host, CHAT, whole)).status).toBe(200);
    expect(await truthOf(host)).toHaveLength(1);
  });

  test("a wait is named with 429, a login page with 302", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "429", times: 1 });
    expect((await ask(host, CHAT, whole)).headers.get("retry-after")).toBe("2");
    await ask(host, "/lab/fault", { kind: "redirect", times: 1 });
    expect((await ask(host, CHAT, whole)).headers.get("location")).toMatch(/^https:/);
  });

  test("loading is told by health too, in the engine's own words, and probes use nothing up", async () => {
    const host = await hostFor({ engine: "llamacpp" });
    await ask(host, "/lab/fault", { kind: "loading", times: 1 });
    const loading = '{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}';
    for (const _ of [1, 2]) expect(await ask(host, "/health")).toMatchObject({ status: 503, text: loading });
    expect(await ask(host, "/completion", { prompt: "x" })).toMatchObject({ status: 503, text: loading });
    expect((await ask(host, "/health")).status).toBe(200);
  });

  test("refuse resets every connection but the lab's", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "refuse" });
    for (const [path, body] of [
      [CHAT, whole],
      ["/health", undefined],
    ] as const)
      expect(await askRaw(host, path, body)).toMatchObject({ status: undefined, ended: "ECONNRESET" });
    await ask(host, "/lab/fault", undefined, { method: "DELETE" });
    expect((await ask(host, "/health")).status).toBe(200);
  });

  test("a hang gives no headers, while health answers; a stalled health hangs alone", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "hang", times: 1 });
    expect(await askRaw(host, CHAT, whole, 60)).toMatchObject({ status: undefined, ended: "left" });
    expect((await ask(host, "/health")).status).toBe(200);
    await ask(host, "/lab/fault", { kind: "stall-health" });
    expect(await askRaw(host, "/health", undefined, 60)).toMatchObject({ status: undefined, ended: "left" });
    expect((await ask(host, CHAT, whole)).status).toBe(200);
  });
});

describe("in the midst of a stream", () => {
  test.each([
    ["cut-after", 2, "ECONNRESET", false],
    ["cut-after", 0, "ECONNRESET", false],
    ["cut-inside", 2, "ECONNRESET", true],
    ["fin-after", 2, "clean", false],
    ["fin-inside", 2, "clean", true],
    ["rst-after", 2, "ECONNRESET", false],
    ["half-character", 2, "clean", true],
  ])("%s %d: whole token events, then %s", async (kind, afterTokens, ended, torn) => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind, afterTokens, times: 1 });
    const { status, bytes, ended: how } = await askRaw(host, CHAT, stream);
    const text = bytes.toString();
    expect([status, how]).toEqual([200, ended]);
    expect(eventsOf(text)).toHaveLength(1 + afterTokens);
    expect(text.endsWith("\n\n")).toBe(!torn);
    expect(text).not.toContain("[DONE]");
    expect(await truthOf(host)).toMatchObject([{ completionTokens: afterTokens, ended: "fault" }]);
    expect((await ask(host, "/metrics")).text).toMatch(/num_requests_running\{[^}]*\} 0\.0/);
  });

  test("hang-after stays open and holds its slot until the caller leaves", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "hang-after", afterTokens: 3, times: 1 });
    const hanging = askRaw(host, CHAT, stream, 150);
    await until(
      () => truthOf(host),
      ([entry]) => entry?.completionTokens === 3,
    );
    expect((await ask(host, "/metrics")).text).toMatch(/num_requests_running\{[^}]*\} 1\.0/);
    const { bytes } = await hanging;
    expect(eventsOf(bytes.toString())).toHaveLength(4);
    await until(
      () => truthOf(host),
      ([entry]) => entry?.ended === "fault",
    );
    expect((await ask(host, "/metrics")).text).toMatch(/num_requests_running\{[^}]*\} 0\.0/);
  });

  test("garbage is an event that is no JSON; the answer goes on", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "garbage", afterTokens: 2, times: 1 });
    const events = eventsOf((await ask(host, CHAT, stream)).text);
    expect(() => JSON.parse(events[3] ?? "{}")).toThrow(SyntaxError);
    expect(events).toHaveLength(12);
    expect(events.at(-1)).toBe("[DONE]");
    expect(await truthOf(host)).toMatchObject([{ completionTokens: 8, ended: "stop" }]);
  });

  test("a giant event is valid and above the size asked for", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "giant-event", times: 1 });
    const sizes = eventsOf((await ask(host, CHAT, stream)).text).map((event) => event.length);
    expect(Math.max(...sizes)).toBeGreaterThan(2 * 1024 * 1024);
    await ask(host, "/lab/fault", { kind: "giant-event", bytes: 5000, afterTokens: 0, times: 1 });
    const [, , giant] = eventsOf((await ask(host, CHAT, stream)).text);
    expect(JSON.parse(giant ?? "{}")).toMatchObject({ object: "chat.completion.chunk" });
  });

  test.each([
    [
      "vllm",
      '{"error":{"message":"Internal server error","type":"InternalServerError","param":null,"code":500}}',
      true,
    ],
    ["llamacpp", '{"error":{"code":500,"message":"failed to decode the batch","type":"server_error"}}', false],
  ] as const)("error-event in the words of %s", async (engine, error, done) => {
    const host = await hostFor({ engine });
    await ask(host, "/lab/fault", { kind: "error-event", afterTokens: 1, times: 1 });
    const events = eventsOf((await ask(host, CHAT, stream)).text);
    expect(events.slice(2)).toEqual(done ? [error, "[DONE]"] : [error]);
    expect(await truthOf(host)).toMatchObject([{ completionTokens: 1, ended: "fault" }]);
  });

  test("slow-drip brings every byte, one by one", async () => {
    const host = await hostFor();
    const body = chatBody("hi [[tokens=1]]", { stream: true });
    const plain = await ask(host, CHAT, body, { headers: { "x-request-id": "same" } });
    await ask(host, "/lab/fault", { kind: "slow-drip", ms: 1, times: 1 });
    const dripped = await ask(host, CHAT, body, { headers: { "x-request-id": "same" } });
    const ageless = (text: string): string => text.replace(/"created":\d+/g, "");
    expect(ageless(dripped.text)).toBe(ageless(plain.text));
    expect((await truthOf(host))[1]).toMatchObject({ completionTokens: 1, ended: "stop" });
  });

  test("half a character is the last that is heard, of the text's own or else of one that is put there", async () => {
    const host = await hostFor();
    for (const content of ["[[echo]] ab 東京", "[[echo]] ab cd"]) {
      await ask(host, "/lab/fault", { kind: "half-character", afterTokens: 1, times: 1 });
      const { bytes } = await askRaw(host, CHAT, chatBody(content, { stream: true }));
      expect(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes)).toThrow(TypeError);
      expect(eventsOf(bytes.toString("latin1"))).toHaveLength(2);
    }
  });

  test("CR LF: a write ends between the two, and nothing else differs", async () => {
    const host = await hostFor();
    const same = { headers: { "x-request-id": "same" } };
    const body = chatBody("hi [[tokens=3]]", { stream: true });
    const plain = await ask(host, CHAT, body, same);
    await ask(host, "/lab/fault", { kind: "crlf-split", ms: 3, times: 1 });
    const { writes } = await piecesOf(host, CHAT, body, same.headers);
    const text = Buffer.concat(writes).toString();
    const ageless = (wire: string): string => wire.replace(/"created":\d+/g, "");
    expect(ageless(text.replaceAll("\r\n", "\n"))).toBe(ageless(plain.text));
    expect(text.split("\r\n")).toHaveLength(plain.text.split("\n").length);
    expect(writes.filter((write) => write.toString().endsWith("\r")).length).toBeGreaterThan(3);
    expect((await truthOf(host))[1]).toMatchObject({ completionTokens: 3, ended: "stop" });
  });

  test.each([
    ["fin-before-done", 0],
    ["double-done", 2],
  ])("%s: all is said, with [DONE] %d times", async (kind, dones) => {
    for (const engine of ["vllm", "llamacpp"] as const) {
      const host = await hostFor({ engine });
      await ask(host, "/lab/fault", { kind, times: 1 });
      const { text } = await ask(host, CHAT, { ...stream, stream_options: { include_usage: true } });
      expect(eventsOf(text).filter((data) => data === "[DONE]")).toHaveLength(dones);
      expect(chunksOf(text).at(-1)?.usage.completion_tokens).toBe(8);
      expect(await truthOf(host)).toMatchObject([{ completionTokens: 8, ended: "stop" }]);
    }
  });

  test("compressed: gzip, event by event, streamed and whole", async () => {
    const host = await hostFor({ tokensPerSecond: 50 });
    const same = { headers: { "x-request-id": "same" } };
    for (const body of [stream, whole]) {
      const plain = await ask(host, CHAT, body, same);
      await ask(host, "/lab/fault", { kind: "gzip", times: 1 });
      const { writes, encoding } = await piecesOf(host, CHAT, body, same.headers);
      const ageless = (wire: string): string => wire.replace(/"created":\d+/g, "");
      expect(encoding).toBe("gzip");
      expect(ageless(gunzipSync(Buffer.concat(writes)).toString())).toBe(ageless(plain.text));
      expect(writes.length).toBeGreaterThanOrEqual(body === stream ? 8 : 1);
    }
    expect((await truthOf(host)).at(-1)).toMatchObject({ completionTokens: 8, ended: "stop" });
  });

  test("leaving a slow drip counts only the events that were whole", async () => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind: "slow-drip", ms: 20, times: 1 });
    await askRaw(host, CHAT, stream, 100);
    await until(
      () => truthOf(host),
      ([entry]) => entry?.ended === "aborted",
    );
    expect((await truthOf(host))[0]?.completionTokens).toBe(0);
  });
});

describe("in a whole reply", () => {
  test.each([
    ["cut-inside", "ECONNRESET", "fault"],
    ["cut-after", "ECONNRESET", "fault"],
    ["fin-inside", "clean", "fault"],
    ["rst-after", "ECONNRESET", "fault"],
    ["half-character", "clean", "fault"],
    ["garbage", "clean", "fault"],
  ])("%s leaves half a body", async (kind, ended, truth) => {
    const host = await hostFor();
    await ask(host, "/lab/fault", { kind, times: 1 });
    const struck = await askRaw(host, CHAT, whole);
    expect(struck).toMatchObject({ status: 200, ended });
    expect(() => JSON.parse(struck.bytes.toString())).toThrow(SyntaxError);
    expect(await truthOf(host)).toMatchObject([{ completionTokens: 8, ended: truth }]);
  });
});

describe("the fault list", () => {
  test("an unknown kind is refused with the list of kinds", async () => {
    const host = await hostFor();
    const { status, json } = await ask(host, "/lab/fault", { kind: "gremlins" });
    expect([status, json.field]).toEqual([400, "kind"]);
    for (const kind of Object.keys(FAULT_KINDS)) expect(json.error).toContain(kind);
  });

  test("every kind and alias is accepted; DELETE clears all", async () => {
    const host = await hostFor();
    for (const [kind, { aliases }] of Object.entries(FAULT_KINDS))
      for (const name of [kind, ...aliases])
        expect((await ask(host, "/lab/fault", { kind: name })).json.kind).toBe(kind);
    expect((await ask<unknown[]>(host, "/lab/fault")).json.length).toBeGreaterThan(17);
    await ask(host, "/lab/fault", undefined, { method: "DELETE" });
    expect((await ask(host, "/lab/fault")).json).toEqual([]);
  });

  test("a fault for one model spares the others; faults strike in the order they were set", async () => {
    const host = await hostFor({ models: ["llama", "phi"] });
    await ask(host, "/lab/fault", { kind: "500", model: "phi" });
    expect((await ask(host, CHAT, whole)).status).toBe(200);
    expect((await ask(host, CHAT, { ...whole, model: "phi" })).status).toBe(500);
    await ask(host, "/lab/fault", undefined, { method: "DELETE" });
    await ask(host, "/lab/fault", { kind: "500", times: 1 });
    await ask(host, "/lab/fault", { kind: "429", times: 1 });
    expect([(await ask(host, CHAT, whole)).status, (await ask(host, CHAT, whole)).status]).toEqual([500, 429]);
  });

  test("which request was struck, and until when its connection lasted, is kept; so are connections that hang", async () => {
    const host = await hostFor();
    const strikes = async () => (await ask<Strike[]>(host, "/lab/strikes")).json;
    const open = async () => (await ask<{ open: number }>(host, "/lab/load")).json.open;
    await ask(host, "/lab/fault", { kind: "hang", times: 1 });
    const leaving = new AbortController();
    const init = { headers: { "x-request-id": "hung" }, signal: leaving.signal };
    const hanging = expect(ask(host, CHAT, stream, init)).rejects.toThrow();
    await until(open, (count) => count === 1);
    expect(await strikes()).toMatchObject([{ requestId: "hung", kind: "hang-before-headers", closedAtMs: null }]);
    leaving.abort();
    await hanging;
    await until(open, (count) => count === 0);
    expect((await strikes())[0]?.closedAtMs).toBeGreaterThan(0);
    await ask(host, CHAT, stream);
    expect(await strikes()).toHaveLength(1);
    await ask(host, "/lab/strikes", undefined, { method: "DELETE" });
    expect(await strikes()).toEqual([]);
  });

  test.each([{ kind: "cut", afterTokens: -1 }, { kind: "cut", times: 0 }, { kind: 7 }, "[", "{"])(
    "%j is refused",
    async (body) => {
      const host = await hostFor();
      expect((await ask(host, "/lab/fault", body)).status).toBe(400);
    },
  );
});
