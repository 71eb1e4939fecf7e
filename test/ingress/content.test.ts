/** What is kept of a conversation, and where: in the ledger if the catalog says so, and in no log line ever. */
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { contentOf, keepingText, wordsOf } from "#src/ingress/content.ts";
import { questionOf, type Route } from "#src/ingress/question.ts";
import type { JsonObject } from "#src/json.ts";
import { inSession } from "#src/postgres/session.ts";
import { utf8 } from "#test/sse/chunking.ts";
import { eventWith } from "#test/support/events.ts";
import { CATALOG, type Host, startGateway, streamed } from "#test/support/gateway.ts";
import { dialect, question } from "#test/upstream/asked.ts";

const LONGEST = 16_384;
const QUEUE_MESSAGE_BYTES = 128_000;

const asking = (route: Route, body: JsonObject) => questionOf(route, { model: "m", ...body });

describe("the prompt as it is kept", () => {
  const messages = [{ role: "user", content: "hi" }];
  test.each<{ name: string; route: Route; body: JsonObject; prompt: string }>([
    { name: "messages, with who said what", route: "chat", body: { messages }, prompt: JSON.stringify(messages) },
    { name: "a prompt", route: "completions", body: { prompt: "once" }, prompt: "once" },
    { name: "several", route: "completions", body: { prompt: ["a", "b"] }, prompt: '["a","b"]' },
    { name: "token ids", route: "completions", body: { prompt: [1, 2] }, prompt: "[1,2]" },
    { name: "an input", route: "embeddings", body: { input: "words" }, prompt: "words" },
  ])("$name", ({ route, body, prompt }) => {
    expect(contentOf(asking(route, body), "said")).toEqual({ prompt, response: "said" });
  });
});

describe("both are cut to their bound", () => {
  test.each([LONGEST - 1, LONGEST, LONGEST + 1, 10 * LONGEST])("%i characters", (length) => {
    const text = "abcd".repeat(Math.ceil(length / 4)).slice(0, length);
    const kept = contentOf(asking("completions", { prompt: text }), text);
    expect(kept).toEqual({ prompt: text.slice(0, LONGEST), response: text.slice(0, LONGEST) });
  });

  test("whatever they are made of, an event with them fits a message of the queue, and is whole text", () => {
    const unit = fc.constantFrom("a", '"', "\\", "\u0001", "\n", "é", "道", "😀", "\u2028", "\u007f");
    const text = fc
      .array(fc.tuple(unit, fc.nat({ max: 20_000 })), { maxLength: 4 })
      .map((runs) => runs.map(([sign, count]) => sign.repeat(count)).join(""));
    fc.assert(
      fc.property(text, text, (prompt, answer) => {
        const content = contentOf(asking("completions", { prompt }), answer);
        const message = { event: eventWith({ content }), outbox: "0".repeat(64) };
        expect(utf8(JSON.stringify(message)).byteLength).toBeLessThan(QUEUE_MESSAGE_BYTES);
        for (const [kept, whole] of [
          [content.prompt, prompt],
          [content.response, answer],
        ] as const) {
          expect(kept.isWellFormed()).toBe(true);
          expect(kept.length).toBeLessThanOrEqual(LONGEST);
          // At most half a surrogate pair is replaced.
          expect(whole.startsWith(kept.slice(0, -1))).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe("the words of a whole answer", () => {
  test.each<{ name: string; answer: JsonObject; words: string }>([
    { name: "chat", answer: { choices: [{ message: { content: "hi" } }] }, words: "hi" },
    { name: "raw", answer: { choices: [{ text: "hi" }] }, words: "hi" },
    { name: "several", answer: { choices: [{ text: "a" }, { text: "b" }] }, words: "a\nb" },
    { name: "a tool call", answer: { choices: [{ message: { content: null, tool_calls: [{}] } }] }, words: "" },
    { name: "an embedding", answer: { data: [{ embedding: [1] }] }, words: "" },
    { name: "no choice", answer: { choices: [] }, words: "" },
    { name: "choices of another type", answer: { choices: "hi" }, words: "" },
    { name: "a choice of null", answer: { choices: [null, { message: null }, { text: 1 }] }, words: "" },
  ])("$name", ({ answer, words }) => {
    expect(wordsOf(answer)).toBe(words);
  });
});

test.each(["vllm", "llamacpp"])("a dialect that keeps text says the same to the host: %s", (engine) => {
  const plain = dialect({ engine }, question("chat", { stream: true }));
  const keeping = keepingText(plain, { isStored: true, forSeam: 0, heldCharacters: 0 });
  expect({ ...keeping, stream: null }).toEqual({ ...plain, stream: null });
  const sent = utf8('data: {"choices":[{"index":0,"delta":{"content":"hello"}}]}\n\n');
  const [mute, kept] = [plain.stream(), keeping.stream()];
  expect(kept.push(sent)).toEqual(mute.push(sent));
  expect([mute.text, kept.text]).toEqual(["", "hello"]);
});

test.each([
  { isStored: false, forSeam: 0, remain: 0 },
  { isStored: false, forSeam: 65_536, remain: 0 },
  { isStored: true, forSeam: 0, remain: 16_384 },
  { isStored: true, forSeam: 65_536, remain: 16_384 },
])("of an answer too long for a seam remains what the ledger stores: %j", ({ isStored, forSeam, remain }) => {
  const stream = keepingText(dialect({ engine: "vllm" }, question("chat", { stream: true })), {
    isStored,
    forSeam,
    heldCharacters: 0,
  }).stream();
  const piece = "x".repeat(1_000);
  const sent = utf8(`data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: { content: piece } }] })}\n\n`);
  const longest = Math.max(forSeam, remain);
  for (let passed = 0; passed <= longest; passed += piece.length) {
    const isLonger = passed + piece.length > longest;
    stream.push(sent);
    expect(stream.text.length).toBe(isLonger ? remain : passed + piece.length);
    expect(stream.seam()).toEqual(isLonger ? null : expect.objectContaining({ text: stream.text }));
  }
});

describe("through the gateway", () => {
  const PROMPT = "canary-prompt-9c41";
  const HEARD = "canary-answer-77ab";
  const CONTROL = "\u0001";
  const served = [{ host: "gpu", as: "s" }];
  const cache = { ttl: 60, scope: "user" };
  const catalog = {
    ...CATALOG,
    models: [
      { id: "storing", served, storeContent: true, cache },
      { id: "silent", served, cache },
      { id: "storing-embedder", kind: "embedding", served, storeContent: true },
    ],
  };
  /** What the host makes of a question is told by its words. */
  const host: Host = (body) => {
    const asked = JSON.stringify(body);
    if (asked.includes("fail")) return new Response(`${HEARD} went wrong`, { status: 500 });
    if (body.input !== undefined) return Response.json({ object: "list", data: [{ embedding: [1], index: 0 }] });
    const content = asked.includes("control") ? CONTROL.repeat(99_000) : HEARD;
    if (body.stream !== true)
      return Response.json({ choices: [{ index: 0, finish_reason: "stop", message: { content } }] });
    return streamed([
      ...[HEARD.slice(0, 5), HEARD.slice(5)].map((piece) => ({ choices: [{ index: 0, delta: { content: piece } }] })),
      { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    ]);
  };

  const messages = [{ role: "user", content: PROMPT }];
  const failing = [{ role: "user", content: `${PROMPT} fail` }];
  const prompt = `control${CONTROL.repeat(99_000)}`;
  const stored = { prompt: JSON.stringify(messages), response: HEARD };
  const nothing = { prompt: null, response: null };
  const first = { cache: "bypass", body: { messages, temperature: 1 } };
  const again = { cache: "hit", body: { messages, temperature: 0 } };
  const ASKED: { name: string; path?: string; cache?: string; body: JsonObject; row: Record<string, unknown> }[] = [
    { name: "whole", ...first, body: { model: "storing", ...first.body }, row: stored },
    { name: "whole, not stored", ...first, body: { model: "silent", ...first.body }, row: nothing },
    { name: "streamed", body: { model: "storing", messages, stream: true }, row: stored },
    { name: "streamed, not stored", body: { model: "silent", messages, stream: true }, row: nothing },
    { name: "from the cache", ...again, body: { model: "storing", ...again.body }, row: stored },
    { name: "from the cache, not stored", ...again, body: { model: "silent", ...again.body }, row: nothing },
    {
      name: "a question that no host answered",
      body: { model: "storing", messages: failing },
      row: { outcome: "upstream_error", prompt: JSON.stringify(failing), response: "" },
    },
    {
      name: "an embedding, which has no words",
      path: "/v1/embeddings",
      body: { model: "storing-embedder", input: PROMPT },
      row: { prompt: PROMPT, response: "" },
    },
    {
      name: "content that is dear to encode",
      path: "/v1/completions",
      body: { model: "storing", prompt },
      row: {
        prompt: expect.stringContaining(`control${CONTROL.repeat(8_000)}`),
        response: expect.stringContaining(CONTROL.repeat(8_000)),
      },
    },
  ];
  const logged: string[] = [];
  const rows = new Map<string, Record<string, unknown>>();

  beforeAll(async () => {
    for (const level of ["log", "info", "warn", "error", "debug"] as const)
      vi.spyOn(console, level).mockImplementation((...said) => void logged.push(said.map(String).join(" ")));
    const gateway = await startGateway(catalog, host);
    const ids = await Promise.all(
      ASKED.map(({ path = "/v1/chat/completions", cache = null, body }) =>
        vi.waitFor(async () => {
          const response = await gateway.ask(path, { body });
          await response.text();
          if (cache !== null) expect(response.headers.get("x-causeway-cache")).toBe(cache);
          return response.headers.get("x-request-id") ?? "";
        }, 8_000),
      ),
    );
    const text = "SELECT * FROM inference_logs WHERE id = ANY ($1::uuid[])";
    await vi.waitFor(
      async () => {
        const found = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [ids]));
        expect(found.rows).toHaveLength(ids.length);
        for (const row of found.rows) rows.set(ASKED[ids.indexOf(row.id)]?.name ?? "", row);
      },
      { timeout: 8_000, interval: 100 },
    );
  }, 20_000);
  afterAll(() => {
    vi.restoreAllMocks();
  });

  test.each(ASKED)("$name", ({ name, row }) => {
    expect(rows.get(name)).toMatchObject(row);
  });

  test("no log line has a word of it", () => {
    expect(logged.length).toBeGreaterThanOrEqual(ASKED.length);
    expect(logged.filter((line) => [PROMPT, HEARD, CONTROL].some((said) => line.includes(said)))).toEqual([]);
  });
});
