import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Catalog, Model } from "#src/catalog/schema.ts";
import { mirror, type Shadows } from "#src/ingress/shadow.ts";
import { HOST, valid } from "#test/catalog/catalog-of.ts";
import { question } from "#test/upstream/asked.ts";

const HOSTS = [
  HOST,
  { ...HOST, id: "trial", keyFrom: "VLLM_API_KEY", reach: { via: "direct", url: "http://trial.test" } },
  { ...HOST, id: "cloud", engine: "openai", reach: { via: "direct", url: "http://cloud.test" } },
  { ...HOST, id: "native", engine: "llamacpp", native: true, reach: { via: "direct", url: "http://native.test" } },
];

function shadowed(...shadow: object[]): { catalog: Catalog; model: Model } {
  const catalog = valid({ hosts: HOSTS, models: [{ id: "m", served: [{ host: "gpu", as: "old" }], shadow }] });
  const [model] = catalog.models;
  if (model === undefined) throw new Error("a catalog of one model");
  return { catalog, model };
}
const TO_TRIAL = shadowed({ host: "trial", as: "new" });

type Sent = { url: string; headers: Headers; body: unknown; signal: AbortSignal | null | undefined };
let sent: Sent[];
let answer: (sent: Sent) => Response | Promise<Response>;
let logged: { mock: { calls: unknown[][] } };

beforeEach(() => {
  sent = [];
  answer = () => Response.json({ choices: [] });
  logged = vi.spyOn(console, "error").mockReturnValue();
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const one = {
      url: String(input),
      headers: new Headers(init?.headers),
      body: JSON.parse(String(init?.body)),
      signal: init?.signal,
    };
    sent.push(one);
    return answer(one);
  });
});
afterEach(() => {
  vi.restoreAllMocks();
});

type Mirrored = { taken: string[]; outcomes: unknown[]; running: Shadows; deferred: Promise<void>[] };

/** Mirrors one question; what is deferred is not awaited. */
function mirroring(
  { catalog, model }: { catalog: Catalog; model: Model },
  {
    asked = question("chat", { user: "u" }),
    onlyOnPrem = false,
    chance = 0,
    free = true,
    running = new Map<string, number>(),
    withinMs = 5_000,
  } = {},
): Mirrored {
  const mirrored: Mirrored = { taken: [], outcomes: [], running, deferred: [] };
  mirror({ env, catalog, defer: (work) => mirrored.deferred.push(work) }, asked, model, onlyOnPrem, {
    running,
    random: () => chance,
    take: async ({ host, served }) => {
      mirrored.taken.push(`${host.id}:${served.as}`);
      return free ? { finish: (outcome) => mirrored.outcomes.push(outcome) } : null;
    },
    withinMs,
  });
  return mirrored;
}

async function mirrored(...asked: Parameters<typeof mirroring>): Promise<Mirrored> {
  const under = mirroring(...asked);
  await Promise.all(under.deferred);
  expect(under.running.size).toBe(0);
  return under;
}

test("the same question goes out under the other name, as nobody's, behind the response", async () => {
  const under = mirroring(TO_TRIAL);
  // Nothing was made yet, nor any slot asked for: the response goes first.
  expect([under.taken, sent]).toEqual([[], []]);
  await Promise.all(under.deferred);
  expect(under).toMatchObject({ taken: ["trial:new"], outcomes: [{ kind: "ok", ttftMs: null, tokensPerS: null }] });
  expect(sent.map(({ url, body }) => ({ url, body }))).toEqual([
    {
      url: "http://trial.test/v1/chat/completions",
      body: { ...question("chat", { user: "u" }).body, model: "new" },
    },
  ]);
  const names = [...(sent[0]?.headers.keys() ?? [])];
  expect(names.sort()).toEqual(["accept", "accept-encoding", "authorization", "content-type", "x-request-id"]);
  expect(logged.mock.calls).toEqual([]);
});

test("a stream is asked for as one and read to its end", async () => {
  let pulls = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (++pulls > 3) controller.close();
      else controller.enqueue(new Uint8Array(8));
    },
  });
  answer = () => new Response(body);
  const { outcomes } = await mirrored(TO_TRIAL, { asked: question("chat", { stream: true }) });
  expect(outcomes).toMatchObject([{ kind: "ok" }]);
  expect(pulls).toBe(4);
  expect(sent[0]?.headers.get("accept")).toBe("text/event-stream");
});

describe("who is copied", () => {
  const part = shadowed({ host: "trial", as: "new", sample: 0.25 });
  const both = shadowed({ host: "trial", as: "new" }, { host: "cloud", as: "gpt" });
  test.each<{ name: string; of: typeof part; more: object; urls: string[] }>([
    { name: "within the sample", of: part, more: { chance: 0.249 }, urls: ["trial"] },
    { name: "beyond the sample", of: part, more: { chance: 0.25 }, urls: [] },
    { name: "a sample of none", of: shadowed({ host: "trial", as: "n", sample: 0 }), more: { chance: 0 }, urls: [] },
    { name: "all", of: TO_TRIAL, more: { chance: 0.999_999 }, urls: ["trial"] },
    { name: "to every shadow", of: both, more: {}, urls: ["trial", "cloud"] },
    { name: "nothing to the cloud of what stays at home", of: both, more: { onlyOnPrem: true }, urls: ["trial"] },
    { name: "nobody while no slot is free", of: TO_TRIAL, more: { free: false }, urls: [] },
    { name: "nobody without shadows", of: shadowed(), more: {}, urls: [] },
  ])("$name", async ({ of, more, urls }) => {
    const { taken } = await mirrored(of, more);
    expect(sent.map(({ url }) => new URL(url).hostname)).toEqual(urls.map((host) => `${host}.test`));
    if ("onlyOnPrem" in more) expect(taken).toEqual(["trial:new"]);
  });

  test("a host that the catalog does not have any more", async () => {
    const { catalog, model } = TO_TRIAL;
    await mirrored({ model, catalog: { ...catalog, hosts: catalog.hosts.filter(({ id }) => id !== "trial") } });
    expect(sent).toEqual([]);
  });
});

describe("what becomes of it is the host's affair, and a line in the log", () => {
  const said = (status: number, headers = {}) =>
    Response.json({ error: { message: "the prompt was: hi" } }, { status, headers });
  test.each<{ name: string; reply: () => Response | Promise<Response>; outcome: object }>([
    { name: "busy", reply: () => said(503, { "retry-after": "7" }), outcome: { kind: "busy", forMs: 7_000 } },
    { name: "broken", reply: () => said(500), outcome: { kind: "failed" } },
    { name: "not let in", reply: () => said(401), outcome: { kind: "failed" } },
    { name: "the question's own mistake", reply: () => said(400), outcome: { kind: "neither" } },
    { name: "unreachable", reply: () => Promise.reject(new Error("no connection")), outcome: { kind: "failed" } },
    {
      name: "gone in the middle",
      reply: () => new Response(new ReadableStream({ pull: (controller) => controller.error(new Error("gone")) })),
      outcome: { kind: "failed" },
    },
  ])("$name", async ({ reply, outcome }) => {
    answer = reply;
    expect((await mirrored(TO_TRIAL)).outcomes).toEqual([outcome]);
    const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines).toMatchObject([{ at: "shadow", model: "m", host: "trial" }]);
    expect(JSON.stringify(lines)).not.toContain("hi");
  });

  test("one that cannot do what is asked is not asked, and takes no slot", async () => {
    const of = shadowed({ host: "native", as: "new" });
    const asked = question("chat", { tools: [{ type: "function" }] });
    expect(await mirrored(of, { asked })).toMatchObject({ taken: [], outcomes: [] });
    expect([sent.length, logged.mock.calls.length]).toEqual([0, 1]);
  });
});

describe("bounds", () => {
  const MIB = 1024 * 1024;

  test("an answer of 16 MiB is read for 4, and hung up on", async () => {
    let given = 0;
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        given += MIB;
        if (given > 16 * MIB) controller.close();
        else controller.enqueue(new Uint8Array(MIB));
      },
      cancel() {
        cancelled = true;
      },
    });
    answer = () => new Response(body);
    expect((await mirrored(TO_TRIAL)).outcomes).toEqual([{ kind: "neither" }]);
    expect(cancelled).toBe(true);
    expect(given).toBeLessThanOrEqual(7 * MIB);
  });

  /** Ends as a fetch does that is aborted. */
  const until = (signal: Sent["signal"]) =>
    new Promise<never>((_resolve, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));

  test("a host that says nothing in time has failed; one that was still answering has not", async () => {
    answer = ({ signal }) => until(signal);
    expect((await mirrored(TO_TRIAL, { withinMs: 30 })).outcomes).toEqual([{ kind: "failed" }]);
    answer = ({ signal }) => new Response(new ReadableStream({ pull: () => until(signal) }));
    expect((await mirrored(TO_TRIAL, { withinMs: 30 })).outcomes).toEqual([{ kind: "neither" }]);
  });

  test("twenty at once, and no more; those that never ended are forgotten", async () => {
    const held = Promise.withResolvers<void>();
    answer = async () => {
      await held.promise;
      return Response.json({});
    };
    const running: Shadows = new Map();
    const all = Array.from({ length: 25 }, () => mirroring(TO_TRIAL, { running }));
    await vi.waitFor(() => expect(sent).toHaveLength(20));
    await scheduler.wait(20);
    expect([sent.length, running.size]).toEqual([20, 20]);
    held.resolve();
    await Promise.all(all.flatMap(({ deferred }) => deferred));
    expect([sent.length, running.size]).toEqual([20, 0]);

    for (let at = 0; at < 20; at++) running.set(`lost-${at}`, Date.now() - 41_000);
    await mirrored(TO_TRIAL, { running });
    expect(sent).toHaveLength(21);
  });
});
