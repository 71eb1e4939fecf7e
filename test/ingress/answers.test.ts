import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { parseCatalog } from "#src/catalog/schema.ts";
import { newSnapshotMemory } from "#src/fleet/snapshot.ts";
import { UNSEEN } from "#src/fleet/view.ts";
import { answerStreamed } from "#src/ingress/answer-streamed.ts";
import { answerWhole } from "#src/ingress/answer-whole.ts";
import type { Asking } from "#src/ingress/ask-hosts.ts";
import { questionOf } from "#src/ingress/question.ts";
import { isolateOf } from "#src/isolate.ts";
import type { Lease } from "#src/limits/admission.ts";
import type { Problem } from "#src/problem.ts";
import type { InferenceEvent } from "#src/usage/event.ts";
import { eventWith } from "#test/support/events.ts";

const FIRST_TOKEN_MS = 60;
const FINISH = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n';
const STREAM = `data: {"choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}\n\n${FINISH}data: [DONE]\n\n`;
const WHOLE = { choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "hi" } }] };

type Host = (init: RequestInit) => Response | Promise<Response>;
const streaming: Host = () => new Response(STREAM, { headers: { "content-type": "text/event-stream" } });
const whole: Host = () => Response.json(WHOLE);
const refusing: Host = () =>
  Response.json({ error: { message: "no", type: "BadRequestError", code: 400 } }, { status: 400 });

let host: Host;
let logged: string[];
let signals: (AbortSignal | null | undefined)[];

beforeEach(() => {
  signals = [];
  logged = [];
  vi.spyOn(console, "error").mockImplementation((line) => void logged.push(String(line)));
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init = {}) => {
    // A probe is no question.
    if (String(input).endsWith("/chat/completions")) signals.push(init.signal);
    return host(init);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** A snapshot of just now: the next probe is in five seconds, and no host serves. */
function allDown() {
  const memory = newSnapshotMemory();
  const hosts = { gpu: { ...UNSEEN, state: "down" as const } };
  memory.snapshot = { ...memory.snapshot, view: { hosts, pairs: {} }, nextProbeAtMs: Date.now() + 5_000 };
  memory.askedAtMs = Date.now();
  return memory;
}

type Circumstances = {
  readonly confirmed?: boolean;
  readonly settles?: boolean;
  readonly queues?: boolean;
  readonly down?: boolean;
  readonly storeContent?: boolean;
};

/** An admitted question with a lease that the test holds. */
function admitted(stream: boolean, lease: Circumstances = {}) {
  const parsed = parseCatalog({
    hosts: [{ id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://gpu.test" } }],
    models: [
      {
        id: "m",
        served: [{ host: "gpu", as: "m" }],
        storeContent: lease.storeContent ?? false,
        deadlines: { firstToken: FIRST_TOKEN_MS, betweenTokens: 5_000, total: 5_000 },
      },
    ],
  });
  if (parsed.kind === "invalid") throw new Error(JSON.stringify(parsed.problems));
  const [model] = parsed.catalog.models;
  if (model === undefined) throw new Error("no model");
  const settled: InferenceEvent[] = [];
  const held: Parameters<Lease["hold"]>[0][] = [];
  const queued: unknown[] = [];
  const work: Promise<void>[] = [];
  const send = async (message: unknown) => {
    if (lease.queues === false) throw new Error("queue down");
    queued.push(message);
  };
  const arrivedAtMs = Date.now();
  const draft = eventWith({
    atMs: arrivedAtMs,
    outcome: "abandoned",
    estimated: true,
    promptTokens: 3,
    completionTokens: 0,
    hostMs: null,
    costMicros: null,
    priceVersion: null,
  });
  const asking: Asking = {
    call: {
      request: new Request("http://x/v1/chat/completions", { method: "POST" }),
      env: { ...env, USAGE: { send } } as never,
      isolate: lease.down === true ? { ...isolateOf(env), fleet: allDown() } : isolateOf(env),
      catalog: parsed.catalog,
      requestId: draft.id,
      arrivedAtMs,
      address: null,
      defer: (promise) => void work.push(promise),
      log: { requestId: draft.id, method: "POST", route: "/v1/chat/completions" },
      principal: {
        accountId: "a",
        userId: "u",
        tenant: null,
        tier: "default",
        roles: [],
        scopes: ["inference"],
        keyId: null,
      },
    },
    question: questionOf("chat", { model: "m", stream, messages: [{ role: "user", content: "hi" }] }),
    model,
    lease: {
      standings: { windows: [], slots: [] },
      confirmed: Promise.resolve(lease.confirmed ?? true),
      hold: (progress) => void held.push(progress),
      settle: async (event) => {
        if (lease.settles === false) throw new Error("object reset");
        settled.push(event);
      },
      release: () => Promise.reject(new Error("nobody is in the background here")),
    },
    draft,
    onlyOnPrem: false,
    keeping: null,
    headers: {},
    work: { turns: 0, askedAtMs: null, linedMs: null, placedBy: "fleet" },
  };
  /** Everything that was left for after the response. */
  const afterwards = async (): Promise<void> => {
    for (let done = 0; done < work.length; done++) await work[done];
  };
  return { answering: stream ? answerStreamed(asking) : answerWhole(asking), settled, queued, held, afterwards };
}

describe.each([
  { stream: true, good: streaming },
  { stream: false, good: whole },
])("stream: $stream", ({ stream, good }) => {
  test("an answer is settled once", async () => {
    host = good;
    const { answering, settled, afterwards } = admitted(stream);
    await (await answering).text();
    await afterwards();
    expect(settled).toMatchObject([{ outcome: "complete", host: "gpu" }]);
  });

  test("while it runs, the lease is held with what is known of it", async () => {
    host = good;
    const { answering, held, afterwards } = admitted(stream);
    await (await answering).text();
    await afterwards();
    const known = { host: "gpu", servedAs: "m", attempts: 1, promptTokens: 3, completionTokens: 1 };
    // A whole answer tells nothing until it is there.
    expect(held.map((progress) => progress())).toEqual([stream ? known : {}]);
  });

  test("the ledger has how long the host worked, and no content that the catalog does not store", async () => {
    host = async (init) => {
      await scheduler.wait(20);
      return good(init);
    };
    const { answering, settled, afterwards } = admitted(stream);
    await (await answering).text();
    await afterwards();
    expect(settled).toMatchObject([{ content: null, costMicros: null, priceVersion: null }]);
    expect(settled[0]?.hostMs).toBeGreaterThanOrEqual(19);
    expect(settled[0]?.hostMs).toBeLessThanOrEqual(settled[0]?.latencyMs ?? 0);
  });

  test("no byte leaves before the lease is durable: refused, the host hung up on, and settled", async () => {
    host = good;
    const { answering, settled, afterwards } = admitted(stream, { confirmed: false });
    await expect(answering).rejects.toMatchObject({ code: "limits_unavailable" });
    await afterwards();
    expect(signals.at(-1)?.aborted).toBe(true);
    expect(settled).toHaveLength(1);
  });

  test("what the engine refuses as wrong is settled as rejected", async () => {
    host = refusing;
    const { answering, settled, afterwards } = admitted(stream);
    await expect(answering).rejects.toMatchObject({ code: "invalid_value" });
    await afterwards();
    expect(settled).toMatchObject([{ outcome: "rejected", promptTokens: 0, completionTokens: 0, hostMs: null }]);
  });

  test("no healthy host: 503, with the time of the second probe from now, and settled", async () => {
    const { answering, settled, afterwards } = admitted(stream, { down: true });
    const thrown = await answering.then(
      () => null,
      (problem: unknown) => problem,
    );
    expect(thrown).toMatchObject({ code: "no_healthy_host", status: 503 });
    const { retryAfterS } = (thrown as Problem).facts;
    expect(retryAfterS).toBeGreaterThan(10);
    expect(retryAfterS).toBeLessThanOrEqual(17);
    await afterwards();
    expect(signals).toEqual([]);
    expect(settled).toMatchObject([{ outcome: "upstream_error", host: null, attempts: 0, promptTokens: 0 }]);
  });

  test("an account that cannot be reached any more is passed by: the event goes to the queue", async () => {
    host = good;
    const { answering, queued, afterwards } = admitted(stream, { settles: false });
    await (await answering).text();
    await afterwards();
    expect(queued).toMatchObject([{ event: { outcome: "complete" }, outbox: null }]);
  });
});

describe("an event that neither the account nor the queue takes", () => {
  test.each([true, false])("is in the log, and no word of what was said: stream %s", async (stream) => {
    host = stream ? streaming : whole;
    const { answering, settled, queued, afterwards } = admitted(stream, {
      settles: false,
      queues: false,
      storeContent: true,
    });
    await (await answering).text();
    await afterwards();
    expect([settled, queued]).toEqual([[], []]);
    const lines = logged.map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { at: "settle" },
      { at: "settle.lost", event: { outcome: "complete", content: null } },
    ]);
    expect(JSON.stringify(lines)).not.toMatch(/\bhi\b/);
  });
});

test("a caller who leaves leaves behind what was said until then", async () => {
  host = () => {
    const said = STREAM.slice(0, STREAM.indexOf(FINISH));
    const body = new ReadableStream({
      start: (stream) => stream.enqueue(new TextEncoder().encode(said)),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };
  const { answering, settled, afterwards } = admitted(true, { storeContent: true });
  const reader = (await answering).body?.getReader();
  await reader?.read();
  await reader?.cancel();
  await afterwards();
  const prompt = JSON.stringify([{ role: "user", content: "hi" }]);
  expect(settled).toMatchObject([{ outcome: "client_left", content: { prompt, response: "hi" } }]);
});

test("a host that was silent to the end may have worked: estimated, and not to be asked again by an SDK itself", async () => {
  host = ({ signal }) =>
    new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  const { answering, settled, afterwards } = admitted(true);
  await expect(answering).rejects.toMatchObject({
    code: "first_token_timeout",
    facts: { headers: { "x-should-retry": "false" } },
  });
  await afterwards();
  expect(settled).toMatchObject([{ outcome: "upstream_error", host: "gpu", promptTokens: 3, estimated: true }]);
  expect(settled[0]?.hostMs).toBeGreaterThanOrEqual(FIRST_TOKEN_MS - 1);
});

test("a whole answer that is late begins with white space and is the same document", async () => {
  const { promise, resolve } = Promise.withResolvers<Response>();
  host = () => promise;
  const { answering, settled, afterwards } = admitted(false);
  // Answered before the host has answered.
  const response = await answering;
  expect(settled).toHaveLength(0);
  resolve(Response.json(WHOLE));
  expect(await response.json()).toEqual(WHOLE);
  await afterwards();
  expect(settled).toMatchObject([{ outcome: "complete" }]);
});
