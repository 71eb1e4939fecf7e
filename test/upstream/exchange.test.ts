import { describe, expect, test } from "vitest";
import { ContinuedStream, SaidOtherwise } from "#src/upstream/continued-stream.ts";
import type { Dialect } from "#src/upstream/dialect.ts";
import { askWhole, openStream } from "#src/upstream/exchange.ts";
import { NOTHING_YET } from "#src/upstream/tally.ts";
import { textOf, utf8 } from "#test/sse/chunking.ts";
import { dialect, question } from "./asked.ts";

const VLLM = { engine: "vllm" };
const NATIVE = { engine: "llamacpp", native: true };
const TRACE = { requestId: "r-1", traceparent: null };

const HEAD = { id: "first", object: "chat.completion.chunk", created: 7, model: "m" };

type Sent = { path: string; init: RequestInit };

/** A host that answers so, and what it was sent. */
function hostOf(answer: () => Response) {
  const sent: Sent[] = [];
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    sent.push({ path, init });
    return answer();
  };
  return { ask, sent };
}

const answered = (body: BodyInit | null, type: string | null, status = 200): (() => Response) => {
  return () => new Response(body, { status, headers: type === null ? {} : { "content-type": type } });
};

/** A body without end, and whether it was let go. */
function endless(piece: string) {
  const seen = { bytes: 0, cancelled: false };
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(utf8(piece));
      seen.bytes += piece.length;
    },
    cancel() {
      seen.cancelled = true;
    },
  });
  return { body, seen };
}

const stream = (host: ReturnType<typeof hostOf>, signal = new AbortController().signal) =>
  openStream(host.ask, dialect(VLLM, question("chat", { stream: true })), TRACE, signal, () => undefined);
const whole = (host: ReturnType<typeof hostOf>, engine: object = VLLM) =>
  askWhole(host.ask, dialect({ ...engine }, question("chat")), TRACE, new AbortController().signal);

const ROLE = 'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n';
const CONTENT = 'data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n';

describe("what is sent", () => {
  test.each([
    { name: "a stream, no trace", traceparent: null, headers: {} },
    { name: "a stream, a trace", traceparent: "00-1-2-01", headers: { traceparent: "00-1-2-01" } },
  ])("$name: these headers and no other, the body made here, the signal", async ({ traceparent, headers }) => {
    const host = hostOf(answered(CONTENT, "text/event-stream"));
    const { signal } = new AbortController();
    const said = dialect(VLLM, question("chat", { stream: true }));
    await openStream(host.ask, said, { requestId: "r-1", traceparent }, signal, () => undefined);
    const [sent] = host.sent;
    expect(sent).toEqual({
      path: "/v1/chat/completions",
      init: {
        method: "POST",
        headers: { "content-type": "application/json", accept: "text/event-stream", "x-request-id": "r-1", ...headers },
        body: JSON.stringify(said.body),
        signal,
      },
    });
  });

  test("who goes on otherwise than what it was to repeat is asked otherwise, once, and nothing of it is passed", async () => {
    const seam = { head: HEAD, text: "a lo", marks: [], tally: NOTHING_YET };
    const said = (owed: string): Dialect => {
      const plain = dialect(VLLM, question("chat", { stream: true, seed: owed.length }));
      return { ...plain, stream: () => new ContinuedStream(plain.stream(), seam, 1, owed, false) };
    };
    const host = hostOf(answered(CONTENT, "text/event-stream"));
    const { signal } = new AbortController();
    const ask = (first: Dialect) => openStream(host.ask, first, TRACE, signal, () => undefined);
    const reply = await ask({ ...said(" lo"), otherwise: () => said("") });
    expect(host.sent.map(({ init }) => JSON.parse(String(init.body)).seed)).toEqual([3, 0]);
    expect(reply.kind === "answer" && textOf(reply.answer.head ?? utf8(""))).toContain('"content":"a"');
    await expect(ask({ ...said(" lo"), otherwise: () => said(" la") })).rejects.toThrow(SaidOtherwise);
    await expect(ask(said(" lo"))).rejects.toThrow(SaidOtherwise);
    expect(host.sent).toHaveLength(5);
  });

  test("a whole answer is asked for as JSON", async () => {
    const host = hostOf(answered('{"choices":[]}', "application/json"));
    await whole(host);
    expect(host.sent).toMatchObject([{ init: { headers: { accept: "application/json" } } }]);
  });

  test("a host that cannot be reached rejects", async () => {
    const ask = () => Promise.reject(new TypeError("Network connection lost."));
    await expect(stream({ ask, sent: [] })).rejects.toThrow(TypeError);
  });
});

describe("a stream", () => {
  test.each(["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream"])(
    "of %s has begun with its first content, and is read no further",
    async (type) => {
      const { body, seen } = endless(CONTENT);
      const reply = await stream(hostOf(() => new Response(body, { headers: { "content-type": type } })));
      if (reply.kind !== "answer") throw new Error(reply.kind);
      expect(seen.bytes).toBeLessThan(10 * CONTENT.length);
      expect(textOf(reply.answer.head ?? new Uint8Array(0))).toContain('"content":"a"');
      expect(reply.answer.stream.hasContent).toBe(true);
    },
  );

  test("what comes before the first content goes along", async () => {
    const said = `: ping\n\n${ROLE}${CONTENT}`;
    const reply = await stream(hostOf(answered(said, "text/event-stream")));
    if (reply.kind !== "answer") throw new Error(reply.kind);
    expect(textOf(reply.answer.head ?? new Uint8Array(0))).toBe(said);
  });

  test.each([
    { name: "nothing", said: "" },
    { name: "a role", said: ROLE },
    { name: "[DONE] alone", said: "data: [DONE]\n\n" },
    { name: "garbage", said: "data: {\n\n" },
    { name: "its own error", said: `${ROLE}event: error\ndata: {"message":"oops"}\n\n` },
    { name: "half an event", said: CONTENT.slice(0, -10) },
    { name: "talk without end", said: ": ping\n\n".repeat(50_000) },
  ])("that ends after $name is a failure of the host: another may answer", async ({ said }) => {
    await expect(stream(hostOf(answered(said, "text/event-stream")))).rejects.toThrow();
  });

  test.each([
    { name: "JSON", answer: answered('{"choices":[]}', "application/json"), code: "upstream_error" },
    { name: "HTML", answer: answered("<html>", "text/html"), code: "upstream_error" },
    { name: "no type", answer: answered(utf8("data: 1\n\n"), null), code: "upstream_error" },
    { name: "no body", answer: answered(null, "text/event-stream"), code: "upstream_error" },
    { name: "204", answer: answered(null, "text/event-stream", 204), code: "upstream_error" },
    { name: "206", answer: answered("data: 1\n\n", "text/event-stream", 206), code: "upstream_error" },
    {
      name: "an event stream of 500",
      answer: answered("data: 1\n\n", "text/event-stream", 500),
      code: "upstream_error",
    },
    { name: "a redirect", answer: () => Response.redirect("https://team.example.com/", 302), code: "upstream_refused" },
    { name: "503", answer: answered("{}", "application/json", 503), code: "host_busy" },
  ])("of $name is a failure of the host", async ({ answer, code }) => {
    expect(await stream(hostOf(answer))).toMatchObject({ kind: "failed", problem: { code } });
  });

  test("that is refused as wrong", async () => {
    const body = JSON.stringify({ error: { message: "no", type: "BadRequestError", param: "n", code: 400 } });
    expect(await stream(hostOf(answered(body, "application/json", 400)))).toMatchObject({
      kind: "rejected",
      problem: { code: "invalid_value", message: "no", facts: { param: "n" } },
    });
  });

  test("a refusal without end is read to a bound and let go", async () => {
    const { body, seen } = endless("x".repeat(4_096));
    const reply = await stream(hostOf(() => new Response(body, { status: 400 })));
    expect(reply).toMatchObject({ kind: "failed", problem: { code: "upstream_error" } });
    expect(seen.cancelled).toBe(true);
    expect(seen.bytes).toBeLessThan(100_000);
  });
});

describe("a whole answer", () => {
  test("in OpenAI's shape goes on as its own text, to the byte", async () => {
    const text = '{ "choices": [], "b": 1.0, "a": 12345678901234567890, "é": "\\u00e9" }\n';
    const reply = await whole(hostOf(answered(text, "application/json")));
    expect(reply).toMatchObject({ kind: "answer", answer: { text, document: { b: 1, é: "é" } } });
  });

  test("of a native host is translated, document and text", async () => {
    const native = JSON.stringify({
      content: "hey",
      stop: true,
      stop_type: "eos",
      tokens_evaluated: 5,
      tokens_predicted: 2,
    });
    const reply = await whole(hostOf(answered(native, "application/json; charset=utf-8")), NATIVE);
    if (reply.kind !== "answer") throw new Error(reply.kind);
    expect(reply.answer.document).toMatchObject({
      choices: [{ message: { content: "hey" } }],
      usage: { total_tokens: 7 },
    });
    expect(JSON.parse(reply.answer.text)).toEqual(reply.answer.document);
  });

  test.each([
    { name: "no JSON", text: "<html>" },
    { name: "half a document", text: '{"choices":[' },
    { name: "nothing", text: "" },
    { name: "null", text: "null" },
    { name: "a number", text: "5" },
    { name: "an array", text: "[{}]" },
  ])("of $name rejects", async ({ text }) => {
    await expect(whole(hostOf(answered(text, "application/json")))).rejects.toThrow(Error);
    await expect(whole(hostOf(answered(text, "application/json")), NATIVE)).rejects.toThrow(Error);
  });

  test.each([
    { name: "HTML", answer: answered("<html>", "text/html"), code: "upstream_error" },
    { name: "an event stream", answer: answered("data: 1\n\n", "text/event-stream"), code: "upstream_error" },
    { name: "201", answer: answered("{}", "application/json", 201), code: "upstream_error" },
    { name: "429", answer: answered("{}", "application/json", 429), code: "host_busy" },
  ])("of $name is a failure of the host", async ({ answer, code }) => {
    expect(await whole(hostOf(answer))).toMatchObject({ kind: "failed", problem: { code } });
  });

  test("without end rejects, and is let go", async () => {
    const { body, seen } = endless(" ".repeat(1024 * 1024));
    const host = hostOf(() => new Response(body, { headers: { "content-type": "application/json" } }));
    await expect(whole(host)).rejects.toThrow("larger");
    expect(seen.cancelled).toBe(true);
    expect(seen.bytes).toBeLessThan(40 * 1024 * 1024);
  });
});
