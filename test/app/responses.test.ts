/**
 * `/v1/responses` as the official client finds it, whole and streamed, at a host that has only chat and at one that
 * speaks it itself. It runs inside workerd and speaks to the Worker without a network.
 */
import { env, exports } from "cloudflare:workers";
import OpenAI from "openai";
import type { ResponseInputItem, ResponseStreamEvent } from "openai/resources/responses/responses";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { Generation } from "#scripts/lab/generation.ts";
import { responsesShape } from "#scripts/lab/vllm/responses-shape.ts";
import type { JsonObject } from "#src/json.ts";
import { inSession } from "#src/postgres/session.ts";
import { CATALOG, type Gateway, type Host, streamed } from "#test/support/gateway.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const WIDE = CATALOG.tiers.default;
const models = [
  modelOn("plain", ["gpu"], { context: 1_000 }),
  modelOn("kept", ["gpu"], { cache: { ttl: 60, scope: "user" }, price: { per1kTokens: 1 } }),
  modelOn("native", ["own"]),
  modelOn("both", ["own", "gpu"]),
  modelOn("twins", ["gpu", "twin"]),
  modelOn("hasty", ["gpu"], { deadlines: { firstToken: 50, total: 5_000 }, heartbeat: 250 }),
];
const more = {
  tiers: { default: WIDE, bounded: { ...WIDE, maxTokens: 50 }, clamped: { ...WIDE, maxTokens: 50, over: "clamp" } },
  aliases: { auto: { rules: [{ when: { tools: true }, use: "native" }], otherwise: "plain" } },
};

let gateway: Gateway;
let hosts: Record<"gpu" | "own" | "twin", StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  const wide = { slots: 8 };
  const speaking = { ...wide, offers: ["responses"] };
  const all = [hostOf("gpu", wide), hostOf("own", speaking), hostOf("twin", { ...speaking, backup: true })];
  const world = await withHosts(all, models, more);
  gateway = world.gateway;
  const { gpu, own, twin } = world.hosts;
  if (gpu === undefined || own === undefined || twin === undefined) throw new Error("there is no host");
  hosts = { gpu, own, twin };
  // The first request of all loads the Worker and asks every host how it is.
  gpu.answer = chat({ content: "hello" });
  await gateway.ask("/v1/responses", { body: { model: "plain", input: "hi" } });
}, 20_000);
afterAll(() => {
  vi.restoreAllMocks();
});
beforeEach(() => {
  hosts.gpu.answer = chat({ content: "hello" });
  hosts.own.answer = native("hello");
});

/** A user of his own with the client, and the last response's headers. */
async function user(tier = "default"): Promise<{ client: OpenAI; last: () => Headers }> {
  const apiKey = await gateway.issuer.sign({ sub: crypto.randomUUID(), tier });
  let headers = new Headers();
  const client = new OpenAI({
    apiKey,
    baseURL: "http://x/v1",
    maxRetries: 0,
    fetch: async (input, init) => {
      const response = await exports.default.fetch(new Request(input, init));
      headers = response.headers;
      return response;
    },
  });
  return { client, last: () => headers };
}

const usage = {
  prompt_tokens: 11,
  completion_tokens: 7,
  total_tokens: 18,
  prompt_tokens_details: { cached_tokens: 4 },
};

/** A host that has chat: the message whole, or cut into its letters. */
function chat(message: JsonObject, finish_reason = "stop"): Host {
  const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: "org/m" };
  return ({ stream }) => {
    if (stream !== true) {
      const choice = { index: 0, finish_reason, message: { role: "assistant", ...message } };
      return Response.json({ ...chunk, object: "chat.completion", choices: [choice], usage });
    }
    const deltas = [{ role: "assistant", content: "" }, ...piecesOf(message)];
    return streamed([
      ...deltas.map((delta) => ({ ...chunk, choices: [{ index: 0, delta, finish_reason: null }] })),
      { ...chunk, choices: [{ index: 0, delta: {}, finish_reason }] },
      { ...chunk, choices: [], usage },
    ]);
  };
}

type Call = { readonly id: string; readonly function: { readonly name: string; readonly arguments: string } };

function piecesOf({ reasoning_content = "", content = "", tool_calls = [] }: JsonObject): JsonObject[] {
  const calls = (tool_calls as readonly Call[]).flatMap(({ id, function: { name, arguments: given } }, index) => [
    { tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] },
    ...[...given].map((letter) => ({ tool_calls: [{ index, function: { arguments: letter } }] })),
  ]);
  return [
    ...[...String(reasoning_content)].map((letter) => ({ reasoning_content: letter })),
    ...[...String(content ?? "")].map((letter) => ({ content: letter })),
    ...calls,
  ];
}

/** A host that speaks Responses itself, as vLLM does. */
function native(script: string, cutAfter = Number.POSITIVE_INFINITY): Host {
  return (body) => {
    const limits = { maxTokens: 40, minTokens: 0, ignoreEos: false, stop: [], holdback: "always" } as const;
    const generation = new Generation("hi", { weights: "w", shift: 0, script }, limits);
    const choices = [{ index: 0, prompt: "hi", generation }];
    const facts = { promptTokens: 11, cachedTokens: 4, completionTokens: 0, slot: 0, promptMs: 1, decodeMs: 1 };
    const shape = responsesShape({ id: "1", model: "org/own", createdS: 1, body, maxTokens: 40, call: null });
    const events = [shape.opening(choices, facts)];
    while (generation.finish === null) {
      const piece = generation.step();
      facts.completionTokens += piece.tokens;
      events.push(shape.piece({ index: 0, prompt: "hi", generation }, piece, facts));
    }
    if (body.stream !== true) return Response.json(shape.whole(choices, facts));
    const whole = [...events, shape.ending(facts)].filter((event) => event !== "");
    return new Response(whole.slice(0, cutAfter).join(""), { headers: { "content-type": "text/event-stream" } });
  };
}

/** The rows of requests by their ids, once all are there. */
async function rowsOf(ids: readonly (string | null)[]): Promise<Map<unknown, Record<string, unknown>>> {
  const text = "SELECT * FROM inference_logs WHERE id = ANY ($1::uuid[])";
  return vi.waitFor(
    async () => {
      const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [ids]));
      expect(rows).toHaveLength(ids.length);
      return new Map(rows.map((row) => [row.id, row]));
    },
    { timeout: 4_500, interval: 100 },
  );
}

const caught = (asking: Promise<unknown>): Promise<unknown> =>
  asking.then(
    () => null,
    (reason: unknown) => reason,
  );

const SAID = { text: "hello", input: 11, cached: 4 };

describe.each([
  { model: "plain", host: "gpu" as const, tokens: 7 },
  { model: "native", host: "own" as const, tokens: 1 },
])("a text, at $host", ({ model, host, tokens }) => {
  const counted = {
    input_tokens: SAID.input,
    input_tokens_details: { cached_tokens: SAID.cached },
    output_tokens: tokens,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: SAID.input + tokens,
  };

  const complete = {
    route: "responses",
    model,
    host,
    outcome: "complete",
    prompt_tokens: SAID.input,
    completion_tokens: tokens,
    cached_tokens: SAID.cached,
    finish_reason: "stop",
    estimated: false,
  };
  /** What the ledger must say of the requests of the tests below. */
  const expected = new Map<string | null, object>();

  test("whole", async () => {
    const { client, last } = await user();
    const response = await client.responses.create({ model, input: "hi", store: true, metadata: { a: "b" } });
    expect(response).toMatchObject({
      object: "response",
      status: "completed",
      output_text: SAID.text,
      usage: counted,
      metadata: { a: "b" },
      error: null,
      incomplete_details: null,
      previous_response_id: null,
    });
    expect(response.id).toMatch(/^resp_./);
    expect(last().get("x-causeway-host")).toBe(host);
    expected.set(last().get("x-request-id"), complete);
  });

  test("streamed: the helper's events, and the same response at the end", async () => {
    const { client, last } = await user();
    const stream = client.responses.stream({ model, input: "hi" });
    const events: ResponseStreamEvent[] = [];
    for await (const event of stream) events.push(event);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, at) => at));
    const types = events.map(({ type }) => type);
    expect(types.slice(0, 4)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
    ]);
    expect(types.slice(-4)).toEqual([
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    const deltas = events.filter((event) => event.type === "response.output_text.delta");
    expect(deltas.map(({ delta }) => delta).join("")).toBe(SAID.text);
    expect(await stream.finalResponse()).toMatchObject({
      status: "completed",
      output_text: SAID.text,
      usage: counted,
    });
    expected.set(last().get("x-request-id"), complete);
  });

  test("a stream that its host cuts ends in one error, which the client throws; numbered on", async () => {
    const { client, last } = await user();
    const whole = hosts[host].answer;
    hosts[host].answer = async (body) => {
      const response = await whole(body);
      const events = (await response.text()).split(/(?<=\n\n)/);
      const begun = host === "gpu" ? 4 : 6;
      return new Response(events.slice(0, begun).join(""), { headers: response.headers });
    };
    const seen: ResponseStreamEvent[] = [];
    const iterated = await caught(
      (async () => {
        for await (const event of await client.responses.create({ model, input: "hi", stream: true })) seen.push(event);
      })(),
    );
    expect(seen.map(({ type }) => type)).toContain("response.output_text.delta");
    expect(iterated).toBeInstanceOf(OpenAI.APIError);
    expect(iterated).toMatchObject({ code: "upstream_error", type: "server_error", param: null });
    const helped = await caught(client.responses.stream({ model, input: "hi" }).finalResponse());
    expect(helped).toBeInstanceOf(OpenAI.APIError);
    expect(helped).toMatchObject({ code: "upstream_error" });
    expected.set(last().get("x-request-id"), { route: "responses", outcome: "upstream_error" });

    const raw = await gateway.ask("/v1/responses", { body: { model, input: "hi", stream: true } });
    const events = (await raw.text()).split("\n\n").slice(0, -1);
    expect(events.filter((event) => event.startsWith("event: error\n"))).toEqual([events.at(-1)]);
    const numbers = events.map((event) => JSON.parse(event.replace(/^event: .*\ndata: /, "")).sequence_number);
    expect(numbers).toEqual(events.map((_, at) => at));
    expect(events.join()).not.toContain("[DONE]");
  });

  test("a caller who leaves is noticed", async () => {
    const { client, last } = await user();
    const whole = hosts[host].answer;
    hosts[host].answer = async (body) => {
      const response = await whole(body);
      const events = (await response.text()).split(/(?<=\n\n)/);
      const endless = new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode(events.slice(0, 6).join(""))),
      });
      return new Response(endless, { headers: response.headers });
    };
    const stream = client.responses.stream({ model, input: "hi" });
    stream.on("response.output_text.delta", () => stream.abort());
    expect(await caught(stream.finalResponse())).toBeInstanceOf(OpenAI.APIUserAbortError);
    expected.set(last().get("x-request-id"), { route: "responses", outcome: "client_left" });
  });

  test("each of them is in the ledger as what it was", async () => {
    expect(expected.size).toBe(4);
    const rows = await rowsOf([...expected.keys()]);
    for (const [id, members] of expected) expect(rows.get(id)).toMatchObject(members);
  });
});

test("a host that speaks it itself is asked in the caller's words, within its caps, and keeps nothing", async () => {
  const { client } = await user("clamped");
  const input: ResponseInputItem[] = [{ role: "user", content: [{ type: "input_text", text: "hi" }] }];
  await client.responses.create({ model: "native", input, max_output_tokens: 4_000, store: true, truncation: "auto" });
  expect(hosts.own.asked.at(-1)).toEqual({
    model: "native",
    input: [{ type: "message", ...input[0] }],
    max_output_tokens: 50,
    store: false,
    stream: false,
    // The tenant's part of the host's prefix cache: not the caller's to set.
    cache_salt: expect.stringMatching(/^[\w-]{43}$/),
  });
  await client.responses.create({ model: "native", input: "hi" });
  expect(hosts.own.asked.at(-1)).toMatchObject({ input: "hi", max_output_tokens: 50 });
});

test("where the host that speaks it itself fails, another that has chat answers", async () => {
  hosts.own.answer = () => new Response("gone", { status: 502 });
  const { client, last } = await user();
  const response = await vi.waitFor(async () => {
    const answer = await client.responses.create({ model: "both", input: "hi" });
    expect(hosts.own.asked.length).toBeGreaterThan(0);
    return answer;
  });
  expect(response).toMatchObject({ output_text: "hello", store: false });
  expect(last().get("x-causeway-host")).toBe("gpu");
});

test("a stream whose host dies is carried on by its twin, in chat also where that speaks Responses", async () => {
  const whole = hosts.gpu.answer;
  hosts.gpu.answer = async (body) => {
    const response = await whole(body);
    const events = (await response.text()).split(/(?<=\n\n)/);
    return new Response(events.slice(0, 4).join(""), { headers: response.headers });
  };
  hosts.twin.answer = chat({ content: "lo" });
  const { client } = await user();
  const stream = client.responses.stream({ model: "twins", input: "hi" });
  const types: string[] = [];
  for await (const { type } of stream) types.push(type);
  expect(types.filter((type) => type === "response.created")).toHaveLength(1);
  expect(await stream.finalResponse()).toMatchObject({ status: "completed", output_text: "hello" });
  expect(hosts.twin.asked.at(-1)?.messages).toEqual([
    { role: "user", content: "hi" },
    { role: "assistant", content: "hel" },
  ]);
});

describe("tools", () => {
  const tools: OpenAI.Responses.FunctionTool[] = [
    { type: "function", name: "weather", description: "of a city", parameters: { type: "object" }, strict: true },
  ];
  const call = { id: "call_1", type: "function", function: { name: "weather", arguments: '{"city":"Bern"}' } };

  test("a round trip: the call, its output, the answer", async () => {
    hosts.gpu.answer = (body) =>
      (body.messages as { role: string }[]).some(({ role }) => role === "tool")
        ? chat({ content: "sunny" })(body)
        : chat({ content: null, tool_calls: [call] }, "tool_calls")(body);
    const { client } = await user();
    const input: ResponseInputItem[] = [{ role: "user", content: "the weather?" }];
    const first = await client.responses.create({ model: "plain", input, tools, tool_choice: "required" });
    expect(hosts.gpu.asked.at(-1)).toMatchObject({
      tools: [
        {
          type: "function",
          function: { name: "weather", description: "of a city", parameters: { type: "object" }, strict: true },
        },
      ],
      tool_choice: "required",
    });
    expect(first.output).toEqual([
      {
        type: "function_call",
        id: expect.stringMatching(/^fc_/),
        status: "completed",
        call_id: "call_1",
        name: "weather",
        arguments: '{"city":"Bern"}',
      },
    ]);
    const calls = first.output.filter((item) => item.type === "function_call");
    input.push(...calls, { type: "function_call_output", call_id: "call_1", output: "18 degrees" });
    const second = await client.responses.create({ model: "plain", input, tools });
    expect(second.output_text).toBe("sunny");
    expect(hosts.gpu.asked.at(-1)?.messages).toEqual([
      { role: "user", content: "the weather?" },
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "call_1", content: "18 degrees" },
    ]);
  });

  test("streamed, several at once, with thoughts and words before: the helper puts them together", async () => {
    const other = { ...call, id: "call_2", function: { name: "weather", arguments: '{"city":"Basel"}' } };
    hosts.gpu.answer = chat(
      { reasoning_content: "two cities", content: "let me see", tool_calls: [call, other] },
      "tool_calls",
    );
    const { client } = await user();
    const stream = client.responses.stream({ model: "plain", input: "the weather?", tools });
    const { output, status } = await stream.finalResponse();
    expect(status).toBe("completed");
    expect(output).toMatchObject([
      { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "two cities" }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "let me see" }] },
      { type: "function_call", call_id: "call_1", parsed_arguments: { city: "Bern" } },
      { type: "function_call", call_id: "call_2", parsed_arguments: { city: "Basel" } },
    ]);
  });

  test("make an alias choose as they do in chat", async () => {
    const { client, last } = await user();
    await client.responses.create({ model: "auto", input: "hi", tools });
    expect(last().get("x-causeway-model")).toBe("native");
    await client.responses.create({ model: "auto", input: "hi" });
    expect(last().get("x-causeway-model")).toBe("plain");
  });
});

test("a form for the answer goes to the host, and the client parses what comes", async () => {
  const schema = {
    type: "object",
    properties: { n: { type: "number" } },
    required: ["n"],
    additionalProperties: false,
  };
  const format = { type: "json_schema", name: "number", schema, strict: true } as const;
  hosts.gpu.answer = chat({ content: '{"n":42}' });
  const { client } = await user();
  const parsed = await client.responses.parse({ model: "plain", input: "a number", text: { format } });
  expect(parsed.output_parsed).toEqual({ n: 42 });
  expect(parsed.text).toEqual({ format });
  const { type: _type, ...json_schema } = format;
  expect(hosts.gpu.asked.at(-1)?.response_format).toEqual({ type: "json_schema", json_schema });
});

test.each([{ finish: "length" }, { finish: "content_filter" }])("$finish: incomplete", async ({ finish }) => {
  hosts.gpu.answer = chat({ content: "hell" }, finish);
  const { client } = await user();
  const reason = finish === "length" ? "max_output_tokens" : "content_filter";
  const expected = { status: "incomplete", incomplete_details: { reason }, output_text: "hell" };
  expect(await client.responses.create({ model: "plain", input: "hi" })).toMatchObject(expected);
  const stream = client.responses.stream({ model: "plain", input: "hi" });
  const types: string[] = [];
  for await (const { type } of stream) types.push(type);
  expect(types.at(-1)).toBe("response.incomplete");
  expect(await stream.finalResponse()).toMatchObject({ ...expected, output: [{ status: "incomplete" }] });
});

test("an answer is kept and found again as a chat's is, under an id of its own", async () => {
  const { client, last } = await user();
  const ask = () => client.responses.create({ model: "kept", input: "keep this", temperature: 0 });
  const first = await ask();
  expect(last().get("x-causeway-cache")).toBe("miss");
  const asked = hosts.gpu.asked.length;
  const second = await vi.waitFor(async () => {
    const again = await ask();
    expect(last().get("x-causeway-cache")).toBe("hit");
    return again;
  });
  expect(second).toMatchObject({ output_text: first.output_text, usage: first.usage, status: "completed" });
  expect(second.id).not.toBe(first.id);
  expect(hosts.gpu.asked.length).toBe(asked);
  const id = last().get("x-request-id");
  expect((await rowsOf([id])).get(id)).toMatchObject({ route: "responses", cache: "hit", saved_tokens: 18 });
});

describe("refusals name the caller's own fields, and no host is asked", () => {
  test.each([
    {
      name: "more tokens than the tier allows",
      tier: "bounded",
      ask: { max_output_tokens: 51 },
      error: OpenAI.BadRequestError,
      expected: { code: "invalid_value", param: "max_output_tokens" },
    },
    {
      name: "more words than the context holds",
      ask: { input: "word ".repeat(1_001) },
      error: OpenAI.BadRequestError,
      expected: { code: "context_length_exceeded", param: "input" },
    },
    {
      name: "a conversation kept elsewhere",
      ask: { previous_response_id: "resp_1" },
      error: OpenAI.BadRequestError,
      expected: { code: "unsupported_value", param: "previous_response_id" },
    },
    {
      name: "a tool that nobody runs here",
      ask: { tools: [{ type: "web_search" as const }] },
      error: OpenAI.BadRequestError,
      expected: { code: "unsupported_value", param: "tools.0.type" },
    },
    {
      name: "a model that is not there",
      ask: { model: "gpt-9" },
      error: OpenAI.NotFoundError,
      expected: { code: "model_not_found", param: "model" },
    },
  ])("$name", async ({ tier = "default", ask, error, expected }) => {
    const { client } = await user(tier);
    const before = hosts.gpu.asked.length;
    for (const stream of [false, true]) {
      const thrown = await caught(client.responses.create({ model: "plain", input: "hi", stream, ...ask }));
      expect(thrown).toBeInstanceOf(error);
      expect(thrown).toMatchObject(expected);
      expect(String(thrown)).not.toMatch(/max_completion_tokens|max_tokens|messages/);
    }
    expect(hosts.gpu.asked.length).toBe(before);
  });

  test("what is kept nowhere cannot be fetched", async () => {
    const { client } = await user();
    expect(await caught(client.responses.retrieve("resp_1"))).toMatchObject({ status: 404, code: "unknown_url" });
  });
});

test("a host's own refusal of the question is told before any byte", async () => {
  const error = { message: "bad schema", type: "BadRequestError", param: "response_format", code: 400 };
  hosts.gpu.answer = () => Response.json({ error }, { status: 400 });
  const { client } = await user();
  const thrown = await caught(client.responses.create({ model: "plain", input: "hi", stream: true }));
  expect(thrown).toMatchObject({ status: 400, param: "text.format", code: "invalid_value" });
});

test.each([
  { path: "/v1/responses", asked: { input: "hi" }, called: { arguments: "{}" } },
  {
    path: "/v1/messages",
    asked: { messages: [{ role: "user", content: "hi" }], max_tokens: 9 },
    called: { name: "f", arguments: "{" },
  },
])(
  "$path: a call that cannot be told is the host's failure, for the caller and in the ledger",
  async ({ path, asked, called }) => {
    hosts.gpu.answer = chat(
      { content: null, tool_calls: [{ id: "c", type: "function", function: called }] },
      "tool_calls",
    );
    const response = await gateway.ask(path, { body: { model: "plain", ...asked } });
    const id = response.headers.get("x-request-id");
    expect([response.status, (await rowsOf([id])).get(id)]).toEqual([
      502,
      expect.objectContaining({ outcome: "upstream_error", completion_tokens: 7, attempts: 1, hosts: ["gpu"] }),
    ]);
  },
);

test.each([
  { path: "/v1/responses", asked: { input: "hi", seed: 1 }, told: { error: { param: "text.format" } } },
  {
    path: "/v1/messages",
    asked: { messages: [{ role: "user", content: "hi" }], max_tokens: 9 },
    told: { type: "error", error: { type: "invalid_request_error" } },
  },
])("$path: a refusal that comes late is in the caller's words too", async ({ path, asked, told }) => {
  hosts.gpu.answer = async () => {
    await scheduler.wait(300);
    return Response.json({ error: { message: "no", param: "response_format", code: 400 } }, { status: 400 });
  };
  const response = await gateway.ask(path, { body: { model: "hasty", ...asked } });
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  let text = "";
  while (!text.includes("}")) text += new TextDecoder().decode((await reader.read()).value);
  expect(JSON.parse(text)).toMatchObject(told);
  await reader.cancel().catch(() => undefined);
});
