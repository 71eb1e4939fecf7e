/**
 * Every way to a host against a real server, over real sockets: plain, through a door that stands where Cloudflare Access
 * and cloudflared stand, and through a binding where a Workers VPC binding stands. What the host did is its own truth.
 */
import { afterAll, afterEach, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { CATALOG, type Gateway, startGateway } from "#test/support/gateway.ts";
import type { Ways } from "#test/support/ways.ts";

const ways: Ways = inject("ways");
const at = (id: string, reach: object, more: object = {}) => ({ id, engine: "vllm", slots: 8, reach, ...more });
const access = (url: string) => ({ via: "access", url });
const vpc = (binding: string, hostname = "engine.internal") => ({
  via: "vpc",
  binding,
  url: `http://${hostname}:8000`,
});
const HOSTS = [
  at("direct", { via: "direct", url: ways.lab }),
  at("access", access(ways.door)),
  at("vpc", vpc("LAB_VPC")),
  at("login", access(ways.login)),
  at("forbidden", access(ways.forbidden)),
  at("unauthorized", access(ways.unauthorized)),
  at("locked", { via: "direct", url: ways.locked }, { keyFrom: "VLLM_API_KEY" }),
  at("orphan", access(ways.orphan)),
  at("vpc-dns", vpc("BROKEN_VPC", "dns-error")),
  at("spare", { via: "direct", url: ways.lab }, { backup: true }),
];
const as = "org/lab";
const catalog = {
  ...CATALOG,
  hosts: HOSTS,
  models: HOSTS.flatMap(({ id }) => [
    { id, served: [{ host: id, as }] },
    ...(id === "spare"
      ? []
      : [
          {
            id: `${id}-or-spare`,
            served: [
              { host: id, as },
              { host: "spare", as },
            ],
          },
        ]),
  ]),
};

let gateway: Gateway;
const lines: string[] = [];
beforeAll(async () => {
  vi.spyOn(console, "error").mockReturnValue();
  vi.spyOn(console, "log").mockImplementation((line: unknown) => void lines.push(String(line)));
  const real = globalThis.fetch;
  gateway = await startGateway(catalog);
  const others = vi.mocked(globalThis.fetch).getMockImplementation() ?? real;
  const shut = [ways.login, ways.forbidden, ways.unauthorized, ways.orphan];
  vi.mocked(globalThis.fetch).mockImplementation(async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    // Three probes would take a host out, and what a request makes of it is the question here.
    if (shut.some((base) => url === `${base}/health`)) return new Response("ok");
    return Object.values(ways).some((base) => url.startsWith(`${base}/`)) ? real(input, init) : others(input, init);
  });
  // The first question of all waits for the fleet's first look at every host.
  await (await chat("direct", 1)).text();
  await forget();
}, 30_000);
afterEach(forget);
afterAll(() => {
  vi.restoreAllMocks();
});

type Truth = { requestId: string; ended: string | null; completionTokens: number };
type Noted = { path: string; headers: Record<string, string> };

const lab = async <T>(method: string, what: string, body?: object): Promise<T> =>
  (await fetch(`${ways.lab}/lab/${what}`, { method, ...(body && { body: JSON.stringify(body) }) })).json();
const tunnel = (state: string) =>
  fetch(`${ways.door}/lab/tunnel`, { method: "POST", body: JSON.stringify({ state }) }).then((reply) => reply.text());

async function forget(): Promise<void> {
  for (const what of ["fault", "truth", "requests"]) await lab("DELETE", what);
  await tunnel("up");
}

function chat(model: string, tokens: number, more: { stream?: boolean; signal?: AbortSignal } = {}): Promise<Response> {
  const { signal, ...rest } = more;
  const body = { model, messages: [{ role: "user", content: `say it [[tokens=${tokens}]]` }], ...rest };
  return gateway.ask("/v1/chat/completions", { body, ...(signal && { signal }) });
}

/** Tries until the lab's truth of the only generation fits. */
async function truthOnce(fits: (truth: Truth) => boolean): Promise<Truth> {
  for (let tries = 0; tries < 200; tries++) {
    const [truth] = await lab<Truth[]>("GET", "truth");
    if (truth !== undefined && fits(truth)) return truth;
    await scheduler.wait(10);
  }
  throw new Error(`the lab says ${JSON.stringify(await lab("GET", "truth"))}`);
}

const running = async () => (await lab<{ running: number }>("GET", "load")).running;

describe.each(["direct", "access", "vpc"])("reached by %s", (model) => {
  test("a whole answer comes from the host", async () => {
    const response = await chat(model, 5);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-causeway-host")).toBe(model);
    expect(await response.json()).toMatchObject({ usage: { completion_tokens: 5 } });
    expect(await truthOnce(() => true)).toMatchObject({
      requestId: response.headers.get("x-request-id"),
      ended: "stop",
    });
  });

  test("a stream comes event by event, while the host is still at it", async () => {
    const response = await chat(model, 120, { stream: true });
    let text = "";
    let reads = 0;
    let wasAtIt = false;
    for await (const piece of response.body ?? []) {
      text += new TextDecoder().decode(piece);
      reads += 1;
      if (reads === 2) wasAtIt = (await truthOnce(() => true)).ended === null;
    }
    expect(wasAtIt).toBe(true);
    expect(text).toMatch(/data: \[DONE\]\n\n$/);
    // 120 tokens in 600 ms, 25 KB: what is buffered on the way comes in seven pieces or so.
    expect(reads).toBeGreaterThan(15);
  });

  test("a caller who leaves a stream stops the host, and its slot is free", async () => {
    const response = await chat(model, 4_000, { stream: true });
    const reader = response.body?.getReader();
    for (let reads = 0; reads < 5; reads++) await reader?.read();
    await reader?.cancel();
    const truth = await truthOnce(({ ended }) => ended !== null);
    expect(truth.ended).toBe("aborted");
    expect(truth.completionTokens).toBeLessThan(1_000);
    expect(await running()).toBe(0);
  });

  test("a caller who leaves before the answer stops the host as well", async () => {
    const leaving = new AbortController();
    const asking = chat(model, 4_000, { signal: leaving.signal }).catch(() => null);
    await truthOnce(({ ended }) => ended === null);
    leaving.abort();
    expect((await truthOnce(({ ended }) => ended !== null)).ended).toBe("aborted");
    expect(await running()).toBe(0);
    await asking;
  });

  test("a stream that the host breaks off is never taken for a whole one", async () => {
    await lab("POST", "fault", { kind: "cut-after", afterTokens: 5, times: 1 });
    const text = await (await chat(model, 60, { stream: true })).text();
    expect(text).toContain('"error":{');
    expect(text).not.toContain("[DONE]");
  });
});

test("the service token ends at the door, and the engine is handed what the edge signed", async () => {
  await chat("access", 2);
  await chat("direct", 2);
  const seen = (await lab<Noted[]>("GET", "requests")).filter(({ path }) => path === "/v1/chat/completions");
  const access = seen.map(({ headers }) => Object.keys(headers).filter((name) => name.startsWith("cf-access")));
  expect(access).toEqual([["cf-access-jwt-assertion"], []]);
});

/** The log line of a response. */
function lineOf(response: Response): { code?: string; cause?: string } {
  const line = lines.find((text) => text.includes(`"requestId":"${response.headers.get("x-request-id")}"`));
  return JSON.parse(line ?? "{}");
}

describe.each<{ what: string; host: string; state?: string; code: string; says: RegExp; cause: RegExp }>([
  {
    what: "Access shows its login page",
    host: "login",
    code: "upstream_refused",
    says: /Access refused the gateway's service token/,
    cause: /302/,
  },
  {
    what: "Access forbids it",
    host: "forbidden",
    code: "upstream_refused",
    says: /Access refused the gateway's service token/,
    cause: /403 text\/html/,
  },
  {
    what: "Access says 401",
    host: "unauthorized",
    code: "upstream_refused",
    says: /Access refused the gateway's service token/,
    cause: /401 text\/html/,
  },
  {
    what: "the engine refuses its own key",
    host: "locked",
    code: "upstream_refused",
    says: /keyFrom/,
    cause: /401 application\/json$/,
  },
  {
    what: "no tunnel is connected",
    host: "access",
    state: "down",
    code: "upstream_error",
    says: /failed/,
    cause: /530.*1033/,
  },
  {
    what: "the edge gave up waiting",
    host: "access",
    state: "silent",
    code: "upstream_error",
    says: /failed/,
    cause: /524/,
  },
  {
    what: "cloudflared cannot reach the engine",
    host: "orphan",
    code: "upstream_error",
    says: /failed/,
    cause: /502.*tunnel/,
  },
  {
    what: "the tunnel resolves nothing",
    host: "vpc-dns",
    code: "upstream_error",
    says: /failed/,
    cause: /VpcFailure: dns_error: .*quic/,
  },
])("$what", ({ host, state, code, says, cause }) => {
  test.each([false, true])("is told in our own words (stream: %s)", async (stream) => {
    if (state !== undefined) await tunnel(state);
    const response = await chat(host, 5, { stream });
    const { error } = await response.json<{ error: { code: string; message: string } }>();
    expect([response.status, error.code]).toEqual([502, code]);
    expect(error.message).toMatch(says);
    expect(lineOf(response).cause).toMatch(cause);
    expect(JSON.stringify(error)).not.toMatch(/<|127\.0\.0\.1|cdn-cgi/);
    expect(await lab("GET", "truth")).toEqual([]);
  });

  test("costs the caller nothing where another host serves the model", async () => {
    if (state !== undefined) await tunnel(state);
    const response = await chat(`${host}-or-spare`, 5);
    expect([response.status, response.headers.get("x-causeway-host")]).toEqual([200, "spare"]);
  });
});
