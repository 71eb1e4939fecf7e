/** What only some hosts offer, through the whole Worker: who may ask, which host is asked, what it costs. */
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { JsonObject } from "#src/json.ts";
import { inSession } from "#src/postgres/session.ts";
import { CHAT, type Gateway, type Host } from "#test/support/gateway.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const RERANK = { model: "ranker", query: "cats", documents: ["dogs", "cats"] };
const TOKENIZE = { model: "m", prompt: "hello" };
const SAID = { text: "Hello there.", usage: { type: "tokens", input_tokens: 14, output_tokens: 3 } };

let gateway: Gateway;
let hosts: Record<string, StandIn>;
/** Paths that the hosts were asked for. */
const paths: (string | undefined)[] = [];

const answers: Host = (body, _signal, path) => {
  paths.push(path);
  if (path === "/v1/rerank") {
    const results = [
      { index: 0, relevance_score: 0.1 },
      { index: 1, relevance_score: 0.9 },
    ];
    return Response.json({ model: body.model, object: "list", usage: { prompt_tokens: 9, total_tokens: 9 }, results });
  }
  if (path === "/apply-template") return Response.json({ prompt: "<|user|>hello" });
  if (path === "/tokenize") return Response.json({ tokens: [5, 6, 7] });
  if (path === "/v1/audio/transcriptions") return Response.json(SAID);
  return new Response("not found", { status: 404 });
};

beforeAll(async () => {
  const all = ["rerank", "transcriptions", "tokenize"];
  ({ gateway, hosts } = await withHosts(
    [
      hostOf("able", { offers: all, slots: 9 }),
      hostOf("twin", { offers: all, backup: true }),
      hostOf("plain"),
      hostOf("llama", { engine: "llamacpp", offers: ["tokenize"] }),
    ],
    [
      modelOn("m", ["plain", "able", "twin"], { context: 512 }),
      modelOn("on-llama", ["llama"]),
      modelOn("nobody", ["plain"]),
      modelOn("ranker", ["able", "twin"], { kind: "rerank", cache: { ttl: 60, scope: "shared" } }),
      modelOn("whisper", ["able", "twin"], { kind: "transcription", storeContent: true, price: { per1kTokens: 1 } }),
    ],
  ));
  for (const host of Object.values(hosts)) host.answer = answers;
  vi.spyOn(console, "log").mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
});

function form(fields: Record<string, string> = {}, bytes = 4): FormData {
  const said = new FormData();
  for (const [name, value] of Object.entries({ model: "whisper", ...fields })) said.set(name, value);
  said.set("file", new File([new Uint8Array(bytes)], "speech.mp3", { type: "audio/mpeg" }));
  return said;
}
const post = (path: string, body: unknown, as: Record<string, unknown> | null = { sub: "ann" }) =>
  gateway.ask(path, { body, as });

/** What the ledger is to say of these answers: looked at together, because the queue takes its time. */
const owed = new Map<string, Record<string, unknown>>();
function owe(response: Response, row: Record<string, unknown>): void {
  owed.set(response.headers.get("x-request-id") ?? "", row);
}

describe("an answer", () => {
  test("rerank", async () => {
    const response = await post("/v1/rerank", RERANK);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-causeway-host")).toBe("able");
    expect(response.headers.get("ratelimit")).toContain('"rpm"');
    expect(await response.json()).toEqual({
      id: `rerank-${response.headers.get("x-request-id")}`,
      model: "ranker",
      usage: { prompt_tokens: 9, total_tokens: 9 },
      results: [
        { index: 1, document: { text: "cats" }, relevance_score: 0.9 },
        { index: 0, document: { text: "dogs" }, relevance_score: 0.1 },
      ],
    });
    const cost = { route: "rerank", prompt_tokens: 9, completion_tokens: 0, estimated: false, outcome: "complete" };
    owe(response, { ...cost, cache: "bypass", host: "able" });
  });

  test("tokenize", async () => {
    const response = await post("/tokenize", TOKENIZE);
    expect(await response.json()).toEqual({ count: 3, max_model_len: 512, tokens: [5, 6, 7], token_strs: null });
    // Never the host that does not offer it.
    expect(response.headers.get("x-causeway-host")).toBe("able");
    const cost = { route: "tokenize", prompt_tokens: 0, completion_tokens: 0, estimated: false };
    owe(response, { ...cost, outcome: "complete" });
  });

  test("tokenize a conversation, on llama.cpp by two questions and one row", async () => {
    const response = await post("/tokenize", { model: "on-llama", messages: CHAT.messages });
    expect(await response.json()).toMatchObject({ count: 3, tokens: [5, 6, 7] });
    expect(paths.slice(-2)).toEqual(["/apply-template", "/tokenize"]);
    expect(hosts.llama?.asked.at(-1)).toMatchObject({ content: "<|user|>hello", add_special: false });
    owe(response, { route: "tokenize", attempts: 1 });
  });

  test("a transcription: what was heard is stored where the catalog says so, and nothing of the recording", async () => {
    const response = await post("/v1/audio/transcriptions", form({ prompt: "a hint" }));
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.json()).toEqual(SAID);
    const { file, ...fields } = hosts.able?.asked.at(-1) ?? {};
    expect(fields).toEqual({ model: "whisper", prompt: "a hint", response_format: "json" });
    expect(file).toMatchObject({ name: "audio.mp3", type: "audio/mpeg", size: 4 });
    owe(response, {
      route: "transcriptions",
      prompt_tokens: 14,
      completion_tokens: 3,
      estimated: false,
      cost_estimate: "0.017000",
      prompt: "a hint",
      response: "Hello there.",
    });
  });

  test("a transcription as text", async () => {
    const response = await post("/v1/audio/transcriptions", form({ response_format: "text" }));
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(await response.text()).toBe("Hello there.\n");
  });
});

test("every answer has its row in the ledger", { timeout: 20_000 }, async () => {
  expect(owed.size).toBe(4);
  const text = "SELECT * FROM inference_logs WHERE id = ANY ($1::uuid[])";
  await vi.waitFor(
    async () => {
      const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) =>
        session.query(text, [[...owed.keys()]]),
      );
      expect(rows).toHaveLength(owed.size);
      for (const row of rows) expect(row).toMatchObject(owed.get(row.id) ?? {});
    },
    { timeout: 15_000, interval: 200 },
  );
});

describe("a host that fails", () => {
  test("costs the caller nothing while another offers the same", async () => {
    if (hosts.able !== undefined) hosts.able.answer = () => new Response("gone", { status: 500 });
    const answered = await post("/v1/audio/transcriptions", form());
    if (hosts.able !== undefined) hosts.able.answer = answers;
    expect([answered.status, answered.headers.get("x-causeway-host")]).toEqual([200, "twin"]);
    // The form went out a second time, whole.
    expect(hosts.twin?.asked.at(-1)?.file).toMatchObject({ name: "audio.mp3", size: 4 });
  });

  test.each<{ name: string; path: string; body: JsonObject; host: string; says: () => Response }>([
    {
      name: "ranks nothing",
      path: "/v1/rerank",
      body: RERANK,
      host: "able",
      says: () => Response.json({ choices: [] }),
    },
    {
      name: "renders nothing",
      path: "/tokenize",
      body: { model: "on-llama", messages: CHAT.messages },
      host: "llama",
      says: () => Response.json({ tokens: [1] }),
    },
  ])("and $name is an error of ours", async ({ path, body, host, says }) => {
    for (const one of [hosts[host], hosts.twin]) if (one !== undefined) one.answer = says;
    const response = await post(path, body);
    for (const one of [hosts[host], hosts.twin]) if (one !== undefined) one.answer = answers;
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({ error: { code: "upstream_error", type: "server_error" } });
  });

  test("the caller's own mistake is told in the engine's words", async () => {
    const error = { message: "Invalid or unsupported audio file.", type: "BadRequestError", param: null, code: 400 };
    if (hosts.able !== undefined) hosts.able.answer = () => Response.json({ error }, { status: 400 });
    const response = await post("/v1/audio/transcriptions", form());
    if (hosts.able !== undefined) hosts.able.answer = answers;
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: { message: error.message, type: "invalid_request_error", param: null, code: "invalid_value" },
    });
  });
});

describe("refused", () => {
  test.each<{ name: string; path: string; body: unknown; status: number; code: string; param: string | null }>([
    {
      name: "a model that chats",
      path: "/v1/rerank",
      body: { ...RERANK, model: "m" },
      status: 400,
      code: "unsupported_value",
      param: "model",
    },
    {
      name: "chat with a ranker",
      path: "/v1/chat/completions",
      body: { ...CHAT, model: "ranker" },
      status: 400,
      code: "unsupported_value",
      param: "model",
    },
    {
      name: "a model of no host that offers it",
      path: "/tokenize",
      body: { ...TOKENIZE, model: "nobody" },
      status: 400,
      code: "unsupported_value",
      param: "model",
    },
    {
      name: "a model for another sound",
      path: "/v1/audio/transcriptions",
      body: form({ model: "m" }),
      status: 400,
      code: "unsupported_value",
      param: "model",
    },
    {
      name: "no such model",
      path: "/tokenize",
      body: { ...TOKENIZE, model: "x" },
      status: 404,
      code: "model_not_found",
      param: "model",
    },
    {
      name: "JSON for a form",
      path: "/v1/audio/transcriptions",
      body: { model: "whisper" },
      status: 415,
      code: "unsupported_media_type",
      param: null,
    },
    {
      name: "a form for JSON",
      path: "/v1/rerank",
      body: form(),
      status: 415,
      code: "unsupported_media_type",
      param: null,
    },
    {
      name: "too large a file",
      path: "/v1/audio/transcriptions",
      body: form({}, 26_300_000),
      status: 413,
      code: "request_too_large",
      param: "file",
    },
    {
      name: "a stream",
      path: "/v1/audio/transcriptions",
      body: form({ stream: "true" }),
      status: 400,
      code: "unsupported_value",
      param: "stream",
    },
    {
      name: "a URL to tokenize, which a host would fetch",
      path: "/tokenize",
      body: {
        model: "m",
        messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "http://10.0.0.1/" } }] }],
      },
      status: 400,
      code: "invalid_value",
      param: "messages.0.content.0.image_url",
    },
  ])("$name: $status", async ({ path, body, status, code, param }) => {
    const before = paths.length;
    const response = await post(path, body);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code, param } });
    expect(paths.length).toBe(before);
  });

  test.each(["/v1/rerank", "/tokenize", "/v1/audio/transcriptions"])("%s without a credential", async (path) => {
    expect((await post(path, RERANK, null)).status).toBe(401);
    expect((await gateway.ask(path)).status).toBe(405);
  });
});

test("who leaves while it is tokenized ends the question", async () => {
  const { able } = hosts;
  if (able === undefined) throw new Error("no host");
  able.isHeld = true;
  const leaving = new AbortController();
  const asked = gateway.ask("/tokenize", { body: TOKENIZE, signal: leaving.signal }).catch(() => null);
  await vi.waitFor(() => expect(able.inFlight).toBe(1));
  leaving.abort();
  await vi.waitFor(() => expect(able.inFlight).toBe(0));
  able.isHeld = false;
  await asked;
});
