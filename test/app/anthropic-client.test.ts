/**
 * What Anthropic's official client makes of the gateway, inside workerd and without a network: messages whole and
 * streamed, tools, counts, and which class of error each refusal becomes.
 */
import { exports } from "cloudflare:workers";
import Anthropic from "@anthropic-ai/sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { JsonObject } from "#src/json.ts";
import { CATALOG, type Gateway, startGateway, streamed } from "#test/support/gateway.ts";
import { ledgerRows } from "#test/support/ledger.ts";

const WIDE = CATALOG.tiers.default;
const hostAt = (id: string, more: object = {}) => {
  return { id, engine: "vllm", slots: 4, reach: { via: "direct", url: `http://gpu.test/${id}` }, ...more };
};
const on = (...hosts: string[]) => hosts.map((host) => ({ host, as: "org/served" }));
const catalog = {
  hosts: [
    hostAt("chat"),
    hostAt("own", { offers: ["messages"], cacheSalt: false }),
    hostAt("llama", { engine: "llamacpp" }),
    hostAt("cloud", { engine: "openai" }),
    hostAt("second", { offers: ["messages"], cacheSalt: false, backup: true }),
  ],
  models: [
    { id: "plain", served: on("chat") },
    { id: "native", served: on("own") },
    { id: "kept", served: on("own"), cache: { ttl: 60, scope: "user" } },
    { id: "small", served: on("llama") },
    { id: "far", served: on("cloud") },
    { id: "twinned", served: on("chat", "second") },
    { id: "off", served: on("chat"), enabled: false },
    { id: "short", served: on("chat"), context: 64 },
  ],
  aliases: { auto: { otherwise: "plain" } },
  tiers: {
    default: WIDE,
    rare: { ...WIDE, rpd: 1 },
    bounded: { ...WIDE, maxTokens: 50 },
    clamped: { ...WIDE, maxTokens: 50, over: "clamp" },
  },
};

type Said = { path: string; body: JsonObject; headers: Headers };
type Playing = (body: JsonObject, path: string) => Response | Promise<Response>;

let gateway: Gateway;
let host: Playing;
const said: Said[] = [];

const usage = { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 };
const CHUNKS = [
  {
    choices: [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }],
    usage: { ...usage, completion_tokens: 0 },
  },
  { choices: [{ index: 0, delta: { content: "hel" }, finish_reason: null }] },
  { choices: [{ index: 0, delta: { content: "lo" }, finish_reason: "stop" }] },
  { choices: [], usage },
];
const CALLING = [
  {
    choices: [
      {
        index: 0,
        delta: { tool_calls: [{ index: 0, id: "t1", function: { name: "weather", arguments: '{"ci' } }] },
        finish_reason: null,
      },
    ],
  },
  {
    choices: [
      {
        index: 0,
        delta: { tool_calls: [{ index: 0, function: { arguments: 'ty":"Ulm"}' } }] },
        finish_reason: "tool_calls",
      },
    ],
  },
  { choices: [], usage },
];
const MESSAGE = {
  id: "m1",
  type: "message",
  role: "assistant",
  model: "org/served",
  content: [{ type: "text", text: "hello" }],
  stop_reason: "end_turn",
  stop_sequence: null,
  usage: { input_tokens: 11, output_tokens: 7 },
};
const NATIVE = [
  {
    type: "message_start",
    message: { ...MESSAGE, content: [], stop_reason: null, usage: { input_tokens: 11, output_tokens: 0 } },
  },
  { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
  { type: "content_block_delta", index: 0, delta: { type: "text_delta", text: "hello" } },
  { type: "content_block_stop", index: 0 },
  { type: "message_delta", delta: { stop_reason: "end_turn", stop_sequence: null }, usage: { output_tokens: 7 } },
  { type: "message_stop" },
];
const eventStream = (text: string) => new Response(text, { headers: { "content-type": "text/event-stream" } });
const named = (events: readonly { type: string }[]) =>
  events.map((one) => `event: ${one.type}\ndata: ${JSON.stringify(one)}\n\n`).join("");

/** A vLLM and a llama.cpp at once. */
const engine: Playing = (body, path) => {
  if (path.endsWith("/count_tokens")) return Response.json({ input_tokens: 5 });
  if (path.endsWith("/apply-template")) return Response.json({ prompt: "<user>hi" });
  if (path.endsWith("/tokenize"))
    return Response.json(body.messages === undefined ? { tokens: [1, 2, 3] } : { count: 4 });
  if (path.endsWith("/v1/messages")) return body.stream === true ? eventStream(named(NATIVE)) : Response.json(MESSAGE);
  if (body.stream === true) return streamed(body.tools === undefined ? CHUNKS : CALLING);
  const message =
    body.tools === undefined
      ? { content: "hello" }
      : { content: "", tool_calls: [{ id: "t1", function: { name: "weather", arguments: '{"city":"Ulm"}' } }] };
  return Response.json({
    id: "a",
    choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", ...message } }],
    usage,
  });
};

beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  gateway = await startGateway(catalog);
  const others = vi.mocked(fetch).getMockImplementation();
  vi.mocked(fetch).mockImplementation(async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : String(input));
    if (url.hostname !== "gpu.test" || init?.method !== "POST") return others?.(input, init) ?? Response.error();
    const one = { path: url.pathname, body: JSON.parse(String(init.body)), headers: new Headers(init.headers) };
    said.push(one);
    return host(one.body, one.path);
  });
});
afterEach(() => {
  said.length = 0;
  host = engine;
});
beforeAll(async () => {
  host = engine;
  // The first answer has all of the Worker to start.
  await gateway.ask("/v1/messages", { body: { model: "plain", max_tokens: 9, messages: HELLO } });
  said.length = 0;
});
afterAll(() => {
  vi.restoreAllMocks();
});

type Client = { client: Anthropic; attempts: () => number; sub: string; ids: (string | null)[] };

/** A fresh user with the client as it comes, its key in `x-api-key`; it tries three times. */
async function userOf(tier = "default", more: ConstructorParameters<typeof Anthropic>[0] = {}): Promise<Client> {
  const sub = crypto.randomUUID();
  const ids: (string | null)[] = [];
  const client = new Anthropic({
    apiKey: await gateway.issuer.sign({ sub, tier }),
    baseURL: "http://x",
    fetch: async (input, init) => {
      const response = await exports.default.fetch(new Request(input, init));
      ids.push(response.headers.get("request-id"));
      return response;
    },
    ...more,
  });
  return { client, attempts: () => ids.length, sub, ids };
}

const HELLO: Anthropic.MessageParam[] = [{ role: "user", content: "hello" }];
const WEATHER: Anthropic.Tool = {
  name: "weather",
  input_schema: { type: "object", properties: { city: { type: "string" } } },
};

async function thrownBy(asking: Promise<unknown>): Promise<unknown> {
  return asking.then(
    () => null,
    (reason: unknown) => reason,
  );
}

describe.each([
  { model: "plain", how: "translated", path: "/chat/v1/chat/completions" },
  { model: "native", how: "by the host itself", path: "/own/v1/messages" },
])("$how", ({ model, path }) => {
  test("a message, whole", async () => {
    const { client } = await userOf();
    const { data, response } = await client.messages
      .create({ model, max_tokens: 9, messages: HELLO, system: "be kind" })
      .withResponse();
    expect(data).toMatchObject({
      id: `msg_${response.headers.get("x-request-id")}`,
      type: "message",
      role: "assistant",
      model,
      content: [{ type: "text", text: "hello" }],
      stop_reason: "end_turn",
      usage: { input_tokens: 11, output_tokens: 7 },
    });
    expect(response.headers.get("request-id")).toBe(response.headers.get("x-request-id"));
    expect(said.map((one) => one.path)).toEqual([path]);
    expect(said[0]?.body).toMatchObject({ model: "org/served", max_tokens: 9 });
  });

  test("a message, streamed: the same, and told as it comes", async () => {
    const { client } = await userOf();
    const stream = client.messages.stream({ model, max_tokens: 9, messages: HELLO });
    const texts: string[] = [];
    stream.on("text", (text) => texts.push(text));
    const begun: number[] = [];
    // What the input counts is told with the start where the engine tells it by then.
    stream.on("streamEvent", (event) => event.type === "message_start" && begun.push(event.message.usage.input_tokens));
    const message = await stream.finalMessage();
    expect([texts.join(""), begun]).toEqual(["hello", [11]]);
    expect(message).toMatchObject({
      model,
      content: [{ type: "text", text: "hello" }],
      stop_reason: "end_turn",
      usage: { input_tokens: 11, output_tokens: 7 },
    });
    expect(said.map((one) => one.path)).toEqual([path]);
  });

  test("neither the credential nor anything else of the caller's headers reaches the host", async () => {
    const { client } = await userOf();
    await client.messages.create(
      { model, max_tokens: 9, messages: HELLO, metadata: { user_id: "secret" } },
      { headers: { cookie: "a=b" } },
    );
    const [one] = said;
    expect([...(one?.headers.keys() ?? [])].sort()).toEqual([
      "accept",
      "accept-encoding",
      "content-type",
      "x-request-id",
    ]);
  });

  test("the tier's bound holds, whoever speaks what", async () => {
    const { client } = await userOf("clamped");
    await client.messages.create({ model, max_tokens: 9_000, messages: HELLO });
    expect(said[0]?.body.max_tokens).toBe(50);
  });

  test("is in the ledger as what it is", async () => {
    const { client, ids } = await userOf();
    await client.messages.create({ model, max_tokens: 9, messages: HELLO });
    await client.messages.stream({ model, max_tokens: 9, messages: HELLO }).finalMessage();
    for (const row of await ledgerRows(...ids))
      expect(row).toMatchObject({
        route: "messages",
        outcome: "complete",
        prompt_tokens: 11,
        completion_tokens: 7,
        estimated: false,
        finish_reason: "stop",
      });
  });
});

describe("tools", () => {
  const asked = {
    model: "plain",
    max_tokens: 9,
    messages: HELLO,
    tools: [WEATHER],
    tool_choice: { type: "any" },
  } as const;
  const USE = { type: "tool_use", id: "t1", name: "weather", input: { city: "Ulm" } };

  test("are called, whole and streamed", async () => {
    const { client } = await userOf();
    const whole = await client.messages.create({ ...asked, tools: [WEATHER] });
    const inputs: unknown[] = [];
    const stream = client.messages.stream({ ...asked, tools: [WEATHER] });
    stream.on("inputJson", (_piece, snapshot) => inputs.push(snapshot));
    const streamed = await stream.finalMessage();
    for (const message of [whole, streamed]) expect(message).toMatchObject({ content: [USE], stop_reason: "tool_use" });
    expect(inputs.at(-1)).toEqual({ city: "Ulm" });
    expect(said[0]?.body).toMatchObject({ tool_choice: "required", tools: [{ function: { name: "weather" } }] });
  });

  test("answer, in the turn after", async () => {
    const { client } = await userOf();
    const messages: Anthropic.MessageParam[] = [
      ...HELLO,
      { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "weather", input: { city: "Ulm" } }] },
      { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: "sun" }] },
    ];
    await client.messages.create({ model: "plain", max_tokens: 9, messages });
    expect(said[0]?.body.messages).toEqual([
      { role: "user", content: "hello" },
      expect.objectContaining({ role: "assistant", tool_calls: [expect.objectContaining({ id: "t1" })] }),
      { role: "tool", tool_call_id: "t1", content: "sun" },
    ]);
  });
});

describe("the door", () => {
  test("takes a bearer token too, and no two credentials", async () => {
    const { client } = await userOf();
    const { apiKey } = client;
    const ask = (one: Anthropic) => one.messages.create({ model: "plain", max_tokens: 9, messages: HELLO });
    const bearer = await userOf("default", { apiKey: null, authToken: apiKey });
    expect(await ask(bearer.client)).toMatchObject({ type: "message" });
    const headers = { "x-api-key": apiKey ?? "", authorization: `Bearer ${apiKey}` };
    const body = { model: "plain", max_tokens: 9, messages: HELLO };
    const response = await gateway.ask("/v1/messages", { headers, body });
    expect([response.status, await response.json()]).toEqual([
      401,
      expect.objectContaining({ error: expect.objectContaining({ type: "authentication_error" }) }),
    ]);
  });

  test("takes x-api-key nowhere else", async () => {
    const { client } = await userOf();
    const headers = { "x-api-key": client.apiKey ?? "", "content-type": "application/json" };
    const body = { model: "plain", messages: HELLO };
    for (const path of ["/v1/chat/completions", "/v1/completions"])
      expect((await gateway.ask(path, { as: null, headers, body })).status).toBe(401);
    expect((await gateway.ask("/v1/models", { as: null, headers })).status).toBe(401);
    expect((await gateway.ask("/v1/messages", { as: null, headers, body: { ...body, max_tokens: 9 } })).status).toBe(
      200,
    );
  });
});

describe("a refusal is the client's own class of error, after so many attempts", () => {
  const ask = { max_tokens: 9, messages: HELLO };
  test.each<{
    name: string;
    tier?: string;
    more?: ConstructorParameters<typeof Anthropic>[0];
    play?: Playing;
    make: (client: Anthropic) => Promise<unknown>;
    is: new (...args: never) => Error;
    status: number;
    type: string;
    tries?: number;
    reaches?: boolean;
  }>([
    {
      name: "no such credential",
      more: { apiKey: "sk-ant-x" },
      make: (client) => client.messages.create({ model: "plain", ...ask }),
      is: Anthropic.AuthenticationError,
      status: 401,
      type: "authentication_error",
    },
    {
      name: "no such model",
      make: (client) => client.messages.create({ model: "claude-opus-4-6", ...ask }),
      is: Anthropic.NotFoundError,
      status: 404,
      type: "not_found_error",
    },
    {
      name: "a model that is off",
      make: (client) => client.messages.create({ model: "off", ...ask }),
      is: Anthropic.ServiceUnavailableError,
      status: 503,
      type: "api_error",
    },
    {
      name: "a wrong field, streamed",
      make: (client) => client.messages.stream({ model: "plain", max_tokens: 0, messages: HELLO }).finalMessage(),
      is: Anthropic.BadRequestError,
      status: 400,
      type: "invalid_request_error",
    },
    {
      name: "no JSON",
      make: (client) =>
        client.post("/v1/messages", {
          body: new TextEncoder().encode("{"),
          headers: { "content-type": "application/json" },
        }),
      is: Anthropic.BadRequestError,
      status: 400,
      type: "invalid_request_error",
    },
    {
      name: "more than a body may be",
      make: (client) =>
        client.messages.create({
          model: "plain",
          max_tokens: 9,
          messages: [{ role: "user", content: "x".repeat(1 << 20) }],
        }),
      is: Anthropic.ContentTooLargeError,
      status: 413,
      type: "request_too_large",
    },
    {
      name: "more than the tier allows",
      tier: "bounded",
      make: (client) => client.messages.create({ model: "plain", max_tokens: 51, messages: HELLO }),
      is: Anthropic.BadRequestError,
      status: 400,
      type: "invalid_request_error",
    },
    {
      name: "more than the context holds",
      make: (client) =>
        client.messages.create({
          model: "short",
          max_tokens: 9,
          messages: [{ role: "user", content: "word ".repeat(70) }],
        }),
      is: Anthropic.BadRequestError,
      status: 400,
      type: "invalid_request_error",
    },
    {
      name: "a path that there is not",
      make: (client) => client.messages.batches.create({ requests: [] }),
      is: Anthropic.NotFoundError,
      status: 404,
      type: "not_found_error",
    },
    {
      name: "a question that the host finds wrong",
      play: () =>
        Response.json(
          { error: { message: "no such token", type: "BadRequestError", param: null, code: 400 } },
          { status: 400 },
        ),
      make: (client) => client.messages.create({ model: "plain", ...ask }),
      is: Anthropic.BadRequestError,
      status: 400,
      type: "invalid_request_error",
      reaches: true,
    },
    {
      name: "a question that a host of the protocol's own finds wrong",
      play: () =>
        Response.json(
          { type: "error", error: { message: "no such token", type: "invalid_request_error" } },
          { status: 400 },
        ),
      make: (client) => client.messages.create({ model: "native", ...ask }),
      is: Anthropic.BadRequestError,
      status: 400,
      type: "invalid_request_error",
      reaches: true,
    },
    {
      name: "a host that fails",
      more: { maxRetries: 0 },
      play: () => new Response("gone", { status: 500 }),
      make: (client) => client.messages.create({ model: "small", ...ask }),
      is: Anthropic.InternalServerError,
      status: 502,
      type: "api_error",
      reaches: true,
    },
    {
      name: "a host that is busy",
      more: { maxRetries: 0 },
      play: () => new Response("", { status: 429 }),
      make: (client) => client.messages.stream({ model: "far", ...ask }).finalMessage(),
      is: Anthropic.OverloadedError,
      status: 529,
      type: "overloaded_error",
      reaches: true,
    },
  ])(
    "$name: $status $type",
    async ({ tier, more, play = engine, make, is, status, type, tries = 1, reaches = false }) => {
      host = play;
      const { client, attempts, ids } = await userOf(tier, more);
      const thrown = await thrownBy(make(client));
      expect(thrown).toBeInstanceOf(is);
      expect(thrown).toMatchObject({
        status,
        type,
        error: { type: "error", error: { type }, request_id: ids[0] },
        requestID: ids[0],
      });
      expect(attempts()).toBe(tries);
      expect(said.length > 0).toBe(reaches);
    },
  );

  test("a limit that stays: RateLimitError, at once", async () => {
    const { client, attempts } = await userOf("rare");
    await client.messages.create({ model: "plain", ...ask });
    const thrown = await thrownBy(client.messages.create({ model: "plain", ...ask }));
    expect(thrown).toBeInstanceOf(Anthropic.RateLimitError);
    expect(thrown).toMatchObject({ status: 429, type: "rate_limit_error" });
    expect(attempts()).toBe(2);
  });

  test("the wrong method, in the shape of the path", async () => {
    const response = await gateway.ask("/v1/messages");
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
    expect(await response.json()).toMatchObject({ type: "error", error: { type: "invalid_request_error" } });
  });
});

describe("a stream that cannot go on ends in an error that the client throws", () => {
  const cut = (events: string) => () => eventStream(events);
  const chunks = CHUNKS.slice(0, 2)
    .map((one) => `data: ${JSON.stringify(one)}\n\n`)
    .join("");
  const native = named(NATIVE.slice(0, 3));
  test.each([
    { name: "cut by the host", model: "plain", play: cut(chunks) },
    { name: "cut within an event", model: "plain", play: cut(`${chunks}data: {"cho`) },
    { name: "of garbage", model: "plain", play: cut(`${chunks}data: garbage\n\n`) },
    {
      name: "that the engine ends in an error",
      model: "plain",
      play: cut(`${chunks}data: {"error":{"message":"x"}}\n\ndata: [DONE]\n\n`),
    },
    { name: "of the host's own, cut", model: "native", play: cut(native) },
    {
      name: "of the host's own, that it ends in an error",
      model: "native",
      play: cut(
        `${native}event: error\ndata: {"type":"error","error":{"type":"internal_error","message":"x"}}\n\ndata: [DONE]\n\n`,
      ),
    },
    {
      name: "of the host's own, that stops in its midst",
      model: "native",
      play: cut(`${native}event: message_stop\ndata: {"type":"message_stop"}\n\n`),
    },
  ])("$name", async ({ model, play }) => {
    host = play;
    const { client, ids, attempts } = await userOf();
    const stream = client.messages.stream({ model, max_tokens: 9, messages: HELLO });
    let text = "";
    stream.on("text", (piece) => {
      text += piece;
    });
    const thrown = await thrownBy(stream.finalMessage());
    expect(thrown).toBeInstanceOf(Anthropic.APIError);
    expect(thrown).toMatchObject({ type: "api_error", error: { request_id: ids[0] } });
    expect("hello".startsWith(text) && text !== "").toBe(true);
    expect(attempts()).toBe(1);
    const [row] = await ledgerRows(...ids);
    expect(row).toMatchObject({ outcome: "upstream_error", route: "messages" });
  });

  test("on the wire: whole events, one error, and nothing behind it", async () => {
    host = cut(chunks);
    const response = await gateway.ask("/v1/messages", {
      body: { model: "plain", max_tokens: 9, messages: HELLO, stream: true },
    });
    const names = (await response.text()).split("\n\n").map((event) => event.split("\n")[0]);
    expect(names).toEqual([
      "event: message_start",
      "event: content_block_start",
      "event: content_block_delta",
      "event: error",
      "",
    ]);
  });
});

test("a stream whose host is lost is carried on by another, in the same message", async () => {
  const OF_A_CHUNK = { id: "a", object: "chat.completion.chunk", created: 1, model: "org/served" };
  const begun = CHUNKS.slice(0, 2).map((one) => `data: ${JSON.stringify({ ...OF_A_CHUNK, ...one })}\n\n`);
  host = (_body, path) => (path.startsWith("/chat/") ? eventStream(begun.join("")) : streamed(CHUNKS.slice(2)));
  const { client } = await userOf();
  const stream = client.messages.stream({ model: "twinned", max_tokens: 9, messages: HELLO });
  const types: string[] = [];
  stream.on("streamEvent", ({ type }) => types.push(type));
  expect(await stream.finalMessage()).toMatchObject({
    content: [{ type: "text", text: "hello" }],
    stop_reason: "end_turn",
  });
  expect(types).toEqual([
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
  ]);
  // In chat, also where the host has the protocol itself: its route does not go on from what was said.
  expect(said.map(({ path }) => path)).toEqual(["/chat/v1/chat/completions", "/second/v1/chat/completions"]);
  expect(said[1]?.body.messages).toEqual([...HELLO, { role: "assistant", content: "hel" }]);
});

test("an answer of a host of the protocol's own is kept, and is one for callers of chat as well", async () => {
  const { client } = await userOf();
  const asked = { model: "kept", max_tokens: 9, messages: HELLO, temperature: 0 };
  const { data: first, response } = await client.messages.create(asked).withResponse();
  expect(response.headers.get("x-causeway-cache")).toBe("miss");
  const headers = { authorization: `Bearer ${client.apiKey}` };
  const again = await vi.waitFor(async () => {
    const kept = await client.messages.create(asked).withResponse();
    expect(kept.response.headers.get("x-causeway-cache")).toBe("hit");
    return kept.data;
  }, 4_000);
  expect({ ...again, id: first.id }).toEqual(first);
  expect(again.id).not.toBe(first.id);
  const chat = await gateway.ask("/v1/chat/completions", { headers, body: { ...asked, messages: HELLO } });
  expect(chat.headers.get("x-causeway-cache")).toBe("hit");
  expect(await chat.json()).toMatchObject({ choices: [{ message: { content: "hello" }, finish_reason: "stop" }] });
});

describe("tokens are counted", () => {
  const asked = { messages: HELLO, system: "be kind", tools: [WEATHER] };
  test.each<{ model: string; by: string; tokens: number; paths: string[]; counts: string }>([
    { model: "plain", by: "vLLM's tokenizer", tokens: 4, paths: ["/chat/tokenize"], counts: "engine" },
    {
      model: "auto",
      by: "the tokenizer of the model that an alias stands for",
      tokens: 4,
      paths: ["/chat/tokenize"],
      counts: "engine",
    },
    { model: "native", by: "the host itself", tokens: 5, paths: ["/own/v1/messages/count_tokens"], counts: "engine" },
    {
      model: "small",
      by: "llama.cpp's template and tokenizer",
      tokens: 3,
      paths: ["/llama/apply-template", "/llama/tokenize"],
      counts: "engine",
    },
    { model: "far", by: "the gateway, for a cloud", tokens: 46, paths: [], counts: "estimate" },
  ])("by $by", async ({ model, tokens, paths, counts }) => {
    const { client, ids } = await userOf();
    const { data, response } = await client.messages.countTokens({ model, ...asked }).withResponse();
    expect(data).toEqual({ input_tokens: tokens });
    expect(said.map(({ path }) => path)).toEqual(paths);
    expect(response.headers.get("x-causeway-count")).toBe(counts);
    const [row] = await ledgerRows(...ids);
    expect(row).toMatchObject({
      route: "count_tokens",
      outcome: "complete",
      host: null,
      prompt_tokens: 0,
      completion_tokens: 0,
    });
  });

  test.each<{ name: string; play: Playing }>([
    { name: "fails", play: () => new Response("gone", { status: 500 }) },
    { name: "has no tokenizer", play: () => new Response("", { status: 404 }) },
    { name: "talks nonsense", play: () => new Response("<html>") },
    { name: "cannot be reached", play: () => Promise.reject(new Error("no route")) },
  ])("by the gateway where the host $name", async ({ play }) => {
    host = play;
    const { client } = await userOf();
    const { data, response } = await client.messages.countTokens({ model: "plain", ...asked }).withResponse();
    expect(data.input_tokens).toBeGreaterThan(10);
    expect([response.headers.get("x-causeway-count"), response.headers.get("x-causeway-host")]).toEqual([
      "estimate",
      null,
    ]);
  });

  test("by the gateway where there is a picture to count", async () => {
    const { client } = await userOf();
    const source = { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } as const;
    const messages: Anthropic.MessageParam[] = [{ role: "user", content: [{ type: "image", source }] }];
    expect((await client.messages.countTokens({ model: "plain", messages })).input_tokens).toBeGreaterThan(1_024);
    expect(said).toEqual([]);
    expect(await client.messages.countTokens({ model: "native", messages })).toEqual({ input_tokens: 5 });
  });

  test("as one request and no tokens", async () => {
    const { client } = await userOf("rare");
    const { response } = await client.messages.countTokens({ model: "plain", ...asked }).withResponse();
    expect(response.headers.get("ratelimit")).toContain('"rpd";r=0');
    expect(response.headers.get("x-ratelimit-remaining-tokens")).toBe(String(WIDE.tpm));
    expect(await thrownBy(client.messages.countTokens({ model: "plain", ...asked }))).toBeInstanceOf(
      Anthropic.RateLimitError,
    );
  });

  test("and what is wrong with the question is said", async () => {
    const { client, ids } = await userOf();
    const ask = (body: object) => thrownBy(client.messages.countTokens({ model: "plain", ...asked, ...body }));
    expect(await ask({ messages: [] })).toBeInstanceOf(Anthropic.BadRequestError);
    expect(await ask({ model: "absent" })).toBeInstanceOf(Anthropic.NotFoundError);
    host = () => Response.json({ error: { message: "no", type: "BadRequestError" } }, { status: 400 });
    expect(await ask({})).toBeInstanceOf(Anthropic.BadRequestError);
    const [row] = await ledgerRows(...ids.slice(-1));
    expect(row).toMatchObject({ outcome: "rejected", route: "count_tokens" });
  });
});
