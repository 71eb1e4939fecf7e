/**
 * A cloud behind the operator's own hosts, as the official client meets it: it answers when they cannot, and never what
 * must stay at home. The cloud is played by one that refuses what OpenAI would refuse.
 */
import { env, exports } from "cloudflare:workers";
import OpenAI from "openai";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { answering, CATALOG, type Gateway, type Host, startGateway, streamed } from "#test/support/gateway.ts";

/** Each under a name of its own: failures are counted by host and name, and many of them would open a breaker. */
const servedAs = (as: string) => [
  { host: "gpu", as },
  { host: "cloud", as: "gpt-test" },
];
const catalog = {
  hosts: [
    ...CATALOG.hosts,
    {
      id: "cloud",
      engine: "openai",
      backup: true,
      keyFrom: "VLLM_API_KEY",
      reach: { via: "direct", url: "http://cloud.test" },
    },
  ],
  models: [
    { id: "free", served: servedAs("org/free") },
    { id: "home", served: servedAs("org/home"), residency: "on-prem" },
    { id: "embedder", kind: "embedding", served: servedAs("org/embedder") },
  ],
  tiers: CATALOG.tiers,
};

/** The fields that the stand-in takes; what else OpenAI documents is not asked for here. */
const KNOWN = new Set([
  "model",
  "messages",
  "input",
  "encoding_format",
  "stream",
  "stream_options",
  "temperature",
  "max_tokens",
  "user",
]);
const USAGE = { prompt_tokens: 9, completion_tokens: 4, total_tokens: 13, prompt_tokens_details: { cached_tokens: 2 } };
const OF_A_CHUNK = { id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "gpt-test-2026" };

let asked: string[] = [];
const cloud: Host = (body) => {
  const unknown = [
    ...Object.keys(body).filter((field) => !KNOWN.has(field)),
    ...Object.keys(body.stream_options ?? {}).filter((option) => option !== "include_usage"),
  ];
  if (unknown.length > 0 || body.model !== "gpt-test") {
    const message = `Unrecognized request argument supplied: ${unknown.join()}`;
    return Response.json(
      { error: { message, type: "invalid_request_error", param: null, code: null } },
      { status: 400 },
    );
  }
  if (body.input !== undefined) {
    const data = [{ object: "embedding", index: 0, embedding: [0.5, 0.25] }];
    return Response.json({ object: "list", data, model: "gpt-test", usage: { prompt_tokens: 9, total_tokens: 9 } });
  }
  if (body.stream !== true) {
    const message = { role: "assistant", content: "from afar", refusal: null };
    const choices = [{ index: 0, message, logprobs: null, finish_reason: "stop" }];
    return Response.json({ ...OF_A_CHUNK, object: "chat.completion", choices, usage: USAGE });
  }
  const piece = (delta: object, finish_reason: string | null) => {
    return { ...OF_A_CHUNK, choices: [{ index: 0, delta, logprobs: null, finish_reason }], usage: null };
  };
  return streamed([
    piece({ role: "assistant", content: "", refusal: null }, null),
    piece({ content: "from afar" }, null),
    piece({}, "stop"),
    { ...OF_A_CHUNK, choices: [], usage: USAGE },
  ]);
};

let gateway: Gateway;
let own: Host = answering;
const out: Host = () => new Response("gone", { status: 502 });

beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  gateway = await startGateway(catalog, (body) => own(body));
  const mocked = vi.mocked(globalThis.fetch);
  const others = mocked.getMockImplementation();
  mocked.mockImplementation(async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : String(input));
    if (url.hostname !== "cloud.test") return others?.(input, init) ?? Response.error();
    if (init?.method !== "POST") return new Response(null, { status: 404 });
    asked.push(url.pathname);
    if (new Headers(init.headers).get("authorization") !== `Bearer ${Reflect.get(env, "VLLM_API_KEY")}`)
      return Response.json({ error: { message: "Incorrect API key provided." } }, { status: 401 });
    return cloud(JSON.parse(String(init.body)));
  });
});
afterAll(() => {
  vi.restoreAllMocks();
});
beforeEach(() => {
  asked = [];
});

async function client(): Promise<OpenAI> {
  return new OpenAI({
    apiKey: await gateway.issuer.sign({ sub: crypto.randomUUID(), tier: "default" }),
    baseURL: "http://x/v1",
    maxRetries: 0,
    fetch: (input, init) => exports.default.fetch(new Request(input, init)),
  });
}

const HELLO = [{ role: "user" as const, content: "hello" }];
/** What an engine of one's own would mind. */
const ENGINES_OWN = { top_k: 20, min_p: 0.1, repetition_penalty: 1.1, timings_per_token: true };

test("the operator's own host is asked while it answers, with all that it minds", async () => {
  own = answering;
  const { data, response } = await (await client()).chat.completions
    .create({ model: "free", messages: HELLO, ...ENGINES_OWN })
    .withResponse();
  expect(data.choices[0]?.message.content).toBe("hello");
  expect([response.headers.get("x-causeway-host"), asked]).toEqual(["gpu", []]);
});

describe("when it is out, the cloud answers", () => {
  test("whole", async () => {
    own = out;
    const { data, response } = await (await client()).chat.completions
      .create({ model: "free", messages: HELLO, temperature: 0, user: "u", ...ENGINES_OWN })
      .withResponse();
    expect(data).toMatchObject({ choices: [{ message: { content: "from afar" } }], usage: USAGE });
    expect([response.headers.get("x-causeway-host"), asked]).toEqual(["cloud", ["/v1/chat/completions"]]);
  });

  test.each([true, false])("streamed, with the usage where it is asked for: %s", async (include_usage) => {
    own = out;
    const stream = await (await client()).chat.completions.create({
      model: "free",
      messages: HELLO,
      stream: true,
      ...(include_usage ? { stream_options: { include_usage } } : {}),
      ...ENGINES_OWN,
    });
    let text = "";
    const usages: unknown[] = [];
    for await (const { choices, usage } of stream) {
      text += choices[0]?.delta.content ?? "";
      if (usage) usages.push(usage);
    }
    expect(text).toBe("from afar");
    expect(usages).toEqual(include_usage ? [USAGE] : []);
  });

  test("embeddings", async () => {
    own = out;
    const { data } = await (await client()).embeddings.create({
      model: "embedder",
      input: "hello",
      encoding_format: "float",
    });
    expect(data[0]?.embedding).toEqual([0.5, 0.25]);
    expect(asked).toEqual(["/v1/embeddings"]);
  });

  test("not where the answer would have another form than was asked for", async () => {
    own = out;
    const asking = (await client()).chat.completions.create({
      model: "free",
      messages: HELLO,
      ...{ guided_json: { type: "object" } },
    });
    await expect(asking).rejects.toMatchObject({ status: 502 });
    expect(asked).toEqual([]);
  });
});

const AT_HOME = { headers: { "x-causeway-residency": "on-prem" } };

describe("what must stay at home does", () => {
  test.each([
    { name: "by its model", model: "home", more: {} },
    { name: "by its header", model: "free", more: AT_HOME },
  ])("$name: the cloud is not asked, whatever the caller hears", async ({ model, more }) => {
    own = out;
    const of = await client();
    const whole = of.chat.completions.create({ model, messages: HELLO }, more);
    await expect(whole).rejects.toMatchObject({ status: 502 });
    const stream = of.chat.completions.create({ model, messages: HELLO, stream: true }, more);
    await expect(stream).rejects.toMatchObject({ status: 502 });
    expect(asked).toEqual([]);
    own = answering;
    const { choices } = await of.chat.completions.create({ model, messages: HELLO }, more);
    expect(choices[0]?.message.content).toBe("hello");
  });

  test("a word that is not understood lets nothing out, and costs nothing", async () => {
    own = out;
    const headers = { "x-causeway-residency": "on_prem" };
    const asking = (await client()).chat.completions.create({ model: "free", messages: HELLO }, { headers });
    await expect(asking).rejects.toMatchObject({ status: 400, code: "invalid_value", param: "x-causeway-residency" });
    expect(asked).toEqual([]);
  });
});
