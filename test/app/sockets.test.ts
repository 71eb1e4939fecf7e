/** Sockets, event streams for pages, and tickets: through the whole Worker, with its own objects. */
import { evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { accountOfKey, issueApiKey, kvKeyOf } from "#src/auth/api-key.ts";
import { MAX_SOCKETS } from "#src/ingress/chat-session.ts";
import { type Asked, answering, CATALOG, type Gateway, type Host } from "#test/support/gateway.ts";
import { type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

/** A machine that has much else to do. */
vi.setConfig({ testTimeout: 20_000 });

const PAGE = "https://app.example.test";
const FOREIGN = "https://app.example.test.evil.test";
const SECOND = "https://second.example.test";
const SOCKET = "/ws/chat/org/plain";
const STREAM = "/stream/chat/org/plain";

let gateway: Gateway;
let host: StandIn;
let second: TestIssuer;
const logged: string[] = [];
beforeAll(async () => {
  for (const level of ["log", "error"] as const)
    vi.spyOn(console, level).mockImplementation((line) => void logged.push(String(line)));
  const models = [
    modelOn("org/plain", ["gpu"]),
    modelOn("embedder", ["gpu"], { kind: "embedding" }),
    modelOn("off", ["gpu"], { enabled: false }),
  ];
  const tiers = { ...CATALOG.tiers, single: { ...CATALOG.tiers.default, concurrency: 1 } };
  const issuers = [{ issuer: SECOND, audience: "second" }];
  const started = await withHosts([hostOf("gpu", { slots: 8 })], models, { origins: [PAGE], tiers, issuers });
  second = await testIssuer(Date.now(), SECOND);
  const others = vi.mocked(fetch).getMockImplementation() ?? second.fetcher;
  vi.mocked(fetch).mockImplementation((input, init) =>
    String(input).startsWith(SECOND) ? second.fetcher(input, init) : others(input, init),
  );
  gateway = started.gateway;
  host = started.hosts.gpu as StandIn;
});
beforeEach(() => {
  host.answer = answering;
  host.asked.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** A socket as its client sees it: what it was told, in order. */
type Client = {
  readonly told: string[];
  tell(message: object | string | ArrayBuffer): void;
  hangUp(): void;
  /** What it was told, once that is so much. */
  heard(count: number): Promise<string[]>;
  /** What it was told since the last question, once that has ended. */
  answer(): Promise<string[]>;
  closed(): Promise<{ code: number; reason: string }>;
};

const nobodys = () => `user-${crypto.randomUUID()}`;
const accountOf = (sub: string) => `${env.OIDC_ISSUER}|${sub}`;
const socketsOf = (sub: string) => env.CHAT_SOCKET.getByName(accountOf(sub));

async function eventually<T>(look: () => T | null | undefined | false, what: () => string): Promise<T> {
  for (let looks = 0; looks < 1_500; looks++) {
    const found = look();
    if (found !== null && found !== undefined && found !== false) return found;
    await scheduler.wait(10);
  }
  throw new Error(`never: ${what()}`);
}

function handshake(request: Asked = {}, path = SOCKET): Promise<Response> {
  return gateway.ask(path, { ...request, headers: { upgrade: "websocket", ...request.headers } });
}

function clientOn(response: Response): Client {
  const { webSocket: socket, status } = response;
  if (socket === null) throw new Error(`no socket: ${status}`);
  const told: string[] = [];
  let closed: { code: number; reason: string } | null = null;
  let from = 0;
  socket.addEventListener("message", ({ data }) => void told.push(String(data)));
  socket.addEventListener("close", ({ code, reason }) => {
    closed = { code, reason };
  });
  socket.accept();
  const isEnd = (text: string) => text === "[DONE]" || text.startsWith('{"error"') || text === '{"type":"cancelled"}';
  const soFar = () => JSON.stringify({ told, closed });
  return {
    told,
    tell: (message) => {
      from = told.length;
      socket.send(typeof message === "string" || message instanceof ArrayBuffer ? message : JSON.stringify(message));
    },
    hangUp: () => socket.close(1000, "enough"),
    heard: (count) => eventually(() => told.length >= count && told, soFar),
    answer: () => eventually(() => told.slice(from).some(isEnd) && told.slice(from), soFar),
    closed: () => eventually(() => closed, soFar),
  };
}

const opened = async (request: Asked = {}): Promise<Client> => clientOn(await handshake(request));

/** A host that says a word every few ms until nobody listens any more. */
function talking(): { host: Host; isLeft: () => boolean } {
  let isLeft = false;
  const word = { choices: [{ index: 0, delta: { content: "word" }, finish_reason: null }] };
  const bytes = new TextEncoder().encode(`data: ${JSON.stringify(word)}\n\n`);
  const answer: Host = (_body, signal) => {
    signal?.addEventListener("abort", () => {
      isLeft = true;
    });
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await scheduler.wait(5);
        if (signal?.aborted) controller.error(new Error("aborted"));
        else controller.enqueue(bytes);
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  return { host: answer, isLeft: () => isLeft };
}

async function ticketOf(request: Asked = {}): Promise<string> {
  const response = await gateway.ask("/v1/tickets", { method: "POST", ...request });
  const { ticket } = await response.json<{ ticket: string }>();
  return ticket;
}

async function keyOf(owner: string): Promise<{ text: string; id: string }> {
  const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
  const grant = {
    owner,
    tier: "default",
    scopes: ["inference" as const],
    label: "",
    expiresAtMs: Date.now() + 600_000,
  };
  const { key, kvKey, record, id } = await issueApiKey(env.CAUSEWAY_SECRET, grant, random);
  await env.KV.put(kvKey, JSON.stringify(record));
  expect(kvKey).toBe(await kvKeyOf(env.CAUSEWAY_SECRET, key));
  return { text: key, id };
}

const codeOf = (text: string | undefined): unknown => JSON.parse(text ?? "null")?.error?.code;
const startedWith = (text: string | undefined): string => JSON.parse(text ?? "null").request_id;

describe("who may open a socket", () => {
  const token = () => gateway.issuer.sign({ sub: nobodys() });
  test.each<{ name: string; request: () => Asked | Promise<Asked>; path?: string; status: number; code: string }>([
    { name: "nobody", request: () => ({ as: null }), status: 401, code: "invalid_api_key" },
    { name: "an expired token", request: () => ({ as: { exp: 1 } }), status: 401, code: "invalid_api_key" },
    {
      name: "a token in the query",
      request: () => ({ as: null }),
      path: `${SOCKET}?access_token=x`,
      status: 401,
      code: "invalid_api_key",
    },
    {
      name: "a token in the query beside one in the header",
      request: () => ({}),
      path: `${SOCKET}?token=x`,
      status: 400,
      code: "invalid_value",
    },
    { name: "no role", request: () => ({ as: { groups: [] } }), status: 403, code: "insufficient_permissions" },
    {
      name: "a page of another origin",
      request: () => ({ headers: { origin: FOREIGN } }),
      status: 403,
      code: "origin_not_allowed",
    },
    {
      name: "a page that hides its origin",
      request: () => ({ headers: { "sec-fetch-site": "cross-site" } }),
      status: 403,
      code: "origin_not_allowed",
    },
    {
      name: "another protocol",
      request: () => ({ headers: { "sec-websocket-protocol": "chat, superchat" } }),
      status: 400,
      code: "invalid_value",
    },
    {
      name: "a token beside a token",
      request: async () => ({
        headers: { "sec-websocket-protocol": `causeway.chat.v1, causeway.bearer.${await token()}` },
      }),
      status: 401,
      code: "invalid_api_key",
    },
    {
      name: "two tokens among the protocols",
      request: async () => ({
        as: null,
        headers: {
          "sec-websocket-protocol": `causeway.bearer.${await token()}, causeway.chat.v1, causeway.bearer.${await token()}`,
        },
      }),
      status: 401,
      code: "invalid_api_key",
    },
    {
      name: "a made-up ticket",
      request: () => ({ as: null }),
      path: `${SOCKET}?ticket=cwt_${"A".repeat(43)}`,
      status: 401,
      code: "invalid_api_key",
    },
    { name: "no model of the name", request: () => ({}), path: "/ws/chat/none", status: 404, code: "model_not_found" },
    {
      name: "an escape that is none",
      request: () => ({}),
      path: "/ws/chat/org%2",
      status: 404,
      code: "model_not_found",
    },
    {
      name: "an escaped escape",
      request: () => ({}),
      path: "/ws/chat/org%252Fplain",
      status: 404,
      code: "model_not_found",
    },
    { name: "a model that is off", request: () => ({}), path: "/ws/chat/off", status: 503, code: "model_disabled" },
    {
      name: "a model for something else",
      request: () => ({}),
      path: "/ws/chat/embedder",
      status: 400,
      code: "unsupported_value",
    },
  ])("not $name", async ({ request, path, status, code }) => {
    const response = await handshake(await request(), path);
    expect({ status: response.status, socket: response.webSocket }).toEqual({ status, socket: null });
    expect(response.headers.get("x-request-id")).not.toBeNull();
    expect(codeOf(await response.text())).toBe(code);
  });

  test("a request that is none for a socket is told to become one", async () => {
    const response = await gateway.ask(SOCKET);
    expect(response.status).toBe(426);
    expect(response.headers.get("upgrade")).toBe("websocket");
    expect(codeOf(await response.text())).toBe("upgrade_required");
  });

  test.each<{ name: string; request: () => Asked | Promise<Asked>; path?: string; protocol?: string }>([
    { name: "by header", request: () => ({}) },
    { name: "by header, under an escaped name", request: () => ({}), path: "/ws/chat/org%2Fplain" },
    { name: "from a page of the catalog's", request: () => ({ headers: { origin: PAGE } }) },
    {
      name: "by a token among the protocols",
      request: async () => ({
        as: null,
        headers: { origin: PAGE, "sec-websocket-protocol": `causeway.chat.v1,causeway.bearer.${await token()}` },
      }),
      protocol: "causeway.chat.v1",
    },
    {
      name: "by an API key among the protocols, the other way round",
      request: async () => ({
        as: null,
        headers: {
          "sec-websocket-protocol": `causeway.bearer.${(await keyOf("robot")).text}, causeway.chat.v1`,
        },
      }),
      protocol: "causeway.chat.v1",
    },
  ])("$name", async ({ request, path, protocol }) => {
    const response = await handshake(await request(), path);
    expect(response.status).toBe(101);
    expect(response.headers.get("x-request-id")).not.toBeNull();
    expect(response.headers.get("sec-websocket-protocol")).toBe(protocol ?? null);
    const client = clientOn(response);
    client.tell({ content: "hi" });
    expect((await client.answer()).at(-1)).toBe("[DONE]");
    client.hangUp();
  });
});

/** The data of an event stream's events, as the platform's own parser has them. */
async function readEvents(response: Response): Promise<{ data: string[]; end: { data: string; id: string } | null }> {
  if (response.body === null) throw new Error("no body");
  const source = EventSource.from(response.body);
  const data: string[] = [];
  let end: { data: string; id: string } | null = null;
  let isOver = false;
  source.addEventListener("message", (event) => {
    if (event instanceof MessageEvent) data.push(String(event.data));
  });
  source.addEventListener("end", (event) => {
    if (event instanceof MessageEvent) end = { data: String(event.data), id: event.lastEventId };
  });
  source.addEventListener("error", () => {
    isOver = true;
  });
  await eventually(
    () => isOver,
    () => `the end of ${JSON.stringify(data)}`,
  );
  return { data, end };
}

describe("an answer over a socket", () => {
  test.each<{ name: string; message: object; asked: object }>([
    {
      name: "messages and options, the usage too",
      message: {
        type: "message",
        messages: [{ role: "user", content: "hi" }],
        temperature: 0.5,
        max_tokens: 9,
        stream_options: { include_usage: true },
      },
      asked: {
        messages: [{ role: "user", content: "hi" }],
        temperature: 0.5,
        max_tokens: 9,
        stream_options: { include_usage: true },
      },
    },
    { name: "content alone", message: { content: "hi" }, asked: { messages: [{ role: "user", content: "hi" }] } },
  ])("is the HTTP stream's, event by event: $name", async ({ message, asked }) => {
    const as = { sub: nobodys() };
    const body = { model: "org/plain", stream: true, ...asked };
    const { data } = await readEvents(await gateway.ask("/v1/chat/completions", { as, body }));
    const client = await opened({ as });
    client.tell(message);
    const [started, ...events] = await client.answer();
    expect(startedWith(started)).toMatch(/^[0-9a-f-]{36}$/);
    expect(events).toEqual(data);
    expect(events.at(-1)).toBe("[DONE]");
    const [overHttp, overSocket] = host.asked;
    expect(overSocket).toEqual(overHttp);
  });

  test("a second question meanwhile is refused, and the first goes on until it is cancelled", async () => {
    const { host: answer, isLeft } = talking();
    host.answer = answer;
    const client = await opened({ as: { sub: nobodys() } });
    client.tell({ content: "go on" });
    const first = startedWith((await client.heard(3))[0]);
    client.tell({ content: "and me?" });
    await eventually(
      () => client.told.some((text) => codeOf(text === "[DONE]" ? "null" : text) === "generation_running"),
      () => "busy",
    );
    const soFar = client.told.length;
    await client.heard(soFar + 3);
    expect(isLeft()).toBe(false);
    client.tell({ type: "cancel" });
    await client.answer();
    expect(client.told.at(-1)).toBe('{"type":"cancelled"}');
    await eventually(isLeft, () => "the host is left");
    expect(host.asked).toHaveLength(1);
    host.answer = answering;
    client.tell({ content: "again" });
    const again = await client.answer();
    expect(again.at(-1)).toBe("[DONE]");
    expect(startedWith(again[0])).not.toBe(first);
    // Nothing to cancel: nothing is said, and the next one is answered.
    client.tell({ type: "cancel" });
    client.tell({ type: "ping", at: 1 });
    expect((await client.heard(client.told.length + 1)).at(-1)).toBe('{"type":"pong"}');
  });

  test("a host that was not heard of yet is left as well", async () => {
    host.isHeld = true;
    const client = await opened({ as: { sub: nobodys() } });
    client.tell({ content: "hi" });
    await eventually(
      () => host.inFlight === 1,
      () => "asked",
    );
    client.tell({ type: "cancel" });
    expect((await client.answer()).at(-1)).toBe('{"type":"cancelled"}');
    await eventually(
      () => host.inFlight === 0,
      () => "left",
    );
    host.isHeld = false;
  });

  test("who hangs up has left the host, and the slot is free", async () => {
    const { host: answer, isLeft } = talking();
    host.answer = answer;
    const as = { sub: nobodys(), tier: "single" };
    const client = await opened({ as });
    client.tell({ content: "go on" });
    await client.heard(3);
    client.hangUp();
    await eventually(isLeft, () => "the host is left");
    host.answer = answering;
    const other = await opened({ as });
    other.tell({ content: "hi" });
    expect((await other.answer()).at(-1)).toBe("[DONE]");
  });

  test("a refusal is one error, in the words of HTTP, and the socket stays", async () => {
    const client = await opened({ as: { sub: nobodys(), tier: "basic" } });
    for (const nth of [1, 2, 3]) {
      client.tell({ content: "hi" });
      const [, ...events] = await client.answer();
      if (nth < 3) expect(events.at(-1)).toBe("[DONE]");
      else expect(events.map(codeOf)).toEqual(["rate_limit_exceeded"]);
    }
    client.tell({ messages: [{ role: "robot", content: "hi" }] });
    expect((await client.answer()).map(codeOf)).toEqual([undefined, "invalid_value"]);
  });

  test("a host that fails is one error", async () => {
    host.answer = () =>
      Response.json({ error: { message: "no", type: "BadRequestError", code: 400 } }, { status: 400 });
    const client = await opened({ as: { sub: nobodys() } });
    client.tell({ content: "hi" });
    expect(await client.answer()).toHaveLength(2);
  });

  test.each<{ name: string; messages: (string | ArrayBuffer)[]; code: number }>([
    { name: "a message of more than 64 KiB", messages: [JSON.stringify({ content: "x".repeat(65_536) })], code: 1009 },
    {
      name: "as many bytes in fewer characters",
      messages: [JSON.stringify({ content: "€".repeat(22_000) })],
      code: 1009,
    },
    { name: "bytes", messages: [new ArrayBuffer(8)], code: 1003 },
    { name: "more messages than anybody sends", messages: Array<string>(40).fill("{}"), code: 1008 },
  ])("$name: closed with $code", async ({ messages, code }) => {
    const client = await opened({ as: { sub: nobodys() } });
    for (const message of messages) client.tell(message);
    // Already on its way when the socket is closed, it is asked of nobody.
    client.tell({ content: "hi" });
    expect(await client.closed()).toMatchObject({ code });
    await scheduler.wait(50);
    expect(host.asked).toEqual([]);
  });

  test("a message of almost 64 KiB is answered", async () => {
    const client = await opened({ as: { sub: nobodys() } });
    client.tell({ content: "x".repeat(65_000) });
    expect((await client.answer()).at(-1)).toBe("[DONE]");
  });
});

describe("a socket ends with what it was opened with", () => {
  test("a token that expires", async () => {
    const { host: answer, isLeft } = talking();
    host.answer = answer;
    const exp = Math.floor(Date.now() / 1000) + 2;
    const client = await opened({ as: { sub: nobodys(), exp } });
    client.tell({ content: "go on" });
    expect(await client.closed()).toMatchObject({ code: 1008 });
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1000);
    expect(Date.now()).toBeLessThan(exp * 1000 + 5_000);
    await eventually(isLeft, () => "the host is left");
  });

  test("a key that is revoked: at once, and others of the owner's stay", async () => {
    const owner = nobodys();
    const admin = { as: { groups: ["ai-admins"] } };
    const issue = async () => {
      const grant = { owner, tier: "default", scopes: ["inference"], label: "socket", expiresInDays: 1 };
      const response = await gateway.ask("/admin/keys", { ...admin, body: grant });
      return response.json<{ key: string; id: string }>();
    };
    const [ended, other] = [await issue(), await issue()];
    const [first, second] = await Promise.all(
      [ended, other].map(({ key }) => opened({ headers: { authorization: `Bearer ${key}` } })),
    );
    const revoked = await gateway.ask(`/admin/keys/${ended.id}`, { ...admin, method: "DELETE" });
    expect(revoked.status).toBe(200);
    await revoked.body?.cancel();
    expect(await first?.closed()).toMatchObject({ code: 1008 });
    second?.tell({ content: "hi" });
    expect((await second?.answer())?.at(-1)).toBe("[DONE]");
  });

  test.each<{ name: string; notice: (client: Client, owner: string) => Promise<unknown> | unknown }>([
    { name: "with the next question", notice: (client) => client.tell({ content: "hi" }) },
    {
      name: "when it is looked after",
      notice: (_, owner) => runDurableObjectAlarm(env.CHAT_SOCKET.getByName(accountOfKey(owner))),
    },
  ])("a key of whose end the socket was not told: $name", async ({ notice }) => {
    const owner = nobodys();
    const { text, id } = await keyOf(owner);
    const client = await opened({ headers: { authorization: `Bearer ${text}` } });
    await env.ACCOUNT.getByName(accountOfKey(owner)).retireKey(id, Date.now());
    await notice(client, owner);
    expect(await client.closed()).toMatchObject({ code: 1008 });
    expect(host.asked).toEqual([]);
  });

  test("a token whose issuer has withdrawn the key, once the purge is heard of", async () => {
    const token = await second.sign({ aud: "second", sub: nobodys() });
    const client = await opened({ headers: { authorization: `Bearer ${token}` } });
    const objects = env.CHAT_SOCKET.getByName(`${SECOND}|${JSON.parse(atob(token.split(".")[1] ?? "")).sub}`);
    await runDurableObjectAlarm(objects);
    second.answers.keys = () => Response.json({ keys: [{ ...second.publicJwk, kid: "another" }] });
    await gateway.ask("/admin/issuer-keys", { method: "DELETE", as: { groups: ["ai-admins"] } });
    const looking = setInterval(() => void runDurableObjectAlarm(objects), 200);
    expect(await client.closed()).toMatchObject({ code: 1008 });
    clearInterval(looking);
  });
});

describe("an idle socket", () => {
  test("keeps all there is to keep, however long the names are", async () => {
    const long = "\u{20000}".repeat(127);
    const wishes = ["x-causeway-prefer", "x-workflow-id", "traceparent", "prefer"];
    const headers = Object.fromEntries(wishes.map((name) => [name, "x".repeat(300)]));
    const client = await opened({ as: { sub: long, tenant: `${long}${long}` }, headers });
    client.tell({ content: "hi" });
    await client.answer();
    await evictDurableObject(socketsOf(long));
    client.tell({ content: "hi" });
    expect((await client.answer()).at(-1)).toBe("[DONE]");
  });

  test("hibernates: its object goes, the socket stays, and the next question is answered", async () => {
    const sub = nobodys();
    const client = await opened({ as: { sub } });
    client.tell({ content: "hi" });
    await client.answer();
    await evictDurableObject(socketsOf(sub));
    client.tell('{"type":"ping"}');
    expect((await client.heard(client.told.length + 1)).at(-1)).toBe('{"type":"pong"}');
    await evictDurableObject(socketsOf(sub)).catch(() => undefined);
    client.tell({ content: "hi" });
    expect((await client.answer()).at(-1)).toBe("[DONE]");
  });

  test("is closed when nothing was heard for a minute, and not before, hibernating or not", async () => {
    const sub = nobodys();
    const client = await opened({ as: { sub } });
    const startMs = Date.now();
    await evictDurableObject(socketsOf(sub));
    vi.useFakeTimers({ toFake: ["Date"], now: startMs + 50_000 });
    await runDurableObjectAlarm(socketsOf(sub));
    client.tell({ content: "hi" });
    expect((await client.answer()).at(-1)).toBe("[DONE]");
    vi.setSystemTime(startMs + 100_000);
    await runDurableObjectAlarm(socketsOf(sub));
    client.tell('{"type": "ping"}');
    await client.heard(client.told.length + 1);
    vi.setSystemTime(startMs + 161_000);
    await runDurableObjectAlarm(socketsOf(sub));
    expect(await client.closed()).toMatchObject({ code: 1000 });
  });

  test("there are so many of an account's, and a further one is told to come later", async () => {
    const as = { sub: nobodys() };
    const clients = await Promise.all(Array.from({ length: MAX_SOCKETS }, () => opened({ as })));
    expect(await (await opened({ as })).closed()).toMatchObject({ code: 1013 });
    clients[0]?.hangUp();
    await clients[0]?.closed();
    const next = await opened({ as });
    next.tell({ content: "hi" });
    expect((await next.answer()).at(-1)).toBe("[DONE]");
    for (const client of clients.slice(1)) client.hangUp();
  });
});

describe("a ticket", () => {
  const ways: { name: string; use: (ticket: string) => Promise<Response> }[] = [
    {
      name: "a socket",
      use: (ticket) => handshake({ as: null, headers: { origin: PAGE } }, `${SOCKET}?ticket=${ticket}`),
    },
    { name: "an event stream", use: (ticket) => gateway.ask(`${STREAM}?message=hi&ticket=${ticket}`, { as: null }) },
  ];

  test.each(ways)("opens $name once, also where many try at once", async ({ use }) => {
    const ticket = await ticketOf();
    expect(ticket).toMatch(/^cwt_[\w-]{43}$/);
    const responses = await Promise.all(Array.from({ length: 8 }, () => use(ticket)));
    const statuses = responses.map(({ status }) => status);
    expect(statuses.filter((status) => status < 300)).toHaveLength(1);
    expect(statuses.filter((status) => status === 401)).toHaveLength(7);
    await Promise.all(responses.map(({ body }) => body?.cancel()));
    expect((await use(ticket)).status).toBe(401);
  });

  test.each(ways)("opens $name for half a minute", async ({ use }) => {
    const [early, late] = [await ticketOf(), await ticketOf()];
    const nowMs = Date.now();
    vi.useFakeTimers({ toFake: ["Date"], now: nowMs + 28_000 });
    const response = await use(early);
    expect(response.status).toBeLessThan(300);
    await response.body?.cancel();
    vi.setSystemTime(nowMs + 31_000);
    expect((await use(late)).status).toBe(401);
  });

  test("opens what its caller may open, in its caller's name, and until its caller's token expires", async () => {
    const sub = nobodys();
    const exp = Math.floor(Date.now() / 1000) + 3;
    const client = clientOn(await handshake({ as: null }, `${SOCKET}?ticket=${await ticketOf({ as: { sub, exp } })}`));
    client.tell({ content: "hi" });
    expect((await client.answer()).at(-1)).toBe("[DONE]");
    expect(await env.ACCOUNT.getByName(accountOf(sub)).totals()).not.toEqual({});
    expect(await client.closed()).toMatchObject({ code: 1008 });
    const { text, id } = await keyOf(sub);
    const ticket = await ticketOf({ headers: { authorization: `Bearer ${text}` } });
    await env.ACCOUNT.getByName(accountOfKey(sub)).retireKey(id, Date.now());
    expect((await handshake({ as: null }, `${SOCKET}?ticket=${ticket}`)).status).toBe(401);
  });

  test("opens nothing else, does not stand beside another credential, and is not written down", async () => {
    const ticket = await ticketOf();
    const refused = async (response: Promise<Response>) => {
      const { status, body } = await response;
      await body?.cancel();
      return status;
    };
    expect(await refused(gateway.ask(`/v1/models?ticket=${ticket}`, { as: null }))).toBe(401);
    expect(await refused(gateway.ask(`/v1/tickets?ticket=${ticket}`, { as: null, method: "POST" }))).toBe(401);
    expect(await refused(gateway.ask("/v1/models", { as: null, headers: { authorization: `Bearer ${ticket}` } }))).toBe(
      401,
    );
    expect(await refused(handshake({}, `${SOCKET}?ticket=${ticket}`))).toBe(401);
    expect(await refused(handshake({ as: null }, `${SOCKET}?ticket=${ticket}&ticket=${ticket}`))).toBe(401);
    expect(await refused(handshake({ as: null }, `${SOCKET}?ticket=${ticket}`))).toBe(101);
    expect(logged.length).toBeGreaterThan(10);
    expect(logged.filter((line) => /cwt_|ey[JK]\w+\.|cw_/.test(line))).toEqual([]);
  });

  test.each<{ name: string; body: unknown; status: number }>([
    { name: "an empty object", body: {}, status: 201 },
    { name: "an empty body", body: "", status: 201 },
    { name: "half a word", body: "{", status: 400 },
    { name: "many words", body: " ".repeat(2_000), status: 413 },
    { name: "a wish", body: { ttl: 3600 }, status: 400 },
    { name: "another's name", body: { user: "someone" }, status: 400 },
  ])("is asked for with $name: $status", async ({ body, status }) => {
    const response = await gateway.ask("/v1/tickets", { body });
    expect(response.status).toBe(status);
    if (status === 201) expect(await response.json()).toMatchObject({ object: "ticket", expires_in: 30 });
    else await response.body?.cancel();
  });
});

describe("an event stream for pages", () => {
  test("is the HTTP stream's, and tells the page when to close it", async () => {
    const as = { sub: nobodys() };
    const messages = [
      { role: "system", content: "be brief" },
      { role: "user", content: "hi & bye" },
    ];
    const body = { model: "org/plain", stream: true, max_tokens: 9, temperature: 0.5, messages };
    const { data } = await readEvents(await gateway.ask("/v1/chat/completions", { as, body }));
    const path = "/stream/chat/org%2Fplain?message=hi%20%26%20bye&system=be+brief&max_tokens=9&temperature=0.5";
    // Some clients declare that a GET has no body.
    const response = await gateway.ask(path, { as, headers: { origin: PAGE, "content-length": "0" } });
    const requestId = response.headers.get("x-request-id");
    expect(Object.fromEntries(response.headers)).toMatchObject({
      "content-type": "text/event-stream; charset=utf-8",
      "access-control-allow-origin": PAGE,
      vary: "Authorization, Origin",
    });
    const seen = await readEvents(response);
    expect(seen.data).toEqual(data);
    expect(seen.end).toEqual({ data: JSON.stringify({ request_id: requestId }), id: requestId });
    const [overHttp, overStream] = host.asked;
    expect(overStream).toEqual(overHttp);
  });

  test("comes back after its end: 204, which stops it, and nobody is asked or charged", async () => {
    const headers = { origin: PAGE, "last-event-id": crypto.randomUUID() };
    const response = await gateway.ask(`${STREAM}?message=hi&ticket=cwt_${"A".repeat(43)}`, { as: null, headers });
    expect(response.status).toBe(204);
    expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
    expect(host.asked).toEqual([]);
  });

  test("the page that closes it has left the host", async () => {
    const { host: answer, isLeft } = talking();
    host.answer = answer;
    const reader = (await gateway.ask(`${STREAM}?message=hi`)).body?.getReader();
    for (let reads = 0; reads < 4; reads++) await reader?.read();
    await reader?.cancel();
    await eventually(isLeft, () => "the host is left");
  });

  test.each<{ query: string; status: number; code: string }>([
    { query: "", status: 400, code: "invalid_value" },
    { query: "?message=", status: 400, code: "invalid_value" },
    { query: "?message=hi&message=ho", status: 400, code: "invalid_value" },
    { query: "?message=hi&model=other", status: 400, code: "invalid_value" },
    { query: "?message=hi&access_token=x", status: 400, code: "invalid_value" },
    { query: "?message=hi&max_tokens=many", status: 400, code: "invalid_value" },
    { query: "?message=hi&max_tokens=0", status: 400, code: "invalid_value" },
    { query: "?message=hi&max_tokens=1.5", status: 400, code: "invalid_value" },
    { query: "?message=hi&temperature=9", status: 400, code: "invalid_value" },
    { query: "?message=hi&temperature=1e3", status: 400, code: "invalid_value" },
    { query: "?message=hi%00", status: 400, code: "invalid_json" },
  ])("$query: $status", async ({ query, status, code }) => {
    const response = await gateway.ask(`${STREAM}${query}`);
    expect({ status: response.status, code: codeOf(await response.text()) }).toEqual({ status, code });
    expect(host.asked).toEqual([]);
  });

  test("HEAD asks nobody", async () => {
    expect((await gateway.ask(`${STREAM}?message=hi`, { method: "HEAD" })).status).toBe(405);
    expect(host.asked).toEqual([]);
  });
});

describe("a page that asks whether it may", () => {
  const asks = { as: null, method: "OPTIONS" };
  const about = { "access-control-request-method": "POST", "access-control-request-headers": "authorization" };
  test.each<{ path: string; origin: string; status: number; allowed: string | null }>([
    { path: "/v1/tickets", origin: PAGE, status: 204, allowed: PAGE },
    { path: STREAM, origin: PAGE, status: 204, allowed: PAGE },
    { path: "/v1/tickets", origin: FOREIGN, status: 403, allowed: null },
    { path: "/v1/tickets", origin: "null", status: 403, allowed: null },
    { path: "/v1/chat/completions", origin: PAGE, status: 405, allowed: null },
    { path: "/admin/keys", origin: PAGE, status: 405, allowed: null },
  ])("$origin, $path: $status", async ({ path, origin, status, allowed }) => {
    const response = await gateway.ask(path, { ...asks, headers: { origin, ...about } });
    await response.body?.cancel();
    expect({ status: response.status, allowed: response.headers.get("access-control-allow-origin") }).toEqual({
      status,
      allowed,
    });
    if (status === 204)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        "access-control-allow-headers": expect.stringContaining("authorization"),
        "access-control-max-age": "600",
        vary: expect.stringContaining("Origin"),
      });
  });

  test("a refusal can be read by the page it is for", async () => {
    const response = await gateway.ask("/v1/tickets", { as: null, method: "POST", headers: { origin: PAGE } });
    await response.body?.cancel();
    expect(response.status).toBe(401);
    expect(response.headers.get("access-control-allow-origin")).toBe(PAGE);
  });
});
