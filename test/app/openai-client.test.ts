/**
 * What the official client makes of the gateway's refusals: which class of error, with which members, after how many
 * attempts. It runs inside workerd and speaks to the Worker without a network.
 */
import { exports } from "cloudflare:workers";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { answering, CATALOG, type Gateway, type Host, startGateway } from "#test/support/gateway.ts";

const WIDE = CATALOG.tiers.default;
const served = [{ host: "gpu", as: "m" }];
const catalog = {
  hosts: [{ ...CATALOG.hosts[0], slots: 2, cost: { perHour: 3.6 } }],
  models: [
    { id: "plain", served },
    { id: "small", served, context: 64 },
    { id: "priced", served, price: { per1kTokens: 1 } },
    { id: "priced-by-time", served, price: { per1kTokens: 1, hostTime: true } },
    { id: "priced-embedder", kind: "embedding", served, context: 64, price: { per1kTokens: 1 } },
  ],
  tiers: {
    default: WIDE,
    one: { ...WIDE, concurrency: 1 },
    rare: { ...WIDE, rpd: 1 },
    few: { ...WIDE, tpm: 100 },
    poor: { ...WIDE, budget: { perDay: 0.05 } },
    bounded: { ...WIDE, maxTokens: 50, maxN: 1 },
    clamped: { ...WIDE, maxTokens: 50, maxN: 1, over: "clamp" },
  },
};

let gateway: Gateway;
let host: Host = answering;
const said: unknown[] = [];
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  gateway = await startGateway(catalog, (body) => {
    said.push(body);
    return host(body);
  });
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** A fresh user of a tier with the client, as it comes: it tries three times. */
async function userOf(tier: string): Promise<{ client: OpenAI; attempts: () => number }> {
  const apiKey = await gateway.issuer.sign({ sub: crypto.randomUUID(), tier });
  let attempts = 0;
  const client = new OpenAI({
    apiKey,
    baseURL: "http://x/v1",
    fetch: (input, init) => {
      attempts += 1;
      return exports.default.fetch(new Request(input, init));
    },
  });
  return { client, attempts: () => attempts };
}

const HELLO = [{ role: "user" as const, content: "hello" }];

/** What was thrown, as far as callers look at it. */
async function thrownBy(asking: Promise<unknown>): Promise<unknown> {
  return asking.then(
    () => null,
    (reason: unknown) => reason,
  );
}

describe("a limit", () => {
  test("that is soon free again is waited out by the client, and the answer comes", async () => {
    const { client, attempts } = await userOf("one");
    const state = { begun: false, held: true };
    host = async (body) => {
      state.begun = true;
      while (state.held) await scheduler.wait(5);
      return answering(body);
    };
    const first = client.chat.completions.create({ model: "plain", messages: HELLO });
    await vi.waitFor(() => expect(state.begun).toBe(true), 4_000);
    const second = client.chat.completions.create({ model: "plain", messages: HELLO });
    await vi.waitFor(() => expect(attempts()).toBe(2), 4_000);
    host = answering;
    state.held = false;
    expect((await first).choices[0]?.message.content).toBe("hello");
    expect((await second).choices[0]?.message.content).toBe("hello");
    expect(attempts()).toBe(3);
  });

  test("that stays for longer than the client would wait is told at once: RateLimitError, one attempt", async () => {
    const { client, attempts } = await userOf("rare");
    await client.chat.completions.create({ model: "plain", messages: HELLO });
    const thrown = await thrownBy(client.chat.completions.create({ model: "plain", messages: HELLO }));
    expect(thrown).toBeInstanceOf(OpenAI.RateLimitError);
    expect(thrown).toMatchObject({ status: 429, code: "rate_limit_exceeded", type: "requests" });
    const { headers } = thrown as InstanceType<typeof OpenAI.RateLimitError>;
    expect(headers.get("x-should-retry")).toBe("false");
    expect(Number(headers.get("retry-after"))).toBeGreaterThan(60);
    expect(headers.get("x-ratelimit-remaining-requests")).not.toBeNull();
    expect(attempts()).toBe(2);
  });

  test.each([
    { name: "max_tokens", more: { max_tokens: 101 } },
    { name: "max_completion_tokens", more: { max_completion_tokens: 101 } },
    { name: "n answers", more: { max_tokens: 40, n: 3 } },
  ])("that no waiting helps against is not asked again: more tokens by $name than a minute has", async ({ more }) => {
    const { client, attempts } = await userOf("few");
    const thrown = await thrownBy(client.chat.completions.create({ model: "plain", messages: HELLO, ...more }));
    expect(thrown).toBeInstanceOf(OpenAI.RateLimitError);
    expect(thrown).toMatchObject({ status: 429, code: "rate_limit_exceeded", type: "tokens" });
    const { headers } = thrown as InstanceType<typeof OpenAI.RateLimitError>;
    expect([headers.get("x-should-retry"), headers.get("retry-after")]).toEqual(["false", null]);
    expect(attempts()).toBe(1);
  });
});

describe("a budget that is spent is insufficient_quota, after one attempt", () => {
  const asks: { name: string; ask: (client: OpenAI) => Promise<unknown> }[] = [
    ...["priced", "priced-by-time"].map((model) => ({
      name: `more tokens of ${model} than there is money for`,
      ask: (client: OpenAI) => client.chat.completions.create({ model, messages: HELLO, max_tokens: 40 }),
    })),
    {
      name: "an embedding",
      ask: (client) => client.embeddings.create({ model: "priced-embedder", input: "word ".repeat(40) }),
    },
  ];
  test.each(asks)("$name", async ({ ask }) => {
    const { client, attempts } = await userOf("poor");
    const thrown = await thrownBy(ask(client));
    expect(thrown).toBeInstanceOf(OpenAI.RateLimitError);
    expect(thrown).toMatchObject({ status: 429, code: "insufficient_quota", type: "insufficient_quota" });
    expect(attempts()).toBe(1);
  });

  test("also when it was spent before; models without a price go on", async () => {
    const { client } = await userOf("poor");
    const ask = (model: string) =>
      client.chat.completions.create({ model, messages: HELLO, max_tokens: 20 }).then(() => "answered", codeOf);
    // 40,000 micro-dollars are reserved of 50,000, and 18,000 spent. What is left is less than what the next one reserves.
    const answers = [await ask("priced")];
    await vi.waitFor(async () => {
      const { data } = await client.get<{ data: { name: string; remaining: number }[] }>("/limits");
      expect(data.find(({ name }) => name === "budget-day")?.remaining).toBe(32_000);
    }, 4_000);
    answers.push(await ask("priced"), await ask("plain"));
    expect(answers).toEqual(["answered", "insufficient_quota", "answered"]);
  });
});

function codeOf(thrown: unknown): unknown {
  return thrown instanceof OpenAI.APIError ? thrown.code : thrown;
}

describe("a question that is wrong is BadRequestError, after one attempt and before any host sees it", () => {
  const long = "word ".repeat(65);
  test.each<{ name: string; tier?: string; ask: (client: OpenAI) => Promise<unknown>; code: string; param: string }>([
    {
      name: "messages too long",
      ask: (client) =>
        client.chat.completions.create({ model: "small", messages: [{ role: "user", content: long }], stream: true }),
      code: "context_length_exceeded",
      param: "messages",
    },
    {
      name: "a prompt too long",
      ask: (client) => client.completions.create({ model: "small", prompt: long }),
      code: "context_length_exceeded",
      param: "prompt",
    },
    {
      name: "an input too long",
      ask: (client) => client.embeddings.create({ model: "priced-embedder", input: ["hi", long] }),
      code: "context_length_exceeded",
      param: "input",
    },
    {
      name: "more tokens than the tier allows",
      tier: "bounded",
      ask: (client) => client.chat.completions.create({ model: "plain", messages: HELLO, max_completion_tokens: 51 }),
      code: "invalid_value",
      param: "max_completion_tokens",
    },
    {
      name: "more answers than the tier allows",
      tier: "bounded",
      ask: (client) => client.chat.completions.create({ model: "plain", messages: HELLO, n: 2 }),
      code: "invalid_value",
      param: "n",
    },
    {
      name: "a field that the tier does not have",
      ask: (client) => client.completions.create({ model: "plain", prompt: "hi", echo: true }),
      code: "unsupported_value",
      param: "echo",
    },
  ])("$name: $code", async ({ tier = "default", ask, code, param }) => {
    const { client, attempts } = await userOf(tier);
    const before = said.length;
    const thrown = await thrownBy(ask(client));
    expect(thrown).toBeInstanceOf(OpenAI.BadRequestError);
    expect(thrown).toMatchObject({ status: 400, code, param, type: "invalid_request_error" });
    expect(attempts()).toBe(1);
    expect(said.length).toBe(before);
  });
});

test("what a tier cuts down is cut down on its way to the host, and what is not named is held to the tier's", async () => {
  const { client } = await userOf("clamped");
  await client.chat.completions.create({ model: "plain", messages: HELLO, max_tokens: 5_000, n: 3 });
  expect(said.at(-1)).toMatchObject({ max_tokens: 50, n: 1 });
  await client.completions.create({ model: "plain", prompt: "hi" });
  expect(said.at(-1)).toMatchObject({ prompt: "hi", max_tokens: 50 });
});
