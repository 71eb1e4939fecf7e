import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import type { ResponseStreamEvent } from "openai/resources/responses/responses";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { weigh } from "#scripts/chaos/memory.ts";
import { type Door, startDoor } from "#scripts/lab/door/door.ts";
import { parseDoorOptions } from "#scripts/lab/door/options.ts";
import { type LabHost, startLabHost } from "#scripts/lab/host.ts";
import { type RunningStack, startStack } from "#scripts/stack/stack.ts";
import { pathRuleOf } from "#scripts/tunnel/paths.ts";
import { eventually } from "./eventually.ts";
import { type Heard, type HostileHost, startHostileHost, tricksOf } from "./hostile-host.ts";

/** An operator's own hosts and catalog: a native llama.cpp, engines that ask for their keys, and one behind Access. */
const ENGINE_KEY = "engine-key-of-this-test";
const TOKEN = { ACCESS_CLIENT_ID: "gateway.access", ACCESS_CLIENT_SECRET: "secret-of-this-test" };
const stateDir = mkdtempSync(join(tmpdir(), "causeway-own-"));
let hosts: Record<"native" | "llamacpp" | "vllm" | "guarded", LabHost>;
let door: Door;
/** Headers that a caller sends to be taken for somebody else, or to reach behind the gateway. */
const FORGED: Record<string, string> = {
  connection: "close, x-internal, x-api-key",
  "keep-alive": "timeout=5",
  "proxy-connection": "keep-alive",
  upgrade: "h2c",
  "x-internal": "1",
  te: "trailers",
  trailer: "x",
  cookie: "session=1",
  "proxy-authorization": "Basic eDp5",
  "cf-connecting-ip": "1.2.3.4",
  "cf-access-client-id": "forged",
  "cf-access-jwt-assertion": "forged",
  "cf-ray": "forged",
  "x-forwarded-for": "1.2.3.4",
  "x-forwarded-host": "evil.example",
  forwarded: "for=1.2.3.4",
  "x-real-ip": "1.2.3.4",
  "x-api-key": "forged",
  "x-request-id": "forged",
  "openai-organization": "org-x",
  "user-agent": "canary-agent",
  "accept-language": "de",
  "accept-encoding": "gzip, br",
  referer: "https://evil.example/",
  origin: "https://evil.example",
  traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
};
/** Where no redirect may lead. */
const ELSEWHERE = "http://127.0.0.1:9";
const tricks = tricksOf(ELSEWHERE);
let hostile: HostileHost;
let running: RunningStack;

beforeAll(async () => {
  const common = { port: 0, slots: 4, apiKey: ENGINE_KEY, ttftMs: 20, tokensPerSecond: 200, contextTokens: 8_192 };
  const [native, llamacpp, vllm, guarded] = await Promise.all([
    startLabHost({ ...common, id: "native", engine: "llamacpp", models: ["tiny.gguf"], nativeOnly: true }),
    startLabHost({ ...common, id: "llamacpp", engine: "llamacpp", models: ["small.gguf"] }),
    startLabHost({ ...common, id: "vllm", engine: "vllm", models: ["org/big"] }),
    startLabHost({ ...common, id: "guarded", engine: "vllm", models: ["org/guarded"] }),
  ]);
  hosts = { native, llamacpp, vllm, guarded };
  door = await startDoor(
    parseDoorOptions({
      id: "door",
      origin: guarded.url,
      clientId: TOKEN.ACCESS_CLIENT_ID,
      clientSecret: TOKEN.ACCESS_CLIENT_SECRET,
      path: pathRuleOf({ engine: "vllm", native: false, offers: [] }),
    }),
  );
  hostile = await startHostileHost(tricks);
  const deadlines = { firstToken: 1_000, betweenTokens: 1_000, total: 20_000 };
  const host = (id: keyof typeof hosts, engine: string, more = {}) => {
    return { id, engine, slots: 4, reach: { via: "direct", url: hosts[id].url }, keyFrom: "ENGINE_KEY", ...more };
  };
  const catalog = {
    hosts: [
      host("native", "llamacpp", { native: true, offers: ["rerank", "tokenize"] }),
      host("llamacpp", "llamacpp", { offers: ["rerank", "tokenize"] }),
      host("vllm", "vllm", { cost: { perHour: 3.6 }, offers: ["rerank", "transcriptions", "tokenize"] }),
      host("guarded", "vllm", { reach: { via: "access", url: door.url } }),
      { ...host("vllm", "vllm", { offers: ["responses"] }), id: "speaker" },
      // The same machines, with the routes that they have beyond chat.
      { ...host("llamacpp", "llamacpp", { offers: ["messages"] }), id: "llamacpp-messages" },
      { ...host("vllm", "vllm", { offers: ["messages"], cacheSalt: false }), id: "vllm-messages" },
      { id: "hostile", engine: "vllm", reach: { via: "direct", url: hostile.url }, keyFrom: "ENGINE_KEY" },
    ],
    models: [
      { id: "tiny", served: [{ host: "native", as: "tiny.gguf", template: "chatml" }], deadlines },
      { id: "small", served: [{ host: "llamacpp", as: "small.gguf" }], deadlines },
      { id: "org/big:fp8", served: [{ host: "vllm", as: "org/big" }], deadlines },
      { id: "guarded", served: [{ host: "guarded", as: "org/guarded" }], deadlines },
      { id: "speaks", served: [{ host: "speaker", as: "org/big" }], storeContent: true, deadlines },
      { id: "small-messages", served: [{ host: "llamacpp-messages", as: "small.gguf" }], deadlines },
      { id: "big-messages", served: [{ host: "vllm-messages", as: "org/big" }], deadlines },
      ...(["vllm", "llamacpp", "native"] as const).map((id) => ({
        id: `ranker-${id}`,
        kind: "rerank",
        served: [{ host: id, as: { vllm: "org/big", llamacpp: "small.gguf", native: "tiny.gguf" }[id] }],
      })),
      { id: "whisper", kind: "transcription", served: [{ host: "vllm", as: "org/big" }] },
      {
        id: "remembered",
        served: [{ host: "vllm", as: "org/big" }],
        storeContent: true,
        price: { per1kTokens: 1, hostTime: true, version: "of-this-test" },
      },
      // One for each, so that no breaker opens.
      ...tricks.map(({ name, isEndless = false }) => ({
        id: name,
        served: [{ host: "hostile", as: name }],
        ...(isEndless ? { deadlines: { firstToken: 1_500, betweenTokens: 1_000, total: 1_200 } } : {}),
      })),
    ],
  };
  const catalogFile = join(stateDir, "catalog.json");
  writeFileSync(catalogFile, JSON.stringify(catalog));
  running = await startStack(
    { port: 0, stateDir, catalogFile, lab: false },
    { env: { ...process.env, ENGINE_KEY, ...TOKEN }, usualPorts: false, variables: { OUTBOX_SEND_MS: "50" } },
  );
}, 60_000);

afterAll(async () => {
  await running?.stop();
  await door?.stop();
  await Promise.all([...Object.values(hosts ?? {}), hostile].map((host) => host?.stop()));
  rmSync(stateDir, { recursive: true, force: true });
});

const client = () =>
  new OpenAI({ apiKey: running.stack.tokens.enterprise ?? "", baseURL: `${running.stack.gateway}/v1`, maxRetries: 0 });
const say = (text: string) => [{ role: "user" as const, content: text }];
const truths = async (host: LabHost) =>
  (await (await fetch(`${host.url}/lab/truth`)).json()) as Record<string, unknown>[];

async function row(id: string): Promise<Record<string, unknown>> {
  const database = new pg.Client({ connectionString: running.stack.database });
  await database.connect();
  try {
    return await eventually(
      async () => (await database.query("SELECT * FROM inference_logs WHERE id = $1", [id])).rows[0],
      "no row",
      40_000,
    );
  } finally {
    await database.end();
  }
}

describe.each([
  { model: "tiny", host: "native" as const, what: "a host with only the native route" },
  { model: "small", host: "llamacpp" as const, what: "a llama.cpp host" },
  { model: "org/big:fp8", host: "vllm" as const, what: "a vLLM host" },
  { model: "guarded", host: "guarded" as const, what: "a vLLM host behind Access and a tunnel" },
])("$what answers the same requests", ({ model, host }) => {
  test("chat, whole and streamed: one text, the usage and the finish reason", async () => {
    const asked = { model, messages: say("the same [[tokens=10]]"), temperature: 0 };
    const { data: whole, request_id } = await client().chat.completions.create(asked).withResponse();
    const stream = await client().chat.completions.create({
      ...asked,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: OpenAI.CompletionUsage | null | undefined;
    const roles: unknown[] = [];
    const reasons: unknown[] = [];
    for await (const { choices, usage: said } of stream) {
      const [choice] = choices;
      if (choice?.delta.role) roles.push(choice.delta.role);
      text += choice?.delta.content ?? "";
      if (choice?.finish_reason) reasons.push(choice.finish_reason);
      usage = said ?? usage;
    }
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(text.length).toBeGreaterThan(10);
    expect(roles).toEqual(["assistant"]);
    expect(reasons).toEqual(["stop"]);
    expect(usage?.completion_tokens).toBe(10);
    expect(whole.usage).toMatchObject({ completion_tokens: 10, prompt_tokens: usage?.prompt_tokens });
    const truth = (await truths(hosts[host])).find(({ requestId }) => requestId === request_id);
    expect(await row(request_id ?? "")).toMatchObject({
      prompt_tokens: truth?.promptTokens,
      completion_tokens: truth?.completionTokens,
      finish_reason: "stop",
      estimated: false,
      cost_estimate: null,
    });
  });

  test("a bound on tokens ends in length", async () => {
    const answer = await client().chat.completions.create({
      model,
      messages: say("bounded [[tokens=50]]"),
      max_tokens: 5,
    });
    expect(answer.choices[0]?.finish_reason).toBe("length");
    expect(answer.usage?.completion_tokens).toBe(5);
  });

  test("completions, whole and streamed", async () => {
    const asked = { model, prompt: "once upon a time [[tokens=8]]", temperature: 0 };
    const whole = await client().completions.create(asked);
    let text = "";
    for await (const chunk of await client().completions.create({ ...asked, stream: true }))
      text += chunk.choices[0]?.text ?? "";
    expect(text).toBe(whole.choices[0]?.text);
    expect(whole.usage?.completion_tokens).toBe(8);
  });

  test("leaving stops the host", async () => {
    const { data: stream, request_id } = await client()
      .chat.completions.create({ model, messages: say("long [[tokens=3000]]"), stream: true })
      .withResponse();
    let seen = 0;
    for await (const _chunk of stream) if (++seen === 10) break;
    const written = await row(request_id ?? "");
    const truth = (await truths(hosts[host])).find(({ requestId }) => requestId === request_id);
    expect(truth?.ended).toBe("aborted");
    expect(written).toMatchObject({ outcome: "client_left", estimated: false, prompt_tokens: truth?.promptTokens });
    expect(written.completion_tokens).toBeGreaterThanOrEqual(8);
    expect(written.completion_tokens).toBeLessThanOrEqual(Number(truth?.completionTokens));
  });
});

describe("what only some hosts offer", () => {
  const post = (path: string, body: object) =>
    fetch(`${running.stack.gateway}${path}`, {
      method: "POST",
      headers: { authorization: `Bearer ${running.stack.tokens.enterprise}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  const idOf = (response: Response): string => response.headers.get("x-request-id") ?? "";
  const sound = (name = "speech.mp3") => new File([Buffer.alloc(64_000, "sound")], name, { type: "audio/mpeg" });
  const transcribe = { model: "whisper", language: "en" } as const;

  test("transcriptions, in every format, by the official client", async () => {
    const { transcriptions } = client().audio;
    const { data: whole, request_id } = await transcriptions.create({ ...transcribe, file: sound() }).withResponse();
    const words = whole.text.trim();
    expect(words.split(" ").length).toBeGreaterThan(8);
    expect(await transcriptions.create({ ...transcribe, file: sound(), response_format: "text" })).toBe(
      `${whole.text}\n`,
    );
    const verbose = await transcriptions.create({ ...transcribe, file: sound(), response_format: "verbose_json" });
    expect(verbose.text).toBe(whole.text);
    expect(Number(verbose.duration)).toBe(2);
    const texts = verbose.segments?.map(({ text }) => text.trim()) ?? [];
    expect(texts.join(" ")).toBe(words);
    const srt = await transcriptions.create({ ...transcribe, file: sound(), response_format: "srt" });
    expect(srt).toMatch(/^1\n00:00:00,000 --> 00:00:\d\d,\d{3}\n/);
    expect(
      srt
        .split("\n\n")
        .slice(0, -1)
        .map((cue) => cue.split("\n")[2]),
    ).toEqual(texts);
    expect(await transcriptions.create({ ...transcribe, file: sound(), response_format: "vtt" })).toMatch(
      /^WEBVTT\n\n00:/,
    );
    // Ten tokens for each of its two seconds; the words are counted by their length.
    expect(await row(request_id ?? "")).toMatchObject({
      route: "transcriptions",
      host: "vllm",
      outcome: "complete",
      prompt_tokens: 20,
      completion_tokens: Math.ceil(whole.text.length / 4),
      estimated: true,
    });
  });

  test("a recording of the largest size is heard, and a larger one refused", async () => {
    const { transcriptions } = client().audio;
    const largest = new File([Buffer.alloc(25 * 1024 * 1024, 1)], "long.wav", { type: "audio/wav" });
    expect((await transcriptions.create({ ...transcribe, file: largest })).text).toMatch(/\w/);
    const larger = new File([Buffer.alloc(25 * 1024 * 1024 + 1, 1)], "long.wav", { type: "audio/wav" });
    const refused = transcriptions.create({ ...transcribe, file: larger });
    await expect(refused).rejects.toMatchObject({ status: 413, code: "request_too_large", param: "file" });
  });

  test.each(["stream", "cache_salt"])("%s is refused by its name", async (field) => {
    const asked = { ...transcribe, file: sound(), [field]: true };
    await expect(client().audio.transcriptions.create(asked)).rejects.toMatchObject({ status: 400, param: field });
  });

  test.each([
    { model: "ranker-vllm", host: "vllm" as const },
    { model: "ranker-llamacpp", host: "llamacpp" as const },
    { model: "ranker-native", host: "native" as const },
  ])("rerank on $host: one shape, the best first, to the engine's token", async ({ model, host }) => {
    const documents = ["dogs bark", "cats purr at night", "cats"];
    const response = await post("/v1/rerank", { model, query: "cats purr", documents, top_n: 2 });
    expect(response.status).toBe(200);
    const said = (await response.json()) as { results: { index: number; document: object }[]; usage: object };
    expect(said.results.map(({ index, document }) => ({ index, document }))).toEqual([
      { index: 1, document: { text: "cats purr at night" } },
      { index: 2, document: { text: "cats" } },
    ]);
    const truth = (await truths(hosts[host])).find(({ requestId }) => requestId === idOf(response));
    expect(said.usage).toEqual({ prompt_tokens: truth?.promptTokens, total_tokens: truth?.promptTokens });
    const cost = { prompt_tokens: truth?.promptTokens, completion_tokens: 0, estimated: false };
    expect(await row(idOf(response))).toMatchObject({ ...cost, route: "rerank", outcome: "complete" });
  });

  test("tokenize: every engine's answer in one shape, and its count what the engine charges", async () => {
    const counts: number[] = [];
    for (const model of ["tiny", "small", "org/big:fp8"]) {
      const response = await post("/tokenize", { model, messages: say("count this"), return_token_strs: true });
      expect(response.status).toBe(200);
      const said = (await response.json()) as { count: number; tokens: number[]; token_strs: string[] };
      expect(said.tokens).toHaveLength(said.count);
      expect(said.token_strs.join("")).toContain("count this");
      expect(await row(idOf(response))).toMatchObject({ route: "tokenize", tokens_used: "0", estimated: false });
      counts.push(said.count);
    }
    expect(new Set(counts).size).toBe(1);
    const asked = { model: "org/big:fp8", messages: say("count this"), max_tokens: 1 };
    expect((await client().chat.completions.create(asked)).usage?.prompt_tokens).toBe(counts[0]);
    const raw = await post("/tokenize", { model: "small", prompt: "one two" });
    expect(await raw.json()).toMatchObject({ count: 2, tokens: [expect.any(Number), expect.any(Number)] });
  });
});

test("a model whose content is stored: prompt, answer and price are in the ledger, and no word in a log", async () => {
  const prompt = "canary-remembered-61fa [[tokens=12]]";
  const heard: string[] = [];
  for (const stream of [false, true]) {
    const asked = { model: "remembered", messages: say(prompt), temperature: 1 };
    let text = "";
    let id: string | null | undefined;
    if (stream) {
      const { data, request_id } = await client()
        .chat.completions.create({ ...asked, stream })
        .withResponse();
      for await (const { choices } of data) text += choices[0]?.delta.content ?? "";
      id = request_id;
    } else {
      const { data, request_id } = await client().chat.completions.create(asked).withResponse();
      text = data.choices[0]?.message.content ?? "";
      id = request_id;
    }
    heard.push(text);
    const written = await row(id ?? "");
    expect(written).toMatchObject({
      prompt: JSON.stringify(say(prompt)),
      response: text,
      completion_tokens: 12,
      price_version: "of-this-test",
      admitted_by: "account",
    });
    // A milli-dollar for each token, and a milli-dollar for each second of the host, of which a slot bears a quarter.
    const micros = (Number(written.prompt_tokens) + 12) * 1_000 + Math.round(Number(written.host_ms) / 4);
    expect(Math.abs(Number(written.cost_estimate) * 1e6 - micros)).toBeLessThanOrEqual(1);
  }
  const logs = join(stateDir, "logs");
  const files = readdirSync(logs, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const said = files.map(({ parentPath, name }) => readFileSync(join(parentPath, name), "utf8"));
  expect(said.join("")).toContain('"model":"remembered"');
  for (const words of ["canary-remembered-61fa", ...heard])
    expect(said.filter((log) => log.includes(words))).toEqual([]);
});

describe("deadlines", () => {
  const fault = (kind: string) =>
    fetch(`${hosts.vllm.url}/lab/fault`, { method: "POST", body: JSON.stringify({ kind, afterTokens: 3, times: 1 }) });
  const ask = (stream: boolean) =>
    client().chat.completions.create({
      model: "org/big:fp8",
      messages: say("late [[tokens=20]]"),
      temperature: 1,
      stream,
    });

  test("a host that is silent before its answer is a timeout in time", async () => {
    await fault("hang-before-headers");
    await expect(ask(true)).rejects.toMatchObject({ status: 504, code: "first_token_timeout" });
  });

  test("a host that falls silent within its answer ends it with an error event", async () => {
    await fault("hang-after");
    const stream = await client().chat.completions.create({
      model: "org/big:fp8",
      messages: say("silence [[tokens=20]]"),
      stream: true,
    });
    const reading = (async () => {
      for await (const _chunk of stream);
    })();
    await expect(reading).rejects.toMatchObject({ code: "next_token_timeout" });
  });
});

describe.each([
  {
    model: "tiny",
    host: "native" as const,
    path: "/completion",
    counts: "estimate",
    what: "a host with only the native route, translated",
  },
  {
    model: "small",
    host: "llamacpp" as const,
    path: "/v1/chat/completions",
    counts: "engine",
    what: "a llama.cpp host, translated",
  },
  {
    model: "small-messages",
    host: "llamacpp" as const,
    path: "/v1/messages",
    counts: "engine",
    what: "a llama.cpp host that offers it",
  },
  {
    model: "org/big:fp8",
    host: "vllm" as const,
    path: "/v1/chat/completions",
    counts: "engine",
    what: "a vLLM host, translated",
  },
  {
    model: "big-messages",
    host: "vllm" as const,
    path: "/v1/messages",
    counts: "engine",
    what: "a vLLM host that offers it",
  },
])("Anthropic's client and $what", ({ model, host, path, counts }) => {
  const anthropic = () =>
    new Anthropic({ apiKey: running.stack.tokens.enterprise ?? "", baseURL: running.stack.gateway, maxRetries: 0 });
  const askedLast = async () => {
    const requests = (await (await fetch(`${hosts[host].url}/lab/requests`)).json()) as Record<string, unknown>[];
    return requests.findLast(({ method }) => method === "POST");
  };
  const truthOf = async (id: string | null | undefined) =>
    (await truths(hosts[host])).find(({ requestId }) => requestId === id);
  const fault = (kind: string) =>
    fetch(`${hosts[host].url}/lab/fault`, { method: "POST", body: JSON.stringify({ kind, afterTokens: 3, times: 1 }) });

  test("messages, whole and streamed: one text, what was counted, and the host's own truth", async () => {
    const asked = {
      model,
      max_tokens: 100,
      system: "be kind",
      messages: say("the same [[tokens=10]]"),
      temperature: 0,
    };
    const { data: whole, request_id } = await anthropic().messages.create(asked).withResponse();
    expect(await askedLast()).toMatchObject({ path });
    const stream = anthropic().messages.stream(asked);
    const streamed = await stream.finalMessage();
    expect(await askedLast()).toMatchObject({ path });
    expect(streamed.content).toEqual(whole.content);
    expect(whole).toMatchObject({ model, stop_reason: "end_turn", usage: { output_tokens: 10 } });
    for (const [message, id] of [
      [whole, request_id],
      [streamed, stream.request_id],
    ] as const) {
      const truth = await truthOf(id);
      const { input_tokens, cache_read_input_tokens, output_tokens } = message.usage;
      expect(input_tokens + (cache_read_input_tokens ?? 0)).toBe(truth?.promptTokens);
      expect(output_tokens).toBe(truth?.completionTokens);
      expect(await row(id ?? "")).toMatchObject({
        route: "messages",
        outcome: "complete",
        prompt_tokens: truth?.promptTokens,
        completion_tokens: 10,
        estimated: false,
      });
    }
  });

  test("a bound, and a string that ends it", async () => {
    const asked = { model, max_tokens: 5, messages: say("bounded [[tokens=50]]"), temperature: 0 };
    const bounded = await anthropic().messages.create(asked);
    expect(bounded).toMatchObject({ stop_reason: "max_tokens", usage: { output_tokens: 5 } });
    const [block] = bounded.content;
    const word = block?.type === "text" ? block.text.trim().split(/\s+/)[2] : undefined;
    const stopped = await anthropic()
      .messages.stream({ ...asked, stop_sequences: [word ?? ""] })
      .finalMessage();
    // vLLM alone says by which string an answer was ended.
    const why = host === "vllm" ? { stop_reason: "stop_sequence", stop_sequence: word } : { stop_reason: "end_turn" };
    expect(stopped).toMatchObject(why);
    expect(stopped.usage.output_tokens).toBeLessThan(5);
  });

  test("an answer goes on from where the caller began it", async () => {
    const asked = { model, max_tokens: 100, messages: say("go on [[tokens=12]]"), temperature: 0 };
    const whole = textIn(await anthropic().messages.create(asked));
    const begun = whole.slice(0, whole.length >> 1).trimEnd();
    const messages = [...asked.messages, { role: "assistant" as const, content: begun }];
    const rest = await anthropic().messages.create({ ...asked, messages });
    expect(begun + textIn(rest)).toBe(whole);
  });

  test("tokens are counted as an answer would count them", async () => {
    const asked = { model, system: "be kind", messages: say("count me [[tokens=3]]") };
    const { data, response } = await anthropic().messages.countTokens(asked).withResponse();
    expect(response.headers.get("x-causeway-count")).toBe(counts);
    if (counts === "estimate") expect(data.input_tokens).toBeGreaterThan(10);
    else {
      const { usage } = await anthropic().messages.create({ ...asked, max_tokens: 9 });
      expect(data.input_tokens).toBe(usage.input_tokens + (usage.cache_read_input_tokens ?? 0));
    }
    expect(await row(response.headers.get("request-id") ?? "")).toMatchObject({
      route: "count_tokens",
      outcome: "complete",
      prompt_tokens: 0,
    });
  });

  test("tools, whole and streamed", async () => {
    if (host === "native")
      return expect(await toolsOf().catch((thrown: unknown) => thrown)).toBeInstanceOf(Anthropic.BadRequestError);
    const whole = await toolsOf();
    const streamed = await anthropic().messages.stream(asked()).finalMessage();
    expect(whole).toMatchObject({
      content: [{ type: "tool_use", name: "weather", input: { city: "lab" } }],
      stop_reason: "tool_use",
    });
    expect(streamed.content).toMatchObject([{ type: "tool_use", name: "weather", input: { city: "lab" } }]);
    expect(streamed.stop_reason).toBe("tool_use");
    function toolsOf() {
      return anthropic().messages.create(asked());
    }
    function asked() {
      const input_schema = { type: "object" as const, properties: { city: { type: "string" } } };
      return {
        model,
        max_tokens: 50,
        messages: say("weather"),
        tools: [{ name: "weather", input_schema }],
        tool_choice: { type: "any" as const },
      };
    }
  });

  test("leaving stops the host", async () => {
    const stream = anthropic().messages.stream({ model, max_tokens: 3_000, messages: say("long [[tokens=3000]]") });
    let seen = 0;
    stream.on("text", () => ++seen === 10 && stream.abort());
    await expect(stream.finalMessage()).rejects.toBeInstanceOf(Anthropic.APIUserAbortError);
    const written = await row(stream.request_id ?? "");
    const truth = await truthOf(stream.request_id);
    expect(truth?.ended).toBe("aborted");
    expect(written).toMatchObject({ outcome: "client_left", prompt_tokens: truth?.promptTokens });
    expect(written.completion_tokens).toBeGreaterThanOrEqual(8);
    expect(written.completion_tokens).toBeLessThanOrEqual(Number(truth?.completionTokens));
  });

  test.each(["cut-inside", "fin-after", "error-event", "hang-after"])(
    "%s ends in one error that the client throws",
    async (kind) => {
      await fault(kind);
      const stream = anthropic().messages.stream({
        model,
        max_tokens: 50,
        messages: say(`broken by ${kind} [[tokens=20]]`),
      });
      const thrown = await stream.finalMessage().catch((reason: unknown) => reason);
      expect(thrown).toBeInstanceOf(Anthropic.APIError);
      expect(thrown).toMatchObject({ type: kind === "hang-after" ? "timeout_error" : "api_error" });
    },
  );
});

function textIn({ content: [block] }: Anthropic.Message): string {
  return block?.type === "text" ? block.text : "";
}

describe("a host that speaks Responses itself", () => {
  const asked = { model: "speaks", input: "in its own words [[tokens=7]]", temperature: 0 };
  const requests = async () =>
    (await (await fetch(`${hosts.vllm.url}/lab/requests`)).json()) as { path: string; body: Record<string, unknown> }[];

  test("is asked on its own route, and passes as it is: one text, the usage, the ledger", async () => {
    const { data: whole, request_id } = await client().responses.create(asked).withResponse();
    const { data: stream, request_id: streamedId } = await client()
      .responses.create({ ...asked, stream: true })
      .withResponse();
    let text = "";
    let last: ResponseStreamEvent | undefined;
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") text += event.delta;
      last = event;
    }
    expect(text).toBe(whole.output_text);
    expect(whole.model).toBe("org/big");
    expect(whole.usage?.output_tokens).toBe(7);
    expect(last).toMatchObject({ type: "response.completed", response: { usage: whole.usage } });
    const sent = { model: "org/big", input: asked.input, temperature: 0, store: false, cache_salt: expect.any(String) };
    expect((await requests()).filter(({ path }) => path === "/v1/responses").map(({ body }) => body)).toEqual([
      { ...sent, stream: false },
      { ...sent, stream: true },
    ]);
    for (const id of [request_id, streamedId]) {
      expect(await row(id ?? "")).toMatchObject({
        route: "responses",
        host: "speaker",
        outcome: "complete",
        estimated: false,
        prompt_tokens: whole.usage?.input_tokens,
        completion_tokens: 7,
        response: text,
      });
    }
  });

  test("and says in a stream that its host breaks what the client throws", async () => {
    const fault = JSON.stringify({ kind: "cut-after", afterTokens: 3, times: 1 });
    await fetch(`${hosts.vllm.url}/lab/fault`, { method: "POST", body: fault });
    const thrown: unknown = await client()
      .responses.stream(asked)
      .finalResponse()
      .catch((reason: unknown) => reason);
    expect(thrown).toBeInstanceOf(OpenAI.APIError);
    expect(thrown).toMatchObject({ code: "upstream_error" });
  });
});

test("what a native host cannot do is refused by name", async () => {
  const tools = [{ type: "function" as const, function: { name: "f" } }];
  const asking = client().chat.completions.create({ model: "tiny", messages: say("tools"), tools });
  await expect(asking).rejects.toMatchObject({ status: 400, code: "unsupported_value", param: "tools" });
});

/** The id of a part's process, which leads a group of its own. */
function pidOf(part: string): number {
  const book = JSON.parse(readFileSync(join(stateDir, "pids.json"), "utf8")) as { name: string; pid: number }[];
  const entry = book.find(({ name }) => name === part);
  if (entry === undefined) throw new Error(`pids.json names no ${part}`);
  return entry.pid;
}

describe("a host that answers as no engine should", () => {
  const ask = (model: string, stream: boolean, headers: Record<string, string> = {}) =>
    fetch(`${running.stack.gateway}/v1/chat/completions`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${running.stack.tokens.enterprise}`,
        "content-type": "application/json",
        ...headers,
      },
      body: JSON.stringify({ model, stream, messages: say("hello") }),
      signal: AbortSignal.timeout(20_000),
    });
  /** What a caller makes of it: nothing may be both an answer and an error, nor neither. */
  async function heard(response: Response): Promise<Heard | string> {
    const text = await response.text();
    const errors = [...text.matchAll(/^(?:data: )?(\{"error":.*)$/gm)].map(
      ([, json]) => JSON.parse(json ?? "").error.code,
    );
    const [code, ...more] = errors;
    const isAnswer = /hello/.test(text) && (!text.startsWith("data:") || text.endsWith("data: [DONE]\n\n"));
    if (response.status === 200 && isAnswer && code === undefined) return "answer";
    if (typeof code === "string" && more.length === 0 && !isAnswer) return { status: response.status, code };
    return `${response.status}: ${text.slice(0, 200)}`;
  }

  let weighed: ReturnType<typeof weigh>;
  beforeAll(() => {
    weighed = weigh(pidOf("worker"));
  });
  afterAll(() => weighed?.stop());

  test.each(tricks.flatMap((trick) => [false, true].map((stream) => ({ ...trick, stream }))))(
    "$name, stream: $stream",
    async ({ name, stream, whole, streamed }) => {
      expect(await heard(await ask(name, stream))).toEqual(stream ? streamed : whole);
      // The Worker is well, and so are its connections.
      expect(await heard(await ask("trailers", stream))).toBe("answer");
    },
  );

  test("the Worker's memory stays within bounds", () => {
    const bytes = weighed.weighings.map((one) => one.bytes);
    expect(bytes.length).toBeGreaterThan(3);
    // Of what they sent no single body would fit in.
    expect(Math.max(...bytes) - (bytes[0] ?? 0)).toBeLessThan(200e6);
  });

  test("a host hears of a caller only what it must, and under the gateway's own names", async () => {
    const { port } = new URL(running.stack.gateway);
    const authorization = `Bearer ${running.stack.tokens.enterprise}`;
    const headers = { ...FORGED, authorization, "content-type": "application/json; charset=utf-8" };
    // A client that sends what fetch would not.
    const answered = await new Promise<IncomingMessage>((resolve, reject) => {
      const sending = request({ port, method: "POST", path: "/v1/chat/completions", headers }, resolve);
      sending.on("error", reject).end(JSON.stringify({ model: "names-itself", messages: say("hello") }));
    });
    answered.resume();
    expect(answered.statusCode).toBe(200);
    const [requestLine, ...lines] = hostile.heads.at(-1)?.split("\r\n") ?? [];
    expect(requestLine).toBe("POST /v1/chat/completions HTTP/1.1");
    const sent = Object.fromEntries(lines.map((line) => line.toLowerCase().split(/: (.*)/, 2)));
    expect(sent).toEqual({
      host: new URL(hostile.url).host,
      authorization: `bearer ${ENGINE_KEY}`,
      accept: "application/json",
      "accept-encoding": "identity",
      "content-type": "application/json",
      "content-length": expect.stringMatching(/^\d+$/),
      // The platform's own, with the zone's name: no Worker can leave it out.
      "cf-worker": expect.any(String),
      traceparent: FORGED.traceparent,
      "x-request-id": answered.headers["x-request-id"],
    });
    const { "x-request-id": id, ...named } = answered.headers;
    expect(id).not.toBe("theirs");
    const OF_THE_WAY = ["connection", "keep-alive", "content-encoding", "content-length", "transfer-encoding", "date"];
    expect(
      Object.keys(named)
        .filter((name) => !OF_THE_WAY.includes(name) && !name.startsWith("x-ratelimit-"))
        .sort(),
    ).toEqual([
      "cache-control",
      "content-type",
      "ratelimit",
      "ratelimit-policy",
      "vary",
      "x-causeway-cache",
      "x-causeway-host",
      "x-content-type-options",
    ]);
    expect(named.ratelimit).toContain('"rpm"');
  });
});

describe("with Postgres hanging", () => {
  // The whole group: a stopped postmaster alone leaves its children answering.
  const signal = (name: NodeJS.Signals) => process.kill(-pidOf("postgres"), name);

  test("callers are served, admins hear 503, and what was used is in the ledger afterwards", async () => {
    const { gateway, tokens, apiKey } = running.stack;
    const ask = (path: string, credential: string | undefined, init: RequestInit = {}) =>
      fetch(`${gateway}${path}`, {
        ...init,
        headers: { authorization: `Bearer ${credential}`, "content-type": "application/json" },
      });
    const chat = { method: "POST", body: JSON.stringify({ model: "small", messages: say("meanwhile [[tokens=4]]") }) };
    signal("SIGSTOP");
    let served: Response[];
    let refused: Response[];
    try {
      served = [
        await ask("/v1/chat/completions", tokens.premium, chat),
        await ask("/v1/chat/completions", apiKey, chat),
      ];
      refused = [await ask("/admin/keys", tokens.admin), await ask("/admin/audit", tokens.admin)];
    } finally {
      signal("SIGCONT");
    }
    expect(served.map(({ status }) => status)).toEqual([200, 200]);
    expect(refused.map(({ status }) => status)).toEqual([503, 503]);
    for (const response of served) {
      expect(await row(response.headers.get("x-request-id") ?? "")).toMatchObject({
        outcome: "complete",
        completion_tokens: 4,
      });
    }
  });
});
