/** What a caller sees of limits over HTTP, whatever it asks and whatever comes of it. */
import { createExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { app } from "#src/app.ts";
import { issueApiKey } from "#src/auth/api-key.ts";
import type { Env } from "#src/env.ts";
import type { JsonObject } from "#src/json.ts";
import type { Account } from "#src/limits/account.do.ts";
import type { UsageMessage } from "#src/usage/event.ts";
import { type Asked, answering, CATALOG, CHAT, type Gateway, type Host, startGateway } from "#test/support/gateway.ts";
import { type Item, parseList } from "#test/support/structured-fields.ts";

const CHAT_PATH = "/v1/chat/completions";
const WIDE = { rpm: 5_000, rph: 50_000, rpd: 500_000, tpm: 100_000_000, concurrency: 5_000, share: 1 };
const served = (as: string) => [{ host: "gpu", as }];
const MODELS = [
  ...CATALOG.models,
  { id: "held", served: served("held") },
  { id: "endless", served: served("endless") },
  { id: "failing", served: served("failing") },
  { id: "by-time", served: served("by-time"), price: { perGpuSecond: 1_000 } },
];
const TIERS = {
  default: WIDE,
  narrow: { ...WIDE, rpm: 5 },
  hourly: { ...WIDE, rph: 2 },
  flight: { ...WIDE, concurrency: 3 },
  single: { ...WIDE, concurrency: 1 },
  words: { ...WIDE, tpm: 2_500 },
  clamped: { ...WIDE, maxTokens: 50, maxN: 1, over: "clamp" },
  strict: { ...WIDE, maxTokens: 50, maxN: 1, over: "refuse" },
  saving: { ...WIDE, budget: { perDay: 0.5 } },
  local: { ...WIDE, localAllowance: { rpm: 3 } },
  own: { ...WIDE, models: { failing: { rpm: 1 } } },
};

/** What the host was asked, and the answers that it holds back until they are let go. */
const asked: JsonObject[] = [];
let held: { go: boolean }[] = [];
let gateway: Gateway;
/** API keys of one owner: the first has caps of its own. */
let keys: { key: string; id: string }[];

const host: Host = async (body) => {
  // The fleet's own question, which may come at any time: one token is enough for it.
  if (body.max_tokens === 1) return answering(body);
  asked.push(body);
  if (body.model === "failing") return new Response("down", { status: 500 });
  if (body.model === "endless") {
    const first = { choices: [{ index: 0, delta: { role: "assistant", content: "hello" }, finish_reason: null }] };
    const start = (stream: ReadableStreamDefaultController) =>
      stream.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(first)}\n\n`));
    return new Response(new ReadableStream({ start }), { headers: { "content-type": "text/event-stream" } });
  }
  if (body.model === "by-time") await scheduler.wait(20);
  if (body.model === "held") {
    const answer = { go: false };
    held.push(answer);
    // A promise of one request may not be resolved by another.
    while (!answer.go) await scheduler.wait(2);
  }
  return answering(body);
};

async function newKey(): Promise<{ key: string; id: string }> {
  const grant = {
    owner: "robot",
    tier: "default",
    scopes: ["inference" as const, "models" as const],
    label: "",
    expiresAtMs: Date.now() + 600_000,
  };
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const { key, id, kvKey, record } = await issueApiKey(env.CAUSEWAY_SECRET, grant, random);
  await env.KV.put(kvKey, JSON.stringify(record));
  return { key, id };
}

beforeAll(async () => {
  keys = [await newKey(), await newKey()];
  const capped = { [keys[0]?.id ?? ""]: { rpm: 2 } };
  gateway = await startGateway({ ...CATALOG, models: MODELS, tiers: TIERS, keys: capped }, host);
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
});
beforeEach(() => {
  held = [];
});
afterEach(() => {
  vi.useRealTimers();
  for (const answer of held) answer.go = true;
});

/** Lets the first answer go that is held back. */
function letGo(): void {
  const [first] = held;
  if (first !== undefined) first.go = true;
}

const caller = (tier: string): { sub: string; tier: string } => ({ sub: `u-${crypto.randomUUID()}`, tier });

type Answer = { readonly status: number; readonly headers: Headers; readonly body: string };

async function ask(path: string, request: Asked): Promise<Answer> {
  const response = await gateway.ask(path, request);
  return { status: response.status, headers: response.headers, body: await response.text() };
}

const chat = (as: { sub: string; tier: string }, changed: object = {}): Promise<Answer> =>
  ask(CHAT_PATH, { as, body: { ...CHAT, ...changed } });

const codeOf = ({ body }: Answer): unknown => JSON.parse(body).error?.code;

/** One limit as the headers tell of it, by a strict parser. */
function told({ headers }: Pick<Answer, "headers">, name: string): { q: unknown; r: unknown; t: unknown } {
  const find = (header: string): Item | undefined =>
    parseList(headers.get(header) ?? "").find(({ value }) => value === name);
  return {
    q: find("ratelimit-policy")?.parameters.q,
    r: find("ratelimit")?.parameters.r,
    t: find("ratelimit")?.parameters.t,
  };
}

describe("headers", () => {
  const isCount = (value: unknown): boolean => Number.isInteger(value) && Number(value) >= 0;

  test.each<{ name: string; path?: string; request: Asked; status: number }>([
    { name: "an answer", request: { body: CHAT }, status: 200 },
    { name: "a stream", request: { body: { ...CHAT, stream: true } }, status: 200 },
    { name: "embeddings", path: "/v1/embeddings", request: { body: { model: "embedder", input: "hi" } }, status: 200 },
    { name: "the models", path: "/v1/models", request: {}, status: 200 },
    { name: "the limits themselves", path: "/v1/limits", request: {}, status: 200 },
    { name: "a body that is no JSON", request: { body: "{" }, status: 400 },
    { name: "a wrong field", request: { body: { ...CHAT, temperature: 9 } }, status: 400 },
    { name: "a model that is not there", request: { body: { ...CHAT, model: "none" } }, status: 404 },
    { name: "a page that is not there", path: "/v1/models/none", request: {}, status: 404 },
    { name: "a body that is too large", request: { body: new Uint8Array(1_048_577) }, status: 413 },
    { name: "another type", request: { body: "x", headers: { "content-type": "text/plain" } }, status: 415 },
    { name: "a route that is not open", path: "/admin/fleet", request: {}, status: 403 },
    { name: "a host that fails", request: { body: { ...CHAT, model: "failing" } }, status: 502 },
    { name: "a limit that is reached", request: { body: { ...CHAT, max_tokens: 2_501 } }, status: 429 },
  ])("$name: $status, and both fields are structured ones", async ({ path = CHAT_PATH, request, status }) => {
    const answer = await ask(path, { ...request, as: caller("words") });
    expect(answer.status).toBe(status);
    const policies = parseList(answer.headers.get("ratelimit-policy") ?? "");
    const limits = parseList(answer.headers.get("ratelimit") ?? "");
    expect(policies.map(({ value }) => value)).toEqual(["rpm", "rph", "rpd", "tpm", "concurrency"]);
    expect(limits.map(({ value }) => value)).toEqual(policies.map(({ value }) => value));
    for (const [at, { value, parameters }] of limits.entries()) {
      const { q, w } = policies[at]?.parameters ?? {};
      expect([isCount(q), isCount(parameters.r)]).toEqual([true, true]);
      expect(Number(parameters.r)).toBeLessThanOrEqual(Number(q));
      // Requests in flight have no window.
      expect([isCount(w), isCount(parameters.t)]).toEqual(value === "concurrency" ? [false, false] : [true, true]);
    }
    for (const unit of ["requests", "tokens"]) {
      expect(answer.headers.get(`x-ratelimit-limit-${unit}`)).toMatch(/^\d+$/);
      expect(answer.headers.get(`x-ratelimit-remaining-${unit}`)).toMatch(/^\d+$/);
      expect(answer.headers.get(`x-ratelimit-reset-${unit}`)).toMatch(/^\d+s$/);
    }
  });

  test.each<{ name: string; path: string; request: Asked }>([
    { name: "health", path: "/health", request: { as: null } },
    { name: "a path that is not there", path: "/v1/nothing", request: {} },
    { name: "a method that is not taken", path: "/v1/models", request: { method: "POST" } },
    { name: "no credential", path: "/v1/models", request: { as: null } },
    { name: "a wrong one", path: "/v1/models", request: { headers: { authorization: "Bearer a.b.c" } } },
  ])("nobody known, nothing told: $name", async ({ path, request }) => {
    const { headers } = await ask(path, request);
    const names = [...headers.keys()].filter((name) => name.includes("ratelimit"));
    expect(names).toEqual([]);
  });

  test("a failure and a refusal tell of the limits of the model that was asked", async () => {
    const as = caller("own");
    const [failed, refused] = [await chat(as, { model: "failing" }), await chat(as, { model: "failing" })];
    expect([failed.status, refused.status]).toEqual([502, 429]);
    for (const answer of [failed, refused]) expect(told(answer, "rpm/model/failing")).toMatchObject({ q: 1, r: 0 });
  });

  test("what is left falls by one with each request, and stays at nothing", async () => {
    const as = caller("narrow");
    const seen: unknown[] = [];
    for (let request = 0; request < 7; request++) seen.push(told(await chat(as), "rpm").r);
    expect(seen).toEqual([4, 3, 2, 1, 0, 0, 0]);
  });
});

describe("a refusal says when to come back", () => {
  test("that is as late as the limit's own reset, and then there is room; a second earlier there is none", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    const as = caller("narrow");
    for (let request = 0; request < 5; request++) expect((await chat(as)).status).toBe(200);
    // A minute and its last second is beyond what clients sit out.
    expect((await chat(as)).headers.get("x-should-retry")).toBe("false");
    vi.setSystemTime(Date.now() + 5_000);
    const refused = await chat(as);
    expect({ status: refused.status, code: codeOf(refused) }).toEqual({ status: 429, code: "rate_limit_exceeded" });
    const waitS = Number(refused.headers.get("retry-after"));
    expect(waitS).toBeGreaterThanOrEqual(Number(told(refused, "rpm").t));
    expect(refused.headers.has("x-should-retry")).toBe(false);
    vi.setSystemTime(Date.now() + (waitS - 2) * 1_000);
    expect((await chat(as)).status).toBe(429);
    vi.setSystemTime(Date.now() + 2_000);
    expect((await chat(as)).status).toBe(200);
  });

  test("a wait that no client sits out is not to be retried", async () => {
    const as = caller("hourly");
    for (let request = 0; request < 2; request++) expect((await chat(as)).status).toBe(200);
    const refused = await chat(as);
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(3_500);
    expect(refused.headers.get("x-should-retry")).toBe("false");
  });
});

describe("requests in flight", () => {
  test("exactly as many as there are slots; the others are refused, and an answer's end frees its slot", async () => {
    const as = caller("flight");
    const answers = Array.from({ length: 20 }, () => chat(as, { model: "held" }));
    await vi.waitFor(() => expect(held).toHaveLength(3));
    const settled = await Promise.all(
      answers.map((answer) => Promise.race([answer, scheduler.wait(300).then(() => null)])),
    );
    const refused = settled.filter((answer) => answer !== null);
    expect(refused).toHaveLength(17);
    for (const answer of refused) {
      expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 429, code: "rate_limit_exceeded" });
      expect(told(answer, "concurrency")).toMatchObject({ q: 3, r: 0 });
      expect(Number(answer.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    }
    expect(held).toHaveLength(3);

    letGo();
    await Promise.race(answers.filter((_, at) => settled[at] === null));
    expect((await chat(as)).status).toBe(200);
    for (const answer of held) answer.go = true;
    expect((await Promise.all(answers)).filter(({ status }) => status === 200)).toHaveLength(3);
  });

  test("a caller who goes on at once after a stream never waits for its own last one", async () => {
    const as = caller("single");
    const statuses = new Set<number>();
    for (let request = 0; request < 200; request++) statuses.add((await chat(as, { stream: true })).status);
    expect([...statuses]).toEqual([200]);
  });

  test("a caller who leaves frees its slot", async () => {
    const as = caller("single");
    const response = await gateway.ask(CHAT_PATH, { as, body: { ...CHAT, model: "endless", stream: true } });
    expect(response.status).toBe(200);
    expect((await chat(as)).status).toBe(429);
    await response.body?.cancel();
    await vi.waitFor(async () => expect((await chat(as)).status).toBe(200), { timeout: 4_000 });
  });
});

test("tokens are reserved while a request runs, and what it did not use is there again when it has ended", async () => {
  const as = caller("words");
  const first = chat(as, { model: "held", max_tokens: 1_500 });
  await vi.waitFor(() => expect(held).toHaveLength(1));
  const meanwhile = await chat(as, { max_tokens: 1_500 });
  expect({ status: meanwhile.status, type: JSON.parse(meanwhile.body).error.type }).toEqual({
    status: 429,
    type: "tokens",
  });
  expect(Number(told(meanwhile, "tpm").r)).toBeLessThan(1_000);
  letGo();
  expect((await first).status).toBe(200);
  const after = await chat(as, { max_tokens: 1_500 });
  expect(after.status).toBe(200);
  // The first one's 18 tokens and what the second one reserves.
  expect(Number(told(after, "tpm").r)).toBeGreaterThan(900);
});

test("a budget counts what is priced by the host's time, though nobody can reserve it", async () => {
  const as = caller("saving");
  expect((await chat(as, { model: "by-time" })).status).toBe(200);
  await vi.waitFor(async () => {
    const refused = await chat(as, { model: "by-time" });
    expect({ status: refused.status, code: codeOf(refused) }).toEqual({ status: 429, code: "insufficient_quota" });
  });
});

describe("an API key", () => {
  const withKey = (at: number): Promise<Answer> =>
    ask(CHAT_PATH, { headers: { authorization: `Bearer ${keys[at]?.key}` }, body: CHAT });

  test("with caps of its own is held to them, and its owner's other keys are not", async () => {
    const statuses = [await withKey(0), await withKey(0), await withKey(0)].map(({ status }) => status);
    expect(statuses).toEqual([200, 200, 429]);
    const refused = await withKey(0);
    expect(told(refused, `rpm/key/${keys[0]?.id}`)).toMatchObject({ q: 2, r: 0 });
    const other = await withKey(1);
    expect(other.status).toBe(200);
    // Of the owner's own minute both take.
    expect(told(other, "rpm").r).toBe(WIDE.rpm - 3);
  });
});

describe("what one request may ask for", () => {
  const much = { max_tokens: 1_000, n: 3 };

  test("is cut down where the tier says so", async () => {
    expect((await chat(caller("clamped"), much)).status).toBe(200);
    expect(asked.at(-1)).toMatchObject({ max_tokens: 50, n: 1 });
    expect((await chat(caller("clamped"))).status).toBe(200);
    expect(asked.at(-1)).toMatchObject({ max_tokens: 50 });
  });

  test.each([
    { param: "max_tokens", changed: { max_tokens: 51 } },
    { param: "n", changed: { n: 2 } },
  ])("is refused where it says that: $param, before anything is counted", async ({ param, changed }) => {
    const as = caller("strict");
    const before = asked.length;
    const refused = await chat(as, changed);
    expect(refused.status).toBe(400);
    expect(JSON.parse(refused.body).error).toMatchObject({ code: "invalid_value", param });
    expect({ asked: asked.length, rpm: told(refused, "rpm").r }).toEqual({ asked: before, rpm: WIDE.rpm });
  });
});

test("GET /v1/limits says what the headers say, also of what is in flight", async () => {
  const as = caller("flight");
  const running = chat(as, { model: "held", max_tokens: 100 });
  await vi.waitFor(() => expect(held).toHaveLength(1));
  const looks = await Promise.all(Array.from({ length: 3 }, () => ask("/v1/limits", { as })));
  for (const look of looks) {
    const { data } = JSON.parse(look.body) as { data: { name: string; limit: number; remaining: number }[] };
    expect(data.map(({ name }) => name)).toEqual(["rpm", "rph", "rpd", "tpm", "concurrency"]);
    for (const { name, limit, remaining } of data) expect(told(look, name)).toMatchObject({ q: limit, r: remaining });
    expect(told(look, "concurrency").r).toBe(2);
    expect(told(look, "rpm").r).toBe(WIDE.rpm - 1);
  }
  letGo();
  await running;
});

describe("an account that cannot be reached", () => {
  type Namespace = Pick<Env["ACCOUNT"], "idFromName"> & {
    getByName(name: string): Partial<DurableObjectStub<Account>>;
  };
  const refusing = (): never => {
    throw new Error("overloaded");
  };
  const namespace = (getByName: Namespace["getByName"]): Namespace => ({ idFromName: refusing, getByName });
  const unreachable = namespace(refusing);

  /** Through the whole app with another namespace of accounts, as the platform calls it; one isolate for each. */
  function gatewayWith(accounts: Namespace): (as: { sub: string; tier: string }) => Promise<Answer> {
    const bindings = { ...env, ACCOUNT: accounts } as unknown as Env;
    return async (as) => {
      const headers = {
        authorization: `Bearer ${await gateway.issuer.sign(as)}`,
        "content-type": "application/json",
      };
      const request = new Request(`http://x${CHAT_PATH}`, { method: "POST", headers, body: JSON.stringify(CHAT) });
      const response = await app.fetch(request, bindings, createExecutionContext());
      return { status: response.status, headers: response.headers, body: await response.text() };
    };
  }

  test("fails: 503, and when to come back", async () => {
    const answer = await gatewayWith(unreachable)(caller("default"));
    expect({ status: answer.status, code: codeOf(answer), wait: answer.headers.get("retry-after") }).toEqual({
      status: 503,
      code: "limits_unavailable",
      wait: "2",
    });
  });

  test("says yes too late: 503, and what it reserved is given back", async () => {
    const waiting: (() => void)[] = [];
    let released = 0;
    const late = namespace((name) => {
      const account = env.ACCOUNT.getByName(name);
      return {
        admit: async (request) => {
          const decision = await account.admit(request);
          await new Promise<void>((resolve) => waiting.push(resolve));
          return decision;
        },
        confirm: (id) => account.confirm(id),
        release: async (id) => {
          await account.release(id);
          released++;
        },
      } as Partial<DurableObjectStub<Account>>;
    });
    const later = setTimeout;
    const hurried = vi
      .spyOn(globalThis, "setTimeout")
      .mockImplementation((run: () => void, ms?: number) => later(run, ms === 5_000 ? 100 : ms));
    const as = caller("flight");
    const answer = await gatewayWith(late)(as);
    hurried.mockRestore();
    expect({ status: answer.status, code: codeOf(answer) }).toEqual({ status: 503, code: "limits_unavailable" });
    const during = await ask("/v1/limits", { as });
    expect([told(during, "rpm").r, told(during, "concurrency").r]).toEqual([WIDE.rpm - 1, 2]);
    for (const go of waiting) go();
    await vi.waitFor(() => expect(released).toBe(1));
    const after = await ask("/v1/limits", { as });
    expect([told(after, "rpm").r, told(after, "tpm").r, told(after, "concurrency").r]).toEqual([WIDE.rpm, WIDE.tpm, 3]);
  });

  test("with an allowance: so many a minute and isolate, each in the queue twice and marked, and no more", async () => {
    const sent: UsageMessage[] = [];
    const sending = vi.spyOn(env.USAGE, "send").mockImplementation(async (message) => {
      sent.push(message);
      return { metadata: { metrics: { backlogCount: 0, backlogBytes: 0 } } };
    });
    const through = gatewayWith(unreachable);
    const as = caller("local");
    const answers = await Promise.all(Array.from({ length: 10 }, () => through(as)));
    const admitted = answers.filter(({ status }) => status === 200);
    expect(admitted).toHaveLength(3);
    for (const answer of answers.filter(({ status }) => status !== 200))
      expect(codeOf(answer)).toBe("limits_unavailable");
    expect(told(admitted[0] ?? { headers: new Headers() }, "local")).toMatchObject({ q: 3 });
    await vi.waitFor(() => expect(sent).toHaveLength(6));
    sending.mockRestore();
    const events = sent.map(({ event }) => event);
    for (const { headers } of admitted) {
      const own = events.filter(({ id }) => id === headers.get("x-request-id"));
      expect(own).toMatchObject([
        { kind: "inference", admittedBy: "local", outcome: "abandoned" },
        { kind: "inference", admittedBy: "local", outcome: "complete", promptTokens: 11, completionTokens: 7 },
      ]);
    }
    // Another caller has its own.
    expect((await through(caller("local"))).status).toBe(200);
  });
});
