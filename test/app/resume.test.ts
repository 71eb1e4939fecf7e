/**
 * Answers that outlive their caller's connection, by the whole Worker with real objects: the host is a stand-in that says
 * a word whenever the test lets it, inside the object that asked it.
 */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import OpenAI from "openai";
import { v7 as uuidv7 } from "uuid";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { issueApiKey } from "#src/auth/api-key.ts";
import type { JsonObject } from "#src/json.ts";
import { inSession } from "#src/postgres/session.ts";
import { EventSplitter, fieldsOf } from "#src/sse.ts";
import { engine } from "#test/support/engine.ts";
import { type Asked, CATALOG, type Gateway, startGateway } from "#test/support/gateway.ts";
import { ledgerRows } from "#test/support/ledger.ts";
import { hostOf, modelOn } from "#test/support/stand-ins.ts";

const CHAT_PATH = "/v1/chat/completions";
const WISH = { "x-causeway-resumable": "true" };
const QUESTION = { model: "org/plain", stream: true, messages: [{ role: "user", content: "count" }] };
const WORDS = Array.from({ length: 12 }, (_, n) => `word${n} `);
const WHOLE = WORDS.join("");
/** Of the stand-in's answer: a role, the words, the end, the counts, [DONE]. */
const EVENTS = WORDS.length + 4;

/** What the host may say by now, and what has become of what it was asked. Looked at from other contexts, never awaited. */
const host = { allowed: 0, asked: 0, hungUp: 0, refuses: false, isMute: false };
const sayAll = () => {
  host.allowed = Number.POSITIVE_INFINITY;
};

vi.setConfig({ testTimeout: 20_000 });

let gateway: Gateway;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  const one = { ...CATALOG.tiers.default, concurrency: 1 };
  const seam = ["seam-a", "seam-b"].map((id, n) => hostOf(id, { weight: n === 0 ? 1e9 : 1e-9 }));
  gateway = await startGateway({
    hosts: [...CATALOG.hosts, ...seam],
    models: [
      { id: "org/plain", served: [{ host: "gpu", as: "p" }], heartbeat: 1_000 },
      modelOn("seam", ["seam-a", "seam-b"], { affinity: false }),
    ],
    tiers: { ...CATALOG.tiers, one },
  });
  const others = vi.mocked(fetch).getMockImplementation();
  vi.mocked(fetch).mockImplementation(async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const dying = url.startsWith("http://seam-a.host/v1/") ? { how: "cut" as const, afterTokens: 5 } : null;
    if (/^http:..seam-[ab].host.v1/.test(url))
      return engine("vllm", dying)(JSON.parse(String(init?.body)), init?.signal);
    if (/seam/.test(url)) return new Response("ok");
    // The fleet asks what the host serves, in its own time: that is no question.
    if (!url.startsWith("http://gpu.test/v1/chat/")) return others?.(input, init) ?? Response.error();
    host.asked += 1;
    if (host.refuses)
      return Response.json({ error: { message: "no", type: "BadRequestError", code: 400 } }, { status: 400 });
    return speaking(JSON.parse(String(init?.body)), init?.signal ?? null);
  });
});
afterAll(() => {
  vi.restoreAllMocks();
});
beforeEach(() => {
  Object.assign(host, { allowed: 1, asked: 0, hungUp: 0, refuses: false, isMute: false });
});

function speaking(_body: JsonObject, signal: AbortSignal | null): Response {
  const chunk = (delta: object, finish: string | null) => ({
    id: "c",
    object: "chat.completion.chunk",
    created: 1,
    model: "p",
    choices: [{ index: 0, delta, finish_reason: finish }],
  });
  const said = [
    chunk({ role: "assistant", content: "" }, null),
    ...WORDS.map((content) => chunk({ content }, null)),
    chunk({}, "stop"),
    { ...chunk({}, null), choices: [], usage: { prompt_tokens: 5, completion_tokens: WORDS.length, total_tokens: 17 } },
  ];
  const events = [...said.map((one) => JSON.stringify(one)), "[DONE]"].map((data) => `data: ${data}\n\n`);
  let at = 0;
  signal?.addEventListener("abort", () => {
    host.hungUp += 1;
  });
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        // The first word is said at once; the rest waits until the test lets it.
        while (host.isMute || at > host.allowed) {
          signal?.throwIfAborted();
          await scheduler.wait(2);
        }
        controller.enqueue(new TextEncoder().encode(events[at]));
        at += 1;
        if (at === events.length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { "content-type": "text/event-stream" } });
}

const asking = (asked: Asked = {}) =>
  gateway.ask(CHAT_PATH, { body: { ...QUESTION, stream_options: { include_usage: true } }, headers: WISH, ...asked });

type Event = { readonly id: string | null; readonly data: string };

/** A caller's connection, read event by event. */
function connection(response: Response) {
  expect(response.status).toBe(200);
  const reader = (response.body ?? new ReadableStream<Uint8Array>()).getReader();
  const splitter = new EventSplitter();
  const waiting: Event[] = [];
  const seen: Event[] = [];
  let pings = 0;
  const next = async (): Promise<Event | null> => {
    for (;;) {
      const event = waiting.shift();
      if (event !== undefined) {
        seen.push(event);
        return event;
      }
      const part = await reader.read();
      if (part.done) return null;
      for (const bytes of splitter.push(part.value)) {
        const { data } = fieldsOf(bytes);
        const id = /^id: (.*)$/m.exec(new TextDecoder().decode(bytes))?.[1] ?? null;
        if (data === null) pings += 1;
        else waiting.push({ id, data });
      }
    }
  };
  return {
    id: response.headers.get("x-causeway-stream") ?? "",
    seen,
    pings: () => pings,
    next,
    read: async (events: number) => {
      for (let n = 0; n < events; n++) await next();
    },
    rest: async () => {
      while ((await next()) !== null);
      return seen;
    },
    breaks: () => reader.cancel(),
    lastId: () => seen.at(-1)?.id ?? "",
  };
}

const textOf = (events: readonly Event[]): string =>
  events.map(({ data }) => (data === "[DONE]" ? "" : (JSON.parse(data).choices?.[0]?.delta.content ?? ""))).join("");
const numbersOf = (events: readonly Event[]): number[] => events.map(({ id }) => Number(id?.split(":")[1]));
const countTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, n) => first + n);
const codeOf = (event: Event | undefined): string => JSON.parse(event?.data ?? "{}").error?.code;

const resuming = (id: string, lastId: string | null, asked: Asked = {}) =>
  gateway.ask(`/v1/streams/${id}`, { headers: lastId === null ? {} : { "last-event-id": lastId }, ...asked });

const objectOf = (id: string) => env.RESUMABLE.getByName(id);

/** The one row of a request, as far as it is looked at. */
async function ledger(id: string) {
  const [row] = await ledgerRows(id);
  return { outcome: row?.outcome, tokens: row?.completion_tokens, host: row?.host };
}

async function refusalOf(response: Response) {
  const { error } = (await response.json()) as { error: { code: string; param: string | null } };
  return { status: response.status, code: error.code, param: error.param };
}

describe("the plain path", () => {
  test("the official client reads it as any stream", async () => {
    sayAll();
    const client = new OpenAI({
      apiKey: await gateway.issuer.sign({ sub: crypto.randomUUID(), tier: "default" }),
      baseURL: "http://x/v1",
      defaultHeaders: WISH,
      fetch: (input, init) => exports.default.fetch(new Request(input, init)),
    });
    const { data, response } = await client.chat.completions
      .create({ model: "org/plain", stream: true, messages: [{ role: "user", content: "count" }] })
      .withResponse();
    let text = "";
    for await (const chunk of data) text += chunk.choices[0]?.delta.content ?? "";
    expect(text).toBe(WHOLE);
    expect(response.headers.get("x-causeway-stream")).toBe(response.headers.get("x-request-id"));
    expect(response.headers.get("x-causeway-host")).toBe("gpu");
    expect(response.headers.get("ratelimit")).toContain('"rpm"');
  });

  test("each event has its id, and the ledger one row", async () => {
    sayAll();
    const caller = connection(await asking());
    const events = await caller.rest();
    expect(events.map(({ id }) => id)).toEqual(countTo(EVENTS).map((n) => `${caller.id}:${n}`));
    expect(events.at(-1)?.data).toBe("[DONE]");
    expect(await ledger(caller.id)).toEqual({ outcome: "complete", tokens: WORDS.length, host: "gpu" });
  });

  test("in another protocol: the events keep their names, the client its peace, and the rest is had by the last id", async () => {
    sayAll();
    const client = new OpenAI({
      apiKey: await gateway.issuer.sign({ sub: "speaker", tier: "default" }),
      baseURL: "http://x/v1",
      defaultHeaders: WISH,
      fetch: (input, init) => exports.default.fetch(new Request(input, init)),
    });
    const asked = { model: "org/plain", stream: true as const, input: "count" };
    const { data, response } = await client.responses.create(asked).withResponse();
    let text = "";
    for await (const event of data) if (event.type === "response.output_text.delta") text += event.delta;
    expect(text).toBe(WHOLE);
    const id = response.headers.get("x-causeway-stream") ?? "";
    const rest = await connection(await resuming(id, "3", { as: { sub: "speaker" } })).rest();
    expect(numbersOf(rest)).toEqual(countTo(rest.length + 3, 4));
    expect(JSON.parse(rest.at(-1)?.data ?? "")).toMatchObject({ type: "response.completed" });
    const refused = await gateway.ask("/v1/responses", { headers: WISH, body: { ...asked, stream: false } });
    expect(await refusalOf(refused)).toEqual({ status: 400, code: "invalid_value", param: "stream" });
  });

  test("of Anthropic's as well, and taken up with the key header that it was asked with", async () => {
    sayAll();
    const key = await gateway.issuer.sign({ sub: "claude", tier: "default" });
    const headers = { ...WISH, "x-api-key": key };
    const body = { model: "org/plain", max_tokens: 50, stream: true, messages: [{ role: "user", content: "count" }] };
    const first = connection(await gateway.ask("/v1/messages", { as: null, headers, body }));
    await first.read(4);
    await first.breaks();
    const again = { as: null, headers: { "x-api-key": key, "last-event-id": first.lastId() } };
    const second = connection(await gateway.ask(`/v1/streams/${first.id}`, again));
    const events = [...first.seen, ...(await second.rest())];
    expect(numbersOf(events)).toEqual(countTo(events.length));
    const said = events.map(({ data }) => JSON.parse(data));
    expect(said.map(({ delta }) => delta?.text ?? "").join("")).toBe(WHOLE);
    expect(said.at(-1)).toEqual({ type: "message_stop" });
  });

  test("nothing of it for those who do not ask", async () => {
    sayAll();
    for (const headers of [{}, { "x-causeway-resumable": "false" }] as Record<string, string>[]) {
      const response = await asking({ headers });
      expect(response.headers.get("x-causeway-stream")).toBeNull();
      expect(await response.text()).not.toContain("id:");
    }
  });
});

describe("a broken connection", () => {
  test.each([
    { way: "GET with Last-Event-ID", again: (id: string, last: string) => resuming(id, last) },
    { way: "GET with a bare number", again: (id: string, last: string) => resuming(id, last.split(":")[1] ?? "") },
    { way: "GET ?after=", again: (id: string, last: string) => gateway.ask(`/v1/streams/${id}?after=${last}`) },
    {
      way: "the same POST again",
      again: (_: string, last: string) => asking({ headers: { ...WISH, "last-event-id": last } }),
    },
  ])("is taken up by $way, without loss or doubling", async ({ again }) => {
    host.allowed = 4;
    const first = connection(await asking());
    await first.read(5);
    await first.breaks();
    host.allowed = 8;
    await scheduler.wait(50);
    const second = connection(await again(first.id, first.lastId()));
    sayAll();
    const events = [...first.seen, ...(await second.rest())];
    expect(second.id).toBe(first.id);
    expect(numbersOf(events)).toEqual(countTo(EVENTS));
    expect(textOf(events)).toBe(WHOLE);
    expect(host).toMatchObject({ asked: 1, hungUp: 0 });
    expect(await ledger(first.id)).toMatchObject({ outcome: "complete" });
  });

  test("goes on while nobody is there, and is read after its end from any event on", async () => {
    const first = connection(await asking());
    await first.read(1);
    await first.breaks();
    sayAll();
    expect(await ledger(first.id)).toMatchObject({ outcome: "complete" });
    for (const after of [0, 1, 7, EVENTS - 1, EVENTS]) {
      const events = await connection(await resuming(first.id, String(after))).rest();
      expect(numbersOf(events)).toEqual(countTo(EVENTS, after + 1));
    }
    expect(textOf(await connection(await resuming(first.id, null)).rest())).toBe(WHOLE);
  });

  test("does not mind that the host dies as well: the seam goes with the event behind it, and the ids go on", async () => {
    const headers = { ...WISH };
    const wire = await (await asking({ body: { ...QUESTION, model: "seam" }, headers })).text();
    const events = wire.split("\n\n").filter((event) => event !== "" && event !== ": ping");
    const ids = events.map((event) => /^id: \S+:(\d+)\n/.exec(event)?.[1]);
    expect(ids).toEqual(countTo(events.length).map(String));
    expect(events.filter((event) => /^id: \S+\n: continued by seam-b\ndata: /.test(event))).toHaveLength(1);
    expect(events.at(-1)).toContain("data: [DONE]");
  });

  test("two read at once, and one that does not read holds nobody up", async () => {
    const first = connection(await asking());
    await first.read(1);
    const second = connection(await resuming(first.id, null));
    const idle = await resuming(first.id, null);
    sayAll();
    const both = await Promise.all([first.rest(), second.rest()]);
    expect(both.map(textOf)).toEqual([WHOLE, WHOLE]);
    expect(textOf(await connection(idle).rest())).toBe(WHOLE);
    expect(host.asked).toBe(1);
  });

  test("each reader has its own heartbeat while the host is silent", async () => {
    const first = connection(await asking());
    await first.read(1);
    const second = connection(await resuming(first.id, first.lastId()));
    const ends = Promise.all([first.rest(), second.rest()]);
    await scheduler.wait(850);
    sayAll();
    await ends;
    expect(first.pings()).toBeGreaterThan(0);
    expect(second.pings()).toBeGreaterThan(0);
    expect(numbersOf(second.seen)).toEqual(countTo(EVENTS, 2));
  });
});

describe("whose it is", () => {
  test("another caller's stream is as unknown as one that is not there, and only the audit trail tells them apart", async () => {
    sayAll();
    const mine = connection(await asking({ as: { sub: "owner" } }));
    await mine.rest();
    const unknown = uuidv7();
    const sub = crypto.randomUUID();
    const answers = [];
    for (const id of [mine.id, unknown, "no-id-at-all"]) {
      for (const method of ["GET", "DELETE"]) {
        const response = await gateway.ask(`/v1/streams/${id}`, { as: { sub }, method });
        answers.push({ status: response.status, text: await response.text() });
      }
    }
    const posted = await asking({ as: { sub }, headers: { ...WISH, "last-event-id": `${mine.id}:1` } });
    answers.push({ status: posted.status, text: await posted.text() });
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(JSON.parse(answers[0]?.text ?? "")).toMatchObject({ error: { code: "stream_not_found" } });
    const denied = await vi.waitFor(
      async () => {
        const text = "SELECT target, outcome FROM audit_log WHERE actor = $1";
        const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query(text, [sub]));
        expect(rows).toHaveLength(3);
        return rows;
      },
      { timeout: 5_000, interval: 100 },
    );
    expect(denied).toEqual(Array.from({ length: 3 }, () => ({ target: "/v1/streams", outcome: "denied" })));
    // It is still the owner's, and asking for one that is not there has made none.
    expect(textOf(await connection(await resuming(mine.id, null, { as: { sub: "owner" } })).rest())).toBe(WHOLE);
    await runInDurableObject(objectOf(unknown), (_, { storage }) => {
      expect(storage.sql.exec("SELECT name FROM sqlite_master").toArray()).toEqual([]);
    });
  });

  test("a revoked key takes up nothing, whichever way it asks", async () => {
    const owner = crypto.randomUUID();
    const expiresAtMs = Date.now() + 600_000;
    const grant = { owner, tier: "default", scopes: ["inference" as const], label: "", expiresAtMs };
    const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
    const { key, id: keyId, kvKey, record } = await issueApiKey(env.CAUSEWAY_SECRET, grant, random);
    await env.KV.put(kvKey, JSON.stringify(record));
    sayAll();
    const headers = { ...WISH, authorization: `Bearer ${key}` };
    const mine = connection(await asking({ headers }));
    await mine.rest();
    const again = { ...headers, "last-event-id": `${mine.id}:1` };
    const ways = [() => asking({ headers: again }), () => resuming(mine.id, null, { headers: again })];
    for (const way of ways) expect(textOf(await connection(await way()).rest())).toBe(WHOLE);
    await env.ACCOUNT.getByName(`key|${owner}`).retireKey(keyId, Date.now());
    for (const way of ways) {
      const response = await way();
      expect([response.status, (await refusalOf(response)).code]).toEqual([401, "invalid_api_key"]);
    }
  });

  test("neither the credential nor the question is stored", async () => {
    const secret = `secret-${crypto.randomUUID()}`;
    const content = `prompt-${crypto.randomUUID()}`;
    sayAll();
    const caller = connection(
      await asking({
        as: { sub: "owner", jti: secret },
        body: { ...QUESTION, messages: [{ role: "user", content }] },
        headers: { ...WISH, cookie: secret },
      }),
    );
    await caller.rest();
    await runInDurableObject(objectOf(caller.id), (_, { storage }) => {
      const kept = JSON.stringify([...storage.kv.list()]);
      const pages = storage.sql.exec<{ events: ArrayBuffer }>("SELECT events FROM page").toArray();
      const text = kept + pages.map(({ events }) => new TextDecoder().decode(events)).join("");
      expect(text).toContain("word7");
      expect(text).not.toMatch(/bearer|eyJ/i);
      for (const hidden of [secret, content]) expect(text).not.toContain(hidden);
    });
  });
});

describe("its end", () => {
  test("nobody comes back: the host stops, the ledger says so, and who comes late gets what there was and an error", async () => {
    host.allowed = 3;
    const first = connection(await asking());
    await first.read(4);
    await first.breaks();
    await vi.waitFor(() => expect(host.hungUp).toBe(1), { timeout: 5_000 });
    expect(await ledger(first.id)).toEqual({ outcome: "client_left", tokens: 3, host: "gpu" });
    const events = await connection(await resuming(first.id, "2")).rest();
    expect(numbersOf(events.slice(0, -1))).toEqual([3, 4]);
    expect(events.at(-1)).toMatchObject({ id: null });
    expect(codeOf(events.at(-1))).toBe("stream_cancelled");
  });

  test("who leaves before it has heard of the stream is not waited for", async () => {
    host.isMute = true;
    const leaving = new AbortController();
    const asked = asking({ signal: leaving.signal });
    asked.catch(() => undefined);
    await vi.waitFor(() => expect(host.asked).toBe(1));
    leaving.abort();
    // Sooner than a silent answer is begun, and than the grace.
    await vi.waitFor(() => expect(host.hungUp).toBe(1), { timeout: 1_500 });
  });

  test("who comes back within the grace, again and again, is not given up", async () => {
    let caller = connection(await asking());
    await caller.read(1);
    const events = [...caller.seen];
    for (const allowed of [2, 5, 9]) {
      await caller.breaks();
      await scheduler.wait(500);
      host.allowed = allowed;
      caller = connection(await resuming(caller.id, events.at(-1)?.id ?? ""));
      await caller.next();
      events.push(...caller.seen);
    }
    sayAll();
    const before = caller.seen.length;
    events.push(...(await caller.rest()).slice(before));
    expect(numbersOf(events)).toEqual(countTo(EVENTS));
    expect(host.hungUp).toBe(0);
  });

  test("DELETE gives it up at once, tells its readers, and leaves nothing", async () => {
    host.allowed = 2;
    const caller = connection(await asking());
    await caller.read(3);
    const deleted = await gateway.ask(`/v1/streams/${caller.id}`, { method: "DELETE" });
    expect(await deleted.json()).toEqual({ id: caller.id, object: "stream", deleted: true });
    expect(codeOf((await caller.rest()).at(-1))).toBe("stream_cancelled");
    await vi.waitFor(() => expect(host.hungUp).toBe(1));
    expect(await ledger(caller.id)).toMatchObject({ outcome: "client_left" });
    expect((await refusalOf(await resuming(caller.id, null))).code).toBe("stream_not_found");
    await expectNothingIn(caller.id);
  });

  test("ten minutes later it is unknown, and nothing of it is left", async () => {
    sayAll();
    const caller = connection(await asking());
    await caller.rest();
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 599_000 });
    try {
      const token = await gateway.issuer.sign({ exp: Math.floor(Date.now() / 1000) + 60, tier: "default" });
      const asked = { headers: { authorization: `Bearer ${token}` } };
      expect(textOf(await connection(await resuming(caller.id, null, asked)).rest())).toBe(WHOLE);
      vi.setSystemTime(Date.now() + 2_000);
      // Also when the alarm is late.
      expect((await refusalOf(await resuming(caller.id, null, asked))).code).toBe("stream_not_found");
      expect(await runDurableObjectAlarm(objectOf(caller.id))).toBe(true);
    } finally {
      vi.useRealTimers();
    }
    await expectNothingIn(caller.id);
  });
});

async function expectNothingIn(id: string): Promise<void> {
  await runInDurableObject(objectOf(id), async (_, { storage }) => {
    expect([...storage.kv.list()]).toEqual([]);
    expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE name = 'page'").toArray()).toEqual([]);
    expect(await storage.getAlarm()).toBeNull();
  });
}

/** How far an answer is stored. */
function storedIn(id: string): Promise<unknown> {
  return runInDurableObject(
    objectOf(id),
    (_, { storage }) => storage.sql.exec("SELECT max(last) AS last FROM page").one().last,
  );
}

/** At once, with all that it does. */
async function dies(id: string): Promise<void> {
  const dying = runInDurableObject(objectOf(id), (_, state) => state.abort("the instance dies"));
  await expect(dying).rejects.toThrow();
}

describe("an object that dies", () => {
  test("in the middle of the answer: each reader hears it, then what was stored and one error event", async () => {
    host.allowed = 6;
    const first = connection(await asking());
    await first.read(7);
    await vi.waitFor(async () => expect(await storedIn(first.id)).toBe(7), { timeout: 5_000, interval: 100 });
    await dies(first.id);
    const seen = await first.rest();
    expect(numbersOf(seen.slice(0, -1))).toEqual(countTo(7));
    expect(seen.at(-1)?.id).toBeNull();
    expect(codeOf(seen.at(-1))).toBe("stream_interrupted");
    const events = await connection(await resuming(first.id, "3")).rest();
    expect(numbersOf(events.slice(0, -1))).toEqual([4, 5, 6, 7]);
    expect(codeOf(events.at(-1))).toBe("stream_interrupted");
    // Who has seen more than was stored gets the end all the same.
    expect((await connection(await resuming(first.id, "9")).rest()).map(codeOf)).toEqual(["stream_interrupted"]);
  });

  test("without its caller: the ledger has the request by the lease that nobody renews", async () => {
    const sub = crypto.randomUUID();
    host.allowed = 2;
    const first = connection(await asking({ as: { sub } }));
    await first.read(3);
    await dies(first.id);
    await first.breaks();
    const account = env.ACCOUNT.getByName(`${env.OIDC_ISSUER}|${sub}`);
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() });
    try {
      // Found silent, given up, and sent.
      for (const ms of [31_000, 16_000, 1_000]) {
        vi.setSystemTime(Date.now() + ms);
        await runDurableObjectAlarm(account);
      }
    } finally {
      vi.useRealTimers();
    }
    expect(await ledger(first.id)).toMatchObject({ outcome: "abandoned" });
  });

  test("after its end: the whole answer", async () => {
    sayAll();
    const first = connection(await asking());
    await first.rest();
    await evictDurableObject(objectOf(first.id));
    expect(textOf(await connection(await resuming(first.id, null)).rest())).toBe(WHOLE);
  });
});

describe("what is refused", () => {
  test.each<{ name: string; asked: Asked; status: number; code: string; param: string | null }>([
    {
      name: "no stream",
      asked: { body: { ...QUESTION, stream: false } },
      status: 400,
      code: "invalid_value",
      param: "stream",
    },
    {
      name: "a wish that is none",
      asked: { headers: { "x-causeway-resumable": "yes" } },
      status: 400,
      code: "invalid_value",
      param: "x-causeway-resumable",
    },
    {
      name: "an id of no event",
      asked: { headers: { ...WISH, "last-event-id": "7" } },
      status: 400,
      code: "invalid_value",
      param: "Last-Event-ID",
    },
    { name: "no JSON", asked: { body: "{" }, status: 400, code: "invalid_json", param: null },
    {
      name: "a model that is not there",
      asked: { body: { ...QUESTION, model: "x" } },
      status: 404,
      code: "model_not_found",
      param: "model",
    },
  ])("$name", async ({ name: _name, asked, ...refusal }) => {
    expect(await refusalOf(await asking(asked))).toEqual(refusal);
    expect(host.asked).toBe(0);
  });

  test("as without the wish, with its headers: by the host, and by the caller's limits, which count streams without readers", async () => {
    host.refuses = true;
    const byHost = await asking();
    expect(byHost.headers.get("ratelimit")).toContain('"rpm"');
    expect(byHost.headers.get("x-causeway-stream")).toBeNull();
    expect((await refusalOf(byHost)).status).toBe(400);
    host.refuses = false;
    const as = { sub: crypto.randomUUID(), tier: "one" };
    const first = connection(await asking({ as }));
    await first.read(1);
    await first.breaks();
    const second = await asking({ as });
    expect(Number(second.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await refusalOf(second)).toMatchObject({ status: 429, code: "rate_limit_exceeded" });
    await gateway.ask(`/v1/streams/${first.id}`, { as, method: "DELETE" });
  });

  test("an event that the stream does not have, and ids of other streams", async () => {
    const caller = connection(await asking());
    await caller.read(1);
    const wrong = ["99", `${uuidv7()}:1`, "-1", "1.5", "x", `${caller.id}:`, `${caller.id}:1:1`];
    for (const lastId of wrong)
      expect(await refusalOf(await resuming(caller.id, lastId))).toMatchObject({ status: 400, code: "invalid_value" });
    expect((await refusalOf(await gateway.ask(`/v1/streams/${caller.id}?before=1`))).param).toBe("before");
    const head = await resuming(caller.id, null, { method: "HEAD" });
    expect({ status: head.status, text: await head.text() }).toEqual({ status: 200, text: "" });
    sayAll();
    await caller.rest();
  });

  test("more readers than one caller needs", async () => {
    const caller = connection(await asking());
    await caller.read(1);
    const readers = [];
    for (let n = 1; n < 16; n++) readers.push(connection(await resuming(caller.id, null)));
    for (const reader of readers) await reader.next();
    const one = await resuming(caller.id, null);
    expect(await refusalOf(one)).toMatchObject({ status: 429 });
    sayAll();
    for (const reader of readers) expect(textOf(await reader.rest())).toBe(WHOLE);
  });
});
