import { describe, expect, test, vi } from "vitest";
import type { Host } from "#src/catalog/schema.ts";
import { UNKNOWN_LOAD } from "#src/fleet/load.ts";
import { type Probed, probe } from "#src/fleet/probe.ts";
import type { Ask } from "#src/upstream/reach.ts";
import { catalogOf, valid } from "#test/catalog/catalog-of.ts";

/** What a host answers, by path; what is not here is 404. */
type Answers = Readonly<Record<string, () => Response | Promise<Response>>>;
type Asked = { readonly path: string; readonly init: RequestInit };

const ok =
  (body: unknown = null) =>
  () =>
    new Response(typeof body === "string" ? body : JSON.stringify(body));
const status =
  (code: number, body: string | null = null) =>
  () =>
    new Response(body, { status: code });
const gone = (): never => {
  throw new TypeError("Network connection lost.");
};
const hangs = () => new Promise<never>(() => {});
const llama = (message: string) => JSON.stringify({ error: { code: 503, message, type: "unavailable_error" } });
const listOf = (...ids: string[]) => ok({ object: "list", data: ids.map((id) => ({ id, object: "model" })) });

function hostWith(changed: object = {}): Host {
  const [host] = valid(catalogOf({ host: { slots: 4, ...changed } })).hosts;
  if (host === undefined) throw new Error("a catalog has a host");
  return host;
}
const LLAMA = { engine: "llamacpp" };
const NATIVE = { engine: "llamacpp", native: true };
const CLOUD = { engine: "openai" };

async function probed(
  answers: Answers,
  { host = {}, canary = null }: { host?: object; canary?: string | null } = {},
): Promise<{ found: Probed; asked: Asked[] }> {
  const asked: Asked[] = [];
  const ask: Ask = async (path, init) => {
    asked.push({ path, init });
    return (answers[path] ?? status(404))();
  };
  return { found: await probe(hostWith(host), ask, canary), asked };
}
const paths = (asked: readonly Asked[]) => asked.map(({ path }) => path);

describe("health", () => {
  test.each<{ name: string; health: Answers[string]; result: string; reason: string | null }>([
    { name: "vLLM's 200, empty", health: ok(""), result: "healthy", reason: null },
    { name: "llama.cpp's 200", health: ok({ status: "ok" }), result: "healthy", reason: null },
    {
      name: "llama.cpp loading",
      health: status(503, llama("Loading model")),
      result: "loading",
      reason: "loading its model",
    },
    { name: "vLLM dead", health: status(503), result: "failed", reason: "status 503" },
    {
      name: "llama.cpp, another 503",
      health: status(503, llama("no slot available")),
      result: "failed",
      reason: "status 503",
    },
    {
      name: "a page that says 503 and loading",
      health: status(503, "<html>Loading model</html>"),
      result: "failed",
      reason: "status 503",
    },
    {
      name: "a tunnel's 502",
      health: status(502, "<html>"),
      result: "failed",
      reason: "status 502: the tunnel, or a proxy, cannot reach the engine",
    },
    {
      name: "no tunnel",
      health: status(530, "error code: 1033"),
      result: "failed",
      reason: "status 530: the edge has no tunnel to the host (Cloudflare error 1033)",
    },
    {
      name: "a login page with 200",
      health: ok("<html><h1>Sign in</h1>"),
      result: "failed",
      reason: "status 200: the door before it refused the gateway",
    },
    { name: "404: not an engine", health: status(404), result: "failed", reason: "status 404" },
    { name: "204: not an engine", health: status(204), result: "failed", reason: "status 204" },
    {
      name: "Access's login page",
      health: () => Response.redirect("https://team.example.com/", 302),
      result: "failed",
      reason: "status 302: the door before it refused the gateway",
    },
    { name: "a host that cannot be reached", health: gone, result: "failed", reason: "no connection" },
  ])("$name is $result", async ({ health, result, reason }) => {
    const { found, asked } = await probed({ "/health": health }, { host: LLAMA, canary: "m" });
    expect(found).toEqual({ result, reason, load: UNKNOWN_LOAD, serves: null, slots: null });
    // Of one that is not well nothing more is asked, least of all a token.
    if (result !== "healthy") expect(paths(asked)).toEqual(["/health"]);
  });

  test.each<{ name: string; ask: Ask; reason: string }>([
    {
      name: "without a way to it",
      ask: () => {
        throw new Error("no binding CPU_VPC");
      },
      reason: "no connection",
    },
    { name: "that never answers", ask: hangs, reason: "no answer within 3 s" },
  ])("a host $name is failed", async ({ ask, reason }) => {
    vi.spyOn(scheduler, "wait").mockResolvedValue();
    expect(await probe(hostWith(), ask, null)).toMatchObject({ result: "failed", reason });
    vi.restoreAllMocks();
  });
});

const RUNNING = 'vllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_waiting{engine="0"} 1.0\n';
const PROCESSING = "llamacpp:requests_processing 1\nllamacpp:requests_deferred 2\n";
const SLOTS = [{ is_processing: true }, { is_processing: true }, { is_processing: false }];

describe("what it finds besides", () => {
  test.each<{ name: string; host?: object; answers: Answers; found: Partial<Probed>; asked: string[] }>([
    {
      name: "vLLM: load and names",
      answers: { "/metrics": ok(RUNNING), "/v1/models": listOf("org/M", "lora") },
      found: { load: { running: 3, waiting: 1, kvUsage: null }, serves: ["org/M", "lora"], slots: null },
      asked: ["/health", "/metrics", "/v1/models"],
    },
    {
      name: "llama.cpp: its slots too",
      host: LLAMA,
      answers: { "/metrics": ok(PROCESSING), "/props": ok({ total_slots: 2 }), "/v1/models": listOf("/m/l.gguf") },
      found: { load: { running: 1, waiting: 2, kvUsage: null }, serves: ["/m/l.gguf"], slots: 2 },
      asked: ["/health", "/metrics", "/props", "/v1/models"],
    },
    {
      name: "llama.cpp without metrics: what its slots do, and nothing of who waits",
      host: LLAMA,
      answers: { "/metrics": status(501, llama("not supported")), "/slots": ok(SLOTS) },
      found: { load: { running: 2, waiting: null, kvUsage: null } },
      asked: ["/health", "/metrics", "/slots", "/props", "/v1/models"],
    },
    {
      name: "llama.cpp whose metrics do not tell what runs",
      host: LLAMA,
      answers: { "/metrics": ok("llamacpp:requests_deferred 2"), "/slots": ok(SLOTS) },
      found: { load: { running: 2, waiting: 2, kvUsage: null } },
      asked: ["/health", "/metrics", "/slots", "/props", "/v1/models"],
    },
    {
      name: "native llama.cpp has no list of names",
      host: NATIVE,
      answers: { "/metrics": ok(PROCESSING), "/props": ok({ total_slots: 1 }), "/v1/models": listOf("m") },
      found: { serves: null, slots: 1 },
      asked: ["/health", "/metrics", "/props"],
    },
    {
      name: "a host that tells nothing is healthy and unknown",
      answers: {},
      found: { result: "healthy", load: UNKNOWN_LOAD, serves: null, slots: null },
      asked: ["/health", "/metrics", "/v1/models"],
    },
    {
      name: "one whose other routes break off, and lie",
      host: LLAMA,
      answers: { "/metrics": gone, "/slots": ok("[[["), "/props": ok({ total_slots: -1 }), "/v1/models": ok("<html>") },
      found: { result: "healthy", load: UNKNOWN_LOAD, serves: null, slots: null },
      asked: ["/health", "/metrics", "/slots", "/props", "/v1/models"],
    },
    {
      name: "metrics that go on for ever count as far as they were read, without the line that is cut",
      answers: {
        "/metrics": () => new Response(endless(`${RUNNING.replace("waiting", "swapped")}vllm:num_requests_waiting `)),
      },
      found: { load: { running: 3, waiting: null, kvUsage: null } },
      asked: ["/health", "/metrics", "/v1/models"],
    },
    {
      name: "a list of names that goes on for ever is none",
      answers: { "/v1/models": () => new Response(endless('{"object":"list","data":[')) },
      found: { serves: null },
      asked: ["/health", "/metrics", "/v1/models"],
    },
  ])("$name", async ({ host = {}, answers, found: expected, asked: order }) => {
    const { found, asked } = await probed({ "/health": ok(), ...answers }, { host });
    expect(found).toMatchObject({ result: "healthy", reason: null, ...expected });
    expect(paths(asked)).toEqual(order);
    expect(asked.every(({ init }) => init.method === "GET" && init.signal instanceof AbortSignal)).toBe(true);
  });

  test("what takes too long leaves no time for the rest", async () => {
    let nowMs = 1_790_000_000_000;
    vi.spyOn(Date, "now").mockImplementation(() => nowMs);
    const wait = scheduler.wait.bind(scheduler);
    vi.spyOn(scheduler, "wait").mockImplementation(async (ms, options) => {
      await wait(20, options);
      nowMs += ms;
    });
    const { found, asked } = await probed({ "/health": ok(), "/metrics": hangs, "/props": ok({ total_slots: 2 }) });
    vi.restoreAllMocks();
    expect(found).toMatchObject({ result: "healthy", load: UNKNOWN_LOAD });
    expect(paths(asked)).toEqual(["/health", "/metrics"]);
  });

  test("one question at a time", async () => {
    let underWay = 0;
    let most = 0;
    const slow: Ask = async () => {
      underWay += 1;
      most = Math.max(most, underWay);
      await scheduler.wait(1);
      underWay -= 1;
      return new Response();
    };
    await probe(hostWith(LLAMA), slow, "m");
    expect(most).toBe(1);
  });
});

function endless(beginning: string): ReadableStream<Uint8Array> {
  const text = new TextEncoder();
  let isFirst = true;
  return new ReadableStream({
    pull(controller) {
      controller.enqueue(text.encode(isFirst ? beginning : "0".repeat(10_000)));
      isFirst = false;
    },
  });
}

describe("a service that speaks OpenAI's protocol", () => {
  test.each<{ name: string; models: Answers[string]; found: Partial<Probed> }>([
    { name: "its list is its health", models: listOf("gpt-x"), found: { result: "healthy", serves: ["gpt-x"] } },
    { name: "a page of its list is no list", models: ok({ data: [], has_more: true }), found: { serves: null } },
    { name: "no list, and healthy", models: ok("hello"), found: { result: "healthy", serves: null } },
    { name: "a wrong key", models: status(401), found: { result: "failed", reason: "status 401" } },
    { name: "no service", models: gone, found: { result: "failed", reason: "no connection" } },
    { name: "asked too often: it is there", models: status(429), found: { result: "healthy", serves: null } },
    { name: "never loading", models: status(503, llama("Loading model")), found: { result: "failed" } },
  ])("$name", async ({ models, found: expected }) => {
    const { found, asked } = await probed({ "/v1/models": models }, { host: CLOUD });
    expect(found).toMatchObject({ load: UNKNOWN_LOAD, slots: null, ...expected });
    expect(paths(asked)).toEqual(["/v1/models"]);
  });
});

describe("a canary", () => {
  test.each<{ name: string; host?: object; path: string; body: object }>([
    { name: "vLLM", path: "/v1/completions", body: { model: "org/M", prompt: "Hi", max_tokens: 1 } },
    { name: "llama.cpp", host: LLAMA, path: "/v1/completions", body: { model: "org/M", prompt: "Hi", max_tokens: 1 } },
    { name: "native", host: NATIVE, path: "/completion", body: { prompt: "Hi", n_predict: 1, stream: false } },
    {
      name: "a service",
      host: CLOUD,
      path: "/v1/chat/completions",
      body: { model: "org/M", messages: [{ role: "user", content: "Hi" }], max_tokens: 1 },
    },
  ])("is one token of $name, asked for last", async ({ host = {}, path, body }) => {
    const answers = { "/health": ok(), "/v1/models": listOf("org/M"), [path]: ok({}) };
    const { found, asked } = await probed(answers, { host, canary: "org/M" });
    expect(found.result).toBe("healthy");
    const last = asked.at(-1);
    expect(last).toMatchObject({
      path,
      init: { method: "POST", headers: { "content-type": "application/json" } },
    });
    expect(JSON.parse(String(last?.init.body))).toEqual(body);
  });

  const CANARY = "/v1/completions";
  test.each<{ name: string; canary: Answers[string]; result: string; reason: string | null }>([
    { name: "a token", canary: ok({ choices: [] }), result: "healthy", reason: null },
    { name: "a refusal: the engine is there", canary: status(400), result: "healthy", reason: null },
    { name: "an unknown name", canary: status(404), result: "healthy", reason: null },
    { name: "too much to do", canary: status(429), result: "healthy", reason: null },
    { name: "no slot", canary: status(503), result: "healthy", reason: null },
    { name: "an embedding server", canary: status(501), result: "healthy", reason: null },
    { name: "an engine that fails", canary: status(500), result: "failed", reason: "canary: status 500" },
    { name: "a proxy before a hung one", canary: status(504), result: "failed", reason: "canary: status 504" },
    { name: "a broken connection", canary: gone, result: "failed", reason: "canary: no connection" },
  ])("$name", async ({ canary, result, reason }) => {
    const answers = { "/health": ok(), "/metrics": ok(RUNNING.replace("waiting", "-")), [CANARY]: canary };
    const { found } = await probed(answers, { canary: "org/M" });
    // What was found stays found.
    expect(found).toMatchObject({ result, reason, load: { running: 3 } });
  });

  test("a hung engine that calls itself healthy is failed", async () => {
    // Time flies as soon as the engine hangs.
    let isHanging = false;
    const wait = scheduler.wait.bind(scheduler);
    vi.spyOn(scheduler, "wait").mockImplementation((ms, options) => wait(ms === 10_000 ? 5 : ms, options));
    const { found } = await probed(
      {
        "/health": ok(),
        [CANARY]: () => {
          isHanging = true;
          return hangs();
        },
      },
      { canary: "org/M" },
    );
    vi.restoreAllMocks();
    expect(isHanging).toBe(true);
    expect(found).toMatchObject({ result: "failed", reason: "canary: no answer within 10 s" });
  });

  test.each<{ name: string; host?: object; answers: Answers }>([
    { name: "has as much to do as it has slots", host: { slots: 3 }, answers: { "/metrics": ok(RUNNING) } },
    { name: "has some waiting inside", answers: { "/metrics": ok(RUNNING) } },
    {
      name: "has fewer slots than the catalog says, all at work",
      host: LLAMA,
      answers: { "/metrics": ok("llamacpp:requests_processing 2"), "/props": ok({ total_slots: 2 }) },
    },
  ])("is not sent to a host that $name: in its line it would prove nothing", async ({ host = {}, answers }) => {
    const { found, asked } = await probed({ "/health": ok(), [CANARY]: gone, ...answers }, { host, canary: "org/M" });
    expect(found.result).toBe("healthy");
    expect(paths(asked)).not.toContain(CANARY);
  });

  test("is not sent when it is not due", async () => {
    const { asked } = await probed({ "/health": ok(), [CANARY]: gone });
    expect(paths(asked)).not.toContain(CANARY);
  });
});
