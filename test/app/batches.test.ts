/** Batches of requests as the official client orders, watches and fetches them; objects and queue are real. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env, exports } from "cloudflare:workers";
import OpenAI, { APIError, toFile } from "openai";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { issueApiKey } from "#src/auth/api-key.ts";
import { type Batch, HOLDER_SILENT_MS, WINDOW_MS } from "#src/batches/batch.ts";
import { MOST_BATCHES } from "#src/batches/batch-store.ts";
import { MOST_BYTES } from "#src/batches/file-store.ts";
import { LARGEST_RESULT } from "#src/batches/result-line.ts";
import { KEPT_MS } from "#src/batches/shelf.ts";
import { MOST_LANES } from "#src/batches/slice.ts";
import { inSession } from "#src/postgres/session.ts";
import { answering, CATALOG, type Gateway, type Host } from "#test/support/gateway.ts";
import { type TestIssuer, testIssuer } from "#test/support/issuer.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const ENDPOINT = "/v1/chat/completions";
const HOSTS = [
  hostOf("gpu", { slots: 64 }),
  hostOf("pair", { slots: 2 }),
  hostOf("shaky", { slots: 64 }),
  hostOf("away", { slots: 64, location: "cloud", weight: 1e9 }),
];
const MODELS = [
  modelOn("big", ["gpu"]),
  modelOn("narrow", ["pair"]),
  modelOn("shaky", ["shaky"]),
  modelOn("mixed", ["gpu", "away"], { affinity: false }),
  modelOn("embedder", ["gpu"], { kind: "embedding" }),
];
const WIDE = CATALOG.tiers.default;

/** An issuer of its own, for what must not trouble the others. */
const SECOND = "https://second.example.test";

let gateway: Gateway;
let second: TestIssuer;
let hosts: Record<string, StandIn>;
beforeAll(async () => {
  for (const level of ["log", "error"] as const) vi.spyOn(console, level).mockReturnValue();
  ({ gateway, hosts } = await withHosts(HOSTS, MODELS, {
    tiers: { ...CATALOG.tiers, one: { ...WIDE, concurrency: 1 }, four: { ...WIDE, rpm: 4 } },
    issuers: [{ issuer: SECOND, audience: "second" }],
  }));
  second = await testIssuer(Date.now(), SECOND);
  const others = vi.mocked(fetch).getMockImplementation() ?? second.fetcher;
  vi.mocked(fetch).mockImplementation(async (input, init) =>
    String(input).startsWith(SECOND) ? second.fetcher(input, init) : others(input, init),
  );
});
beforeEach(() => {
  for (const host of Object.values(hosts)) Object.assign(host, { answer: answering, isHeld: false, most: 0 });
});
afterAll(() => {
  vi.restoreAllMocks();
});
vi.setConfig({ testTimeout: 40_000 });
/** Machines have other work too. */
const SOON = { timeout: 15_000, interval: 20 };

function host(id: string): StandIn {
  const standIn = hosts[id];
  if (standIn === undefined) throw new Error(`no stand-in for ${id}`);
  return standIn;
}

type User = { readonly client: OpenAI; readonly sub: string; readonly account: string };

/** The client, which does not try again by itself. */
function clientWith(apiKey: string): OpenAI {
  const fetcher = (input: RequestInfo | URL, init?: RequestInit) => exports.default.fetch(new Request(input, init));
  return new OpenAI({ apiKey, baseURL: "http://x/v1", maxRetries: 0, fetch: fetcher });
}

/** A fresh caller. */
async function user(tier = "default"): Promise<User> {
  const sub = crypto.randomUUID();
  const client = clientWith(await gateway.issuer.sign({ sub, tier }));
  return { sub, client, account: `${env.OIDC_ISSUER}|${sub}` };
}

type Body = Record<string, unknown>;
const line = (id: string, body: Body = {}, more: Body = {}) => {
  const asked = { model: "big", messages: [{ role: "user", content: id }], ...body };
  return { custom_id: id, method: "POST", url: ENDPOINT, body: asked, ...more };
};
const jsonl = (lines: readonly unknown[]): string => lines.map((one) => JSON.stringify(one)).join("\n");

async function upload({ client }: User, text: string): Promise<string> {
  const file = await client.files.create({ file: await toFile(Buffer.from(text), "in.jsonl"), purpose: "batch" });
  return file.id;
}

async function order(by: User, lines: readonly unknown[], endpoint: typeof ENDPOINT | "/v1/embeddings" = ENDPOINT) {
  const input_file_id = await upload(by, jsonl(lines));
  return by.client.batches.create({ input_file_id, endpoint, completion_window: "24h" });
}

/** The batch once it has a status. */
const until = ({ client }: User, id: string, ...statuses: string[]) =>
  vi.waitFor(
    async () => {
      const batch = await client.batches.retrieve(id);
      expect(statuses).toContain(batch.status);
      return batch;
    },
    { timeout: 25_000, interval: 50 },
  );

type Result = {
  readonly id: string;
  readonly custom_id: string;
  readonly response: { status_code: number; request_id: string; body: Record<string, unknown> } | null;
  readonly error: { code: string } | null;
};
async function results({ client }: User, id: string | undefined): Promise<Result[]> {
  if (id === undefined || id === null) return [];
  const text = await (await client.files.content(id)).text();
  return text
    .trimEnd()
    .split("\n")
    .map((one) => JSON.parse(one));
}

type Row = Record<string, unknown>;
/** What the ledger has of a batch, once there are so many rows. */
const ledger = (batch: string, count: number) =>
  vi.waitFor(async () => {
    const text = "SELECT id, route, outcome, user_id FROM inference_logs WHERE workflow_id = $1";
    const { rows } = await inSession(env.HYPERDRIVE.connectionString, (session) => session.query<Row>(text, [batch]));
    expect(rows).toHaveLength(count);
    return rows;
  }, SOON);

const shelfOf = ({ account }: User) => env.BATCHES.getByName(account);

/** Changes what is stored of a batch, as if it had been so all along; then the alarm looks. */
async function past(by: User, id: string, change: (batch: Batch) => Batch): Promise<void> {
  await runInDurableObject(shelfOf(by), (_, { storage: { sql } }) => {
    const { batch } = sql.exec<{ batch: string }>("SELECT batch FROM batches WHERE id = ?", id).one();
    sql.exec("UPDATE batches SET batch = ? WHERE id = ?", JSON.stringify(change(JSON.parse(batch))), id);
  });
  await shelfOf(by).rest(id, true);
  await runDurableObjectAlarm(shelfOf(by));
}

/** From now on nobody is called, until the object loses its memory. */
const loseMessages = (by: User) =>
  runInDurableObject(shelfOf(by), (instance) => {
    Reflect.set(instance, "env", { ...env, BATCH_CALLS: { send: () => Promise.resolve() } });
  });

/** What was refused, as clients look at it. */
const refused = async (asking: Promise<unknown>): Promise<unknown> =>
  asking.then(
    () => "nothing",
    (thrown) => (thrown instanceof APIError ? [thrown.status, thrown.code] : thrown),
  );

/** Questions of batch lines that a host was asked, by their text. */
const linesAsked = (id: string): string[] =>
  host(id).asked.map(({ messages }) => (messages as { content: string }[])[0]?.content ?? "");

/** What is held back now: a test that failed must not hold up the others. */
const holds: { held: boolean }[] = [];
afterEach(() => {
  for (const state of holds.splice(0)) state.held = false;
});

/** A host that holds back what the test names. */
function holding(isHeld: (text: string) => boolean): { host: Host; go: () => void } {
  const state = { held: true };
  holds.push(state);
  const held: Host = async (body) => {
    const [message] = body.messages as { content: string }[];
    // Looked at, and not waited for: a promise of one request may not be resolved by another.
    while (state.held && isHeld(message?.content ?? "")) await scheduler.wait(5);
    return answering(body);
  };
  const go = (): void => {
    state.held = false;
  };
  return { host: held, go };
}

describe("twenty lines, some of them wrong", () => {
  test("end each once: in a file for answers or one for errors, and in the ledger", async () => {
    const by = await user();
    const lines = Array.from({ length: 20 }, (_, at) => {
      if (at === 3) return line(`l${at}`, { model: "unheard-of" });
      if (at === 7) return line(`l${at}`, { messages: [] });
      return line(`l${at}`);
    });
    const made = await order(by, lines);
    expect(made).toMatchObject({ object: "batch", status: "validating", output_file_id: null, errors: null });
    const batch = await until(by, made.id, "completed");
    expect(batch.request_counts).toEqual({ total: 20, completed: 18, failed: 2 });
    const good = await results(by, batch.output_file_id);
    const bad = await results(by, batch.error_file_id);
    expect([...good, ...bad].map(({ custom_id }) => custom_id).sort()).toEqual(
      lines.map((one) => one.custom_id).sort(),
    );
    for (const { response, error, id } of good) {
      expect({ error, status: response?.status_code }).toEqual({ error: null, status: 200 });
      expect(response?.body).toMatchObject({ object: "chat.completion" });
      expect(id).toMatch(/^batch_req_/);
    }
    const codeOf = ({ response }: Result) => (response?.body.error as { code: string } | undefined)?.code;
    expect(bad.map((one) => [one.custom_id, one.response?.status_code, codeOf(one)]).sort()).toEqual([
      ["l3", 404, "model_not_found"],
      ["l7", 400, "invalid_value"],
    ]);
    // Those that were refused before they were admitted cost nothing and have no row, as with any request.
    const rows = await ledger(made.id, 18);
    expect(rows.map(({ id }) => id).sort()).toEqual(good.map(({ response }) => response?.request_id).sort());
    expect(new Set(rows.map(({ route, outcome, user_id }) => `${route} ${outcome} ${user_id}`))).toEqual(
      new Set([`chat complete ${by.sub}`]),
    );
    const times = [batch.in_progress_at, batch.finalizing_at, batch.completed_at];
    for (const time of times) expect(time).toBeGreaterThanOrEqual(batch.created_at);
  });
});

test("embeddings, with metadata, listed newest first and page by page", async () => {
  const by = await user();
  const lines = ["a", "b"].map((id) => line(id, {}, { url: "/v1/embeddings", body: { model: "embedder", input: id } }));
  host("gpu").answer = () =>
    Response.json({ object: "list", data: [{ embedding: [0.5] }], usage: { prompt_tokens: 2, total_tokens: 2 } });
  const input_file_id = await upload(by, jsonl(lines));
  const wish = { input_file_id, endpoint: "/v1/embeddings", completion_window: "24h", metadata: { run: "1" } } as const;
  const made = await by.client.batches.create(wish);
  const batch = await until(by, made.id, "completed");
  expect(batch).toMatchObject({ metadata: { run: "1" }, request_counts: { completed: 2 }, error_file_id: null });
  expect((await ledger(made.id, 2)).map(({ route }) => route)).toEqual(["embeddings", "embeddings"]);
  const second = await by.client.batches.create(wish);
  const listed: string[] = [];
  for await (const { id } of by.client.batches.list({ limit: 1 })) listed.push(id);
  expect(listed).toEqual([second.id, made.id]);
  await until(by, second.id, "completed");
  const purposes = async (query: object) => {
    const found: string[] = [];
    for await (const { purpose } of by.client.files.list({ ...query, limit: 2 })) found.push(purpose);
    return found;
  };
  expect(await purposes({ order: "asc" })).toEqual(["batch", "batch_output", "batch_output"]);
  expect(await purposes({ purpose: "batch" })).toEqual(["batch"]);
  expect(await refused(by.client.batches.list({ after: "batch_unknown" }).then())).toEqual([400, "invalid_value"]);
});

describe("what is left over", () => {
  test("is nothing while interactive calls have every slot: lines wait, cost nothing, and run afterwards", async () => {
    const by = await user();
    const { host: busy, go } = holding((text) => text.startsWith("call"));
    Object.assign(host("pair"), { answer: busy, asked: [] });
    const calls = ["call1", "call2"].map((content) =>
      by.client.chat.completions.create({ model: "narrow", messages: [{ role: "user", content }] }),
    );
    await vi.waitFor(() => expect(host("pair").inFlight).toBe(2), SOON);
    const made = await order(by, [line("x1", { model: "narrow" }), line("x2", { model: "narrow" })]);
    // Tried, and tried again after a second.
    await vi.waitFor(async () => {
      const known = await shelfOf(by).batch(made.id);
      expect(known?.batch.pauses.narrow?.times).toBeGreaterThanOrEqual(2);
    }, SOON);
    expect(linesAsked("pair").sort()).toEqual(["call1", "call2"]);
    // A third caller stands in line, and has the next slot before any line.
    const third = by.client.chat.completions.create({
      model: "narrow",
      messages: [{ role: "user", content: "third" }],
    });
    go();
    await Promise.all([...calls, third]);
    expect(linesAsked("pair").indexOf("third")).toBe(2);
    const batch = await until(by, made.id, "completed");
    expect(batch.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
    // None of the tries is in the ledger, or counts against a limit.
    expect((await ledger(made.id, 2)).map(({ outcome }) => outcome)).toEqual(["complete", "complete"]);
    const { response } = await by.client.models.list().withResponse();
    expect(/"rpm";r=(\d+)/.exec(response.headers.get("ratelimit") ?? "")?.[1]).toBe(String(WIDE.rpm - 3 - 2));
  });

  test("is never the last slot: a caller finds one free, however many lines there are", async () => {
    const by = await user();
    const { host: busy, go } = holding((text) => text.startsWith("y"));
    Object.assign(host("pair"), { answer: busy, asked: [] });
    const made = await order(
      by,
      Array.from({ length: 6 }, (_, at) => line(`y${at}`, { model: "narrow" })),
    );
    await vi.waitFor(() => expect(host("pair").inFlight).toBe(1), SOON);
    for (let nth = 0; nth < 3; nth++) {
      const call = { model: "narrow", messages: [{ role: "user" as const, content: `call${nth}` }] };
      const { response } = await by.client.chat.completions
        .create(call, { headers: { prefer: "wait=0" } })
        .withResponse();
      expect(response.status).toBe(200);
    }
    expect(linesAsked("pair").filter((text) => text.startsWith("y"))).toHaveLength(1);
    go();
    await until(by, made.id, "completed");
    expect(host("pair").most).toBe(2);
  });

  test("is half of what the caller may ask in a minute: the caller itself goes on", async () => {
    const by = await user("four");
    Object.assign(host("gpu"), { asked: [] });
    const made = await order(
      by,
      Array.from({ length: 4 }, (_, at) => line(`half${at}`)),
    );
    await vi.waitFor(async () => expect((await shelfOf(by).batch(made.id))?.batch.pauses).toHaveProperty([""]), SOON);
    expect(linesAsked("gpu").filter((text) => text.startsWith("half"))).toHaveLength(2);
    for (const content of ["call1", "call2"])
      await by.client.chat.completions.create({ model: "big", messages: [{ role: "user", content }] });
    await by.client.batches.cancel(made.id);
    expect((await until(by, made.id, "cancelled")).request_counts).toEqual({ total: 4, completed: 2, failed: 2 });
  });

  test("of the account's own limits: a line waits for its caller's call to end", async () => {
    const by = await user("one");
    const { host: busy, go } = holding((text) => text === "call");
    host("gpu").answer = busy;
    const call = by.client.chat.completions.create({ model: "big", messages: [{ role: "user", content: "call" }] });
    await vi.waitFor(() => expect(host("gpu").inFlight).toBe(1), SOON);
    const made = await order(by, [line("z1"), line("z2")]);
    await vi.waitFor(async () => expect((await shelfOf(by).batch(made.id))?.batch.pauses).toHaveProperty([""]), SOON);
    go();
    await call;
    const batch = await until(by, made.id, "completed");
    expect(batch.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
    await ledger(made.id, 2);
  });
});

describe("each line is run once", () => {
  test("whatever the queue delivers twice", async () => {
    const by = await user();
    const { host: slow, go } = holding(() => true);
    Object.assign(host("gpu"), { answer: slow, asked: [] });
    const ids = Array.from({ length: 12 }, (_, at) => `twice${at}`);
    const made = await order(
      by,
      ids.map((id) => line(id)),
    );
    await vi.waitFor(() => expect(host("gpu").inFlight).toBe(MOST_LANES), SOON);
    const message = { v: 1, account: shelfOf(by).id.toString(), batch: made.id } as const;
    await env.BATCH_CALLS.sendBatch([message, message, message].map((body) => ({ body })));
    await scheduler.wait(100);
    expect(host("gpu").inFlight).toBe(MOST_LANES);
    go();
    await until(by, made.id, "completed");
    await env.BATCH_CALLS.send(message);
    await ledger(made.id, 12);
    expect(linesAsked("gpu").sort()).toEqual([...ids].sort());
  });

  test("and again when its holder has died, also when every message was lost", async () => {
    const by = await user();
    Object.assign(host("gpu"), { asked: [] });
    const shelf = shelfOf(by);
    await loseMessages(by);
    const made = await order(by, [line("dead1"), line("dead2")]);
    await until(by, made.id, "in_progress");
    // A holder that dies with its line, and an object that loses its memory.
    const held = await shelf.claim(made.id);
    expect(held).toMatchObject({ line: 1, endpoint: ENDPOINT });
    await evictDurableObject(shelf);
    expect(await shelf.renew(made.id, 1, held?.requestId ?? "")).toBe(true);
    await past(by, made.id, (batch) => {
      const running = Object.entries(batch.running).map(([at, run]) => {
        return [at, { ...run, heardAtMs: run.heardAtMs - HOLDER_SILENT_MS }] as const;
      });
      return { ...batch, running: Object.fromEntries(running) };
    });
    const batch = await until(by, made.id, "completed");
    expect(batch.request_counts).toEqual({ total: 2, completed: 2, failed: 0 });
    expect(linesAsked("gpu").sort()).toEqual(["dead1", "dead2"]);
    // What the dead one says after all changes nothing.
    const late = { outcome: { kind: "completed" as const }, status: 200, body: "{}" };
    await shelf.report(made.id, 1, held?.requestId ?? "", late);
    expect((await by.client.batches.retrieve(made.id)).request_counts).toEqual(batch.request_counts);
    await ledger(made.id, 2);
  });

  test("and an answer that is too large to be kept is an error", async () => {
    const by = await user();
    await loseMessages(by);
    const made = await order(by, [line("large"), line("small")]);
    await until(by, made.id, "in_progress");
    for (const body of [JSON.stringify("x".repeat(LARGEST_RESULT)), JSON.stringify("x".repeat(2_500_000))]) {
      const held = await shelfOf(by).claim(made.id);
      const answered = { outcome: { kind: "completed" as const }, status: 200, body };
      await shelfOf(by).report(made.id, held?.line ?? 0, held?.requestId ?? "", answered);
    }
    const batch = await until(by, made.id, "completed");
    expect(batch.request_counts).toEqual({ total: 2, completed: 1, failed: 1 });
    expect(await results(by, batch.error_file_id)).toMatchObject([
      { custom_id: "large", error: { code: "result_too_large" } },
    ]);
    expect((await results(by, batch.output_file_id))[0]?.response?.body).toHaveLength(2_500_000);
  });

  test("unless a host fails, which is tried three times", async () => {
    const by = await user();
    const failures = new Map<string, number>([
      ["once", 1],
      ["always", 9],
    ]);
    host("shaky").answer = (body) => {
      const text = (body.messages as { content: string }[])[0]?.content ?? "";
      const left = failures.get(text) ?? 0;
      failures.set(text, left - 1);
      return left > 0 ? new Response("gone", { status: 502 }) : answering(body);
    };
    const ids = ["once", "always", ...Array.from({ length: 8 }, (_, at) => `good${at}`)];
    const made = await order(
      by,
      ids.map((id) => line(id, { model: "shaky" })),
    );
    const batch = await until(by, made.id, "completed");
    expect(batch.request_counts).toEqual({ total: 10, completed: 9, failed: 1 });
    expect(await results(by, batch.error_file_id)).toMatchObject([
      { custom_id: "always", response: { status_code: 502 } },
    ]);
    expect(failures.get("always")).toBe(6);
    const outcomes = (await ledger(made.id, 13)).map(({ outcome }) => outcome);
    expect(outcomes.filter((outcome) => outcome === "upstream_error")).toHaveLength(4);
  });
});

describe("before all is done", () => {
  /** Twelve lines on a host that holds all but the first two. */
  async function halfDone(by: User) {
    const { host: slow, go } = holding((text) => !["h0", "h1"].includes(text));
    host("gpu").answer = slow;
    const made = await order(
      by,
      Array.from({ length: 12 }, (_, at) => line(`h${at}`)),
    );
    await vi.waitFor(async () => {
      expect((await by.client.batches.retrieve(made.id)).request_counts?.completed).toBe(2);
      expect(host("gpu").inFlight).toBe(MOST_LANES);
    }, SOON);
    return { id: made.id, input: made.input_file_id, go };
  }
  const codesOf = (found: readonly Result[]) => found.map(({ error }) => error?.code ?? null);

  test("cancelled: what runs is finished, the rest is not run, and all of it is told", async () => {
    const by = await user();
    const { id, input, go } = await halfDone(by);
    expect(await refused(by.client.files.delete(input))).toEqual([409, "file_in_use"]);
    expect((await by.client.batches.cancel(id)).status).toBe("cancelling");
    expect((await by.client.batches.cancel(id)).status).toBe("cancelling");
    go();
    const batch = await until(by, id, "cancelled");
    expect(batch.request_counts).toEqual({ total: 12, completed: 7, failed: 5 });
    expect(await results(by, batch.output_file_id)).toHaveLength(7);
    expect(codesOf(await results(by, batch.error_file_id))).toEqual(Array.from({ length: 5 }, () => "batch_cancelled"));
    expect(await refused(by.client.batches.cancel(id))).toEqual([409, "batch_over"]);
    await ledger(id, 7);
  });

  test("expired by the alarm: finished lines are kept, late ones change nothing", async () => {
    const by = await user();
    const { id, go } = await halfDone(by);
    await past(by, id, (batch) => {
      return { ...batch, sinceMs: { ...batch.sinceMs, validating: batch.sinceMs.validating - WINDOW_MS } };
    });
    const batch = await until(by, id, "expired");
    expect(batch.request_counts).toEqual({ total: 12, completed: 2, failed: 10 });
    const errors = await results(by, batch.error_file_id);
    expect(codesOf(errors)).toEqual(Array.from({ length: 10 }, () => "batch_expired"));
    go();
    await ledger(id, 7);
    expect(await results(by, batch.output_file_id)).toHaveLength(2);
    expect((await by.client.batches.retrieve(id)).request_counts).toEqual(batch.request_counts);
  });

  test("stopped when its results fill what the account may keep: nothing is asked that cannot be kept", async () => {
    const by = await user("one");
    const { host: slow, go } = holding(() => true);
    host("gpu").answer = slow;
    const made = await order(by, [line("f1"), line("f2"), line("f3")]);
    await vi.waitFor(() => expect(host("gpu").inFlight).toBe(1), SOON);
    await runInDurableObject(shelfOf(by), (_, { storage: { sql } }) => {
      sql.exec("UPDATE files SET bytes = ? WHERE purpose = 'batch'", MOST_BYTES);
    });
    go();
    const batch = await until(by, made.id, "cancelled");
    expect(batch.request_counts).toEqual({ total: 3, completed: 1, failed: 2 });
    expect(batch.errors?.data?.map(({ code }) => code)).toEqual(["storage_full"]);
    expect(codesOf(await results(by, batch.error_file_id))).toEqual(["batch_cancelled", "batch_cancelled"]);
    await ledger(made.id, 1);
  });

  test("stopped when the caller's key is revoked", async () => {
    const owner = crypto.randomUUID();
    const grant = { owner, tier: "one", scopes: ["inference" as const], label: "", expiresAtMs: Date.now() + 600_000 };
    const random = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));
    const { key, id: keyId, kvKey, record } = await issueApiKey(env.CAUSEWAY_SECRET, grant, random);
    await env.KV.put(kvKey, JSON.stringify(record));
    const by = { client: clientWith(key), sub: owner, account: `key|${owner}` };
    const { host: slow, go } = holding(() => true);
    host("gpu").answer = slow;
    const made = await order(by, [line("k1"), line("k2"), line("k3")]);
    await vi.waitFor(() => expect(host("gpu").inFlight).toBe(1), SOON);
    await env.ACCOUNT.getByName(by.account).retireKey(keyId, Date.now());
    go();
    await vi.waitFor(async () => expect((await shelfOf(by).batch(made.id))?.batch.status).toBe("cancelled"), SOON);
    const known = await shelfOf(by).batch(made.id);
    expect(known?.batch).toMatchObject({ completed: 1, failed: 2, errors: [{ code: "invalid_api_key" }] });
  });
});

test("lines stay on the premises where their order says so, and an order that says anything else is none", async () => {
  const by = await user();
  for (const id of ["gpu", "away"]) Object.assign(host(id), { asked: [] });
  const input_file_id = await upload(by, jsonl([line("h1", { model: "mixed" }), line("h2", { model: "mixed" })]));
  const wish = { input_file_id, endpoint: ENDPOINT, completion_window: "24h" } as const;
  const ordered = (residency: string) =>
    by.client.batches.create(wish, { headers: { "x-causeway-residency": residency } });
  expect(await refused(ordered("on_prem"))).toEqual([400, "invalid_value"]);
  const batch = await until(by, (await ordered("on-prem")).id, "completed");
  expect(batch.request_counts).toMatchObject({ completed: 2 });
  expect([linesAsked("gpu").length, linesAsked("away").length]).toEqual([2, 0]);
  await until(by, (await by.client.batches.create(wish)).id, "completed");
  expect(linesAsked("away")).toHaveLength(2);
});

test("lines end with the trust in the issuer's key that their order came by", async () => {
  const sub = crypto.randomUUID();
  const client = clientWith(await second.sign({ aud: "second", sub, tier: "one" }));
  const by = { client, sub, account: `${SECOND}|${sub}` };
  const { host: slow, go } = holding(() => true);
  host("gpu").answer = slow;
  const made = await order(by, [line("i1"), line("i2"), line("i3")]);
  await vi.waitFor(() => expect(host("gpu").inFlight).toBe(1), SOON);
  second.answers.keys = () => Response.json({ keys: [{ ...second.publicJwk, kid: "another" }] });
  const purged = await gateway.ask("/admin/issuer-keys", { method: "DELETE", as: { groups: ["ai-admins"] } });
  expect(purged.status).toBe(200);
  const token = () => refused(by.client.batches.list().then());
  await vi.waitFor(async () => expect(await token()).toEqual([401, "invalid_api_key"]), SOON);
  go();
  await vi.waitFor(async () => expect((await shelfOf(by).batch(made.id))?.batch.status).toBe("cancelled"), SOON);
  const known = await shelfOf(by).batch(made.id);
  expect(known?.batch).toMatchObject({ completed: 1, failed: 2, errors: [{ code: "invalid_api_key" }] });
});

describe("files", () => {
  test("come back to the byte, however long their lines are, and are gone when they are deleted", async () => {
    const by = await user();
    const text = `${"\u00fc".repeat(1_700_000)}\r\n\n${"x".repeat(2_500_000)}`;
    const made = await by.client.files.create({ file: await toFile(Buffer.from(text), "in.jsonl"), purpose: "batch" });
    const bytes = new TextEncoder().encode(text).byteLength;
    expect(made).toMatchObject({ object: "file", bytes, filename: "in.jsonl", purpose: "batch", status: "processed" });
    expect(await by.client.files.retrieve(made.id)).toEqual(made);
    expect((await (await by.client.files.content(made.id)).text()) === text).toBe(true);
    expect(await by.client.files.delete(made.id)).toEqual({ id: made.id, object: "file", deleted: true });
    expect(await refused(by.client.files.content(made.id))).toEqual([404, "file_not_found"]);
    const left = await runInDurableObject(shelfOf(by), (_, { storage }) =>
      storage.sql.exec("SELECT COUNT(*) AS pieces FROM pieces").one(),
    );
    expect(left).toEqual({ pieces: 0 });
  });

  test("and batches are deleted a week after the end", async () => {
    const by = await user();
    const made = await order(by, [line("w1"), line("w2", { messages: [] })]);
    const batch = await until(by, made.id, "completed");
    const files = [batch.input_file_id, batch.output_file_id ?? "", batch.error_file_id ?? ""];
    for (const id of files) {
      const file = await by.client.files.retrieve(id);
      expect(file.expires_at).toBe(Math.floor(((batch.completed_at ?? 0) * 1_000 + KEPT_MS) / 1_000));
    }
    await runInDurableObject(shelfOf(by), (_, { storage: { sql } }) => {
      sql.exec("UPDATE files SET expires_ms = expires_ms - ?", KEPT_MS);
      sql.exec("UPDATE batches SET expires_ms = expires_ms - ?", KEPT_MS);
    });
    await runDurableObjectAlarm(shelfOf(by));
    for (const id of files) expect(await refused(by.client.files.retrieve(id))).toEqual([404, "file_not_found"]);
    expect(await refused(by.client.batches.retrieve(made.id))).toEqual([404, "batch_not_found"]);
  });

  test("and batches of somebody else are not there", async () => {
    const [by, other] = [await user(), (await user()).client];
    const made = await order(by, [line("o1")]);
    const batch = await until(by, made.id, "completed");
    const output = batch.output_file_id ?? "";
    const wish = { input_file_id: batch.input_file_id, endpoint: ENDPOINT, completion_window: "24h" } as const;
    const asked = [
      other.files.retrieve(output),
      other.files.content(output),
      other.files.delete(output),
      other.batches.create(wish),
      other.batches.retrieve(made.id),
      other.batches.cancel(made.id),
    ];
    const file = [404, "file_not_found"];
    const none = [404, "batch_not_found"];
    expect(await Promise.all(asked.map(refused))).toEqual([file, file, file, file, none, none]);
    expect((await other.batches.list()).data).toEqual([]);
    expect((await other.files.list()).data).toEqual([]);
  });

  test("are told apart page by page however many there were, of which an account keeps a thousand", async () => {
    const by = await user();
    const failed = await order(by, [line("a"), line("a")]);
    await until(by, failed.id, "failed");
    await runInDurableObject(shelfOf(by), (_, { storage: { sql } }) => {
      sql.exec(
        `INSERT INTO batches (id, ordered, batch, wake_ms, expires_ms)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
         SELECT 'batch_' || i, json_set(ordered, '$.id', 'batch_' || i), batch, wake_ms, expires_ms FROM n, batches`,
        MOST_BATCHES - 1,
      );
    });
    const page = await by.client.batches.list({ after: "batch_3", limit: 100 });
    expect(page.data.map(({ id }) => id)).toEqual(["batch_2", "batch_1", failed.id]);
    expect((await by.client.batches.list({ limit: 2 })).has_more).toBe(true);
    const wish = { input_file_id: failed.input_file_id, endpoint: ENDPOINT, completion_window: "24h" } as const;
    expect(await refused(by.client.batches.create(wish))).toEqual([409, "storage_full"]);
  });

  test("with a line of 3 MB: the batch fails, and with names of 600 kB each line does", async () => {
    const by = await user();
    const large = await order(by, [line("a", { model: "m".repeat(3_000_000) })]);
    expect((await until(by, large.id, "failed")).errors?.data?.map(({ code }) => code)).toEqual(["line_too_long"]);
    const names = ["a", "b", "c", "d", "e"].map((id) => line(id, { model: id.repeat(600_000) }));
    const made = await order(by, names);
    const batch = await until(by, made.id, "completed");
    expect(batch.request_counts).toEqual({ total: 5, completed: 0, failed: 5 });
  });

  test("with wrong lines: the batch fails, says which, and nothing is run", async () => {
    const by = await user();
    Object.assign(host("gpu"), { asked: [] });
    const made = await order(by, [line("a"), line("a"), line("b", { stream: true }), line("c", {}, { method: "GET" })]);
    const batch = await until(by, made.id, "failed");
    expect(batch.errors?.object).toBe("list");
    expect(batch.errors?.data?.map((error) => [error.line, error.code, error.param])).toEqual([
      [2, "duplicate_custom_id", "custom_id"],
      [3, "stream_not_supported", "body.stream"],
      [4, "invalid_request_line", "method"],
    ]);
    expect(batch).toMatchObject({ output_file_id: null, error_file_id: null, request_counts: { total: 0 } });
    expect(linesAsked("gpu")).toEqual([]);
  });

  describe("that are none", () => {
    const form = (...fields: readonly (readonly [string, string | Blob])[]): FormData => {
      const made = new FormData();
      for (const [name, value] of fields) {
        if (typeof value === "string") made.append(name, value);
        else made.append(name, value, "in.jsonl");
      }
      return made;
    };
    const file = (text: string | Uint8Array<ArrayBuffer> = "{}") => ["file", new Blob([text])] as const;
    const purpose = ["purpose", "batch"] as const;
    test.each<{ name: string; body: () => FormData | string; headers?: Record<string, string>; is: unknown }>([
      {
        name: "no form",
        body: () => "{}",
        headers: { "content-type": "application/json" },
        is: [415, "unsupported_media_type"],
      },
      {
        name: "no boundary",
        body: () => "x",
        headers: { "content-type": "multipart/form-data" },
        is: [415, "unsupported_media_type"],
      },
      {
        name: "a broken form",
        body: () => "x",
        headers: { "content-type": "multipart/form-data; boundary=b" },
        is: [400, "invalid_value"],
      },
      { name: "no purpose", body: () => form(file()), is: [400, "invalid_value"] },
      { name: "another purpose", body: () => form(file(), ["purpose", "assistants"]), is: [400, "invalid_value"] },
      { name: "no file", body: () => form(purpose), is: [400, "invalid_value"] },
      { name: "text for a file", body: () => form(["file", "x"], purpose), is: [400, "invalid_value"] },
      { name: "two files", body: () => form(file(), file(), purpose), is: [400, "invalid_value"] },
      { name: "an unknown field", body: () => form(file(), purpose, ["x", "y"]), is: [400, "invalid_value"] },
      { name: "an empty file", body: () => form(file(""), purpose), is: [400, "invalid_value"] },
      { name: "too many lines", body: () => form(file("x\n".repeat(10_001)), purpose), is: [400, "invalid_value"] },
      {
        name: "too many bytes",
        body: () => form(file(new Uint8Array(20_000_001)), purpose),
        is: [413, "request_too_large"],
      },
    ])("$name", async ({ body, headers = {}, is }) => {
      const authorization = `Bearer ${await gateway.issuer.sign({ sub: "uploader" })}`;
      const init = { method: "POST", headers: { ...headers, authorization }, body: body() };
      const response = await exports.default.fetch("http://x/v1/files", init);
      const { error } = (await response.json()) as { error: { code: string } };
      expect([response.status, error.code]).toEqual(is);
    });

    test("and no more of them in a second than questions", async () => {
      const headers = { "cf-connecting-ip": "198.51.100.77", "content-type": "text/plain" };
      const body = "x";
      const answers = await Promise.all(
        Array.from({ length: 125 }, () => gateway.ask("/v1/files", { as: { sub: "uploader" }, headers, body })),
      );
      const codes = await Promise.all(
        answers.map(async (answer) => ((await answer.json()) as { error: { code: string } }).error.code),
      );
      expect(codes).toContain("address_rate_exceeded");
      expect(codes).toContain("unsupported_media_type");
    });

    test("more at once than one caller needs: each is held in memory", async () => {
      const authorization = `Bearer ${await gateway.issuer.sign({ sub: crypto.randomUUID() })}`;
      const headers = { authorization, "content-type": "multipart/form-data; boundary=b" };
      const opening = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n{}\r\n';
      const rest = '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n';
      const utf8 = new TextEncoder();
      const uploads = [1, 2].map(() => {
        const { readable, writable } = new IdentityTransformStream();
        const writer = writable.getWriter();
        const answer = exports.default.fetch("http://x/v1/files", { method: "POST", headers, body: readable });
        return { writer, answer, opened: writer.write(utf8.encode(opening)) };
      });
      await Promise.all(uploads.map(({ opened }) => opened));
      const upload = () =>
        exports.default.fetch("http://x/v1/files", { method: "POST", headers, body: opening + rest });
      const third = await upload();
      expect([third.status, ((await third.json()) as { error: { code: string } }).error.code]).toEqual([
        429,
        "rate_limit_exceeded",
      ]);
      for (const { writer, answer } of uploads) {
        await writer.write(utf8.encode(rest));
        await writer.close();
        expect((await answer).status).toBe(200);
      }
      expect((await upload()).status).toBe(200);
    });

    test("a body without an end is read no further than the largest file", async () => {
      let sentBytes = 0;
      const opening = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n';
      const endless = new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode(opening));
        },
        pull(controller) {
          sentBytes += 1_000_000;
          controller.enqueue(new Uint8Array(1_000_000));
        },
      });
      const authorization = `Bearer ${await gateway.issuer.sign({ sub: "uploader" })}`;
      const headers = { authorization, "content-type": "multipart/form-data; boundary=b" };
      const response = await exports.default.fetch("http://x/v1/files", { method: "POST", headers, body: endless });
      expect(response.status).toBe(413);
      await response.text();
      expect(sentBytes).toBeLessThan(25_000_000);
    });
  });

  test.each<{ name: string; wish: Record<string, unknown>; is: unknown }>([
    { name: "no such file", wish: {}, is: [404, "file_not_found"] },
    { name: "an endpoint that is not run in batches", wish: { endpoint: "/v1/responses" }, is: [400, "invalid_value"] },
    { name: "another window", wish: { completion_window: "48h" }, is: [400, "invalid_value"] },
    { name: "metadata that is no text", wish: { metadata: { a: 1 } }, is: [400, "invalid_value"] },
    { name: "a field that there is not", wish: { priority: 9 }, is: [400, "invalid_value"] },
  ])("a batch of $name", async ({ wish, is }) => {
    const wanted = { input_file_id: "file-unknown", endpoint: ENDPOINT, completion_window: "24h", ...wish };
    const response = await gateway.ask("/v1/batches", { body: wanted });
    const { error } = (await response.json()) as { error: { code: string } };
    expect([response.status, error.code]).toEqual(is);
  });

  test("a caller who may not ask a model may not order a batch for it", async () => {
    const body = { input_file_id: "file-unknown", endpoint: ENDPOINT, completion_window: "24h" };
    const as = { groups: ["ai-monitoring"] };
    for (const path of ["/v1/batches", "/v1/files"]) {
      const response = await gateway.ask(path, path === "/v1/batches" ? { as, body } : { as });
      expect(response.status).toBe(403);
    }
  });
});
