import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { app, ROUTES } from "#src/app.ts";
import type { Env } from "#src/env.ts";
import { type Asked, CHAT, type Gateway, startGateway } from "#test/support/gateway.ts";

const CHAT_PATH = "/v1/chat/completions";
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

let gateway: Gateway;
/** Every line that was logged. */
const logged: string[] = [];

beforeAll(async () => {
  gateway = await startGateway();
  for (const level of ["log", "error", "warn"] as const) {
    vi.spyOn(console, level).mockImplementation((...parts: unknown[]) => {
      logged.push(parts.join(" "));
    });
  }
});
afterAll(() => {
  vi.restoreAllMocks();
});

type Refused = { status: number; code: string; param: string | null; headers: Headers };

/** What holds for every refusal; the parts that differ. */
async function refusalOf(response: Response): Promise<Refused> {
  const text = await response.text();
  expect(response.headers.get("x-request-id")).toMatch(UUID_V7);
  expect(response.headers.get("cache-control")).toContain("no-store");
  expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  expect(text).not.toMatch(/\.ts:\d|\n\s+at |node_modules/);
  const { error } = JSON.parse(text) as {
    error: { message: string; type: string; param: string | null; code: string };
  };
  expect(error.message).toMatch(/\w/);
  expect(error.type).toMatch(/^[a-z_]+$/);
  return { status: response.status, code: error.code, param: error.param, headers: response.headers };
}

async function refusal(path: string, request?: Asked): Promise<Refused> {
  return refusalOf(await gateway.ask(path, request));
}

describe("404: there is nothing there", () => {
  test.each([
    "/",
    "/v1",
    "/v1/chat",
    "/v1/chat/completions/",
    "/v1/chat/completions/x.css",
    "/V1/models",
    "//v1/models",
    "/v1/models/",
    "/v1/%2e%2e/etc",
    "/health.css",
    "/health/",
    "/admin",
    "/favicon.ico",
    "/v1/../../etc/passwd",
  ])("%s", async (path) => {
    for (const method of ["GET", "POST"]) {
      const { status, body } = await gateway
        .ask(path, { method })
        .then(async (response) => ({ status: response.status, body: await response.text() }));
      expect(status).toBe(404);
      expect(JSON.parse(body)).toMatchObject(
        path.startsWith("/admin") ? { code: "unknown_url" } : { error: { code: "unknown_url" } },
      );
    }
  });
});

describe("405 with Allow", () => {
  test.each([
    { path: "/health", method: "POST", allow: "GET, HEAD" },
    { path: CHAT_PATH, method: "GET", allow: "POST" },
    { path: CHAT_PATH, method: "PUT", allow: "POST" },
    { path: CHAT_PATH, method: "OPTIONS", allow: "POST" },
    { path: "/v1/completions", method: "DELETE", allow: "POST" },
    { path: "/v1/tickets", method: "GET", allow: "POST" },
    { path: "/ws/chat/org/plain", method: "POST", allow: "GET, HEAD" },
    { path: "/v1/embeddings", method: "PATCH", allow: "POST" },
    { path: "/v1/models", method: "POST", allow: "GET, HEAD" },
    { path: "/v1/models/org/plain", method: "DELETE", allow: "GET, HEAD" },
  ])("$method $path", async ({ path, method, allow }) => {
    const { status, code, headers } = await refusal(path, { method, as: null });
    expect({ status, code, allow: headers.get("allow") }).toEqual({ status: 405, code: "method_not_allowed", allow });
  });
});

describe("401 with WWW-Authenticate", () => {
  test.each<{ name: string; request: Asked; challenge: string }>([
    { name: "no credential", request: { as: null }, challenge: 'Bearer realm="causeway"' },
    {
      name: "Basic",
      request: { headers: { authorization: "Basic eDp5" } },
      challenge: 'Bearer realm="causeway", error="invalid_token"',
    },
    {
      name: "a wrong token",
      request: { headers: { authorization: "Bearer a.b.c" } },
      challenge: 'Bearer realm="causeway", error="invalid_token"',
    },
    {
      name: "an expired one",
      request: { as: { exp: 1 } },
      challenge: 'Bearer realm="causeway", error="invalid_token"',
    },
    {
      name: "as many brackets for claims as fit",
      request: { headers: { authorization: `Bearer e30.${btoa("[".repeat(5_000)).replaceAll("=", "")}.c2ln` } },
      challenge: 'Bearer realm="causeway", error="invalid_token"',
    },
  ])("$name", async ({ request, challenge }) => {
    for (const path of ["/v1/models", CHAT_PATH]) {
      const { status, code, headers } = await refusal(path, path === CHAT_PATH ? { ...request, body: CHAT } : request);
      expect({ status, code, challenge: headers.get("www-authenticate") }).toEqual({
        status: 401,
        code: "invalid_api_key",
        challenge,
      });
    }
  });

  test("before the body is looked at", async () => {
    expect(await refusal(CHAT_PATH, { as: null, body: "no JSON" })).toMatchObject({ status: 401 });
  });
});

describe("403", () => {
  test.each<{ name: string; groups: unknown; path: string; request: Asked }>([
    { name: "no groups", groups: undefined, path: "/v1/models", request: {} },
    { name: "a monitor asks a model", groups: ["ai-monitoring"], path: CHAT_PATH, request: { body: CHAT } },
    { name: "a group nobody knows", groups: ["admins"], path: "/v1/models", request: {} },
  ])("$name", async ({ groups, path, request }) => {
    expect(await refusal(path, { ...request, as: { groups } })).toMatchObject({
      status: 403,
      code: "insufficient_permissions",
    });
  });
});

describe("400, 413, 415 and 404: the question is wrong", () => {
  const MIB = 1024 * 1024;
  test.each<{ name: string; path?: string; request: Asked; is: Partial<Refused> }>([
    { name: "no JSON", request: { body: "{" }, is: { status: 400, code: "invalid_json" } },
    { name: "an empty body", request: { method: "POST" }, is: { status: 400, code: "invalid_json" } },
    {
      name: "100,000 levels",
      request: { body: `{"a":${"[".repeat(100_000)}` },
      is: { status: 400, code: "invalid_json" },
    },
    {
      name: "a field",
      request: { body: { ...CHAT, temperature: 3 } },
      is: { status: 400, code: "invalid_value", param: "temperature" },
    },
    {
      name: "a field deep inside",
      request: { body: { ...CHAT, messages: [{ role: "x" }] } },
      is: { status: 400, code: "invalid_value", param: "messages.0.role" },
    },
    {
      name: "a field that is not for callers",
      request: { body: { ...CHAT, priority: 1 } },
      is: { status: 400, code: "unsupported_value", param: "priority" },
    },
    {
      name: "a model of another kind",
      request: { body: { ...CHAT, model: "embedder" } },
      is: { status: 400, code: "unsupported_value", param: "model" },
    },
    {
      name: "embeddings of a chat model",
      path: "/v1/embeddings",
      request: { body: { model: "cached", input: "x" } },
      is: { status: 400, code: "unsupported_value", param: "model" },
    },
    {
      name: "1 MiB and a byte",
      request: { body: new Uint8Array(MIB + 1) },
      is: { status: 413, code: "request_too_large" },
    },
    {
      name: "text",
      request: { body: "{}", headers: { "content-type": "text/plain" } },
      is: { status: 415, code: "unsupported_media_type" },
    },
    {
      name: "an unknown model",
      request: { body: { ...CHAT, model: "gpt-5" } },
      is: { status: 404, code: "model_not_found", param: "model" },
    },
    {
      name: "a model's name of 100 kB",
      request: { body: { ...CHAT, model: "m".repeat(100_000) } },
      is: { status: 404, code: "model_not_found" },
    },
    {
      name: "an unknown model's page",
      path: "/v1/models/gpt-5",
      request: {},
      is: { status: 404, code: "model_not_found" },
    },
    {
      name: "a page that pretends to be a file",
      path: "/v1/models/org/plain.css",
      request: {},
      is: { status: 404, code: "model_not_found" },
    },
    {
      name: "a page with broken escapes",
      path: "/v1/models/%zz%ff",
      request: {},
      is: { status: 404, code: "model_not_found" },
    },
  ])("$name", async ({ path = CHAT_PATH, request, is }) => {
    expect(await refusal(path, request)).toMatchObject(is);
  });

  test("none of them asked a host", () => {
    expect(gateway.asked).toEqual([]);
  });
});

describe("whatever is sent to a route that reads a body is the caller's own fault, and soon said so", () => {
  const form = { "content-type": "multipart/form-data; boundary=b" };
  const disposition = "--b\r\ncontent-disposition: form-data; name=";
  const utf8 = new TextEncoder();
  const bodies: Record<string, Asked> = {
    nothing: { method: "POST" },
    "half a document": { body: "{" },
    "no object": { body: "null" },
    "brackets without end": { body: "[".repeat(100_000) },
    "a prototype": { body: '{"__proto__":{"model":"org/plain"}}' },
    "half a surrogate pair": { body: '{"model":"\\ud800","input_file_id":"\\ud800"}' },
    "UTF-16": { body: new Uint8Array([0xff, 0xfe, 0x7b, 0, 0x7d, 0]) },
    "1 MiB and more": { body: new Uint8Array(1024 * 1024 + 5) },
    "wrong types": {
      body: { model: 7, messages: 7, input: 7, query: [], documents: {}, input_file_id: [], endpoint: {} },
    },
    "a form without a boundary": { body: "x", headers: { "content-type": "multipart/form-data" } },
    "a form with an endless header": { body: `--b\r\nX: ${"y".repeat(20_000)}\r\n\r\nx\r\n--b--`, headers: form },
    "a form of many parts": { body: `${`${disposition}"f"\r\n\r\nx\r\n`.repeat(2_000)}--b--`, headers: form },
    "a form with a line end in a name": { body: `${disposition}"fi\r\nle"\r\n\r\nx\r\n--b--`, headers: form },
    "a form with a name that is not UTF-8": {
      body: Uint8Array.from([...utf8.encode(`${disposition}"`), 0xff, ...utf8.encode('"\r\n\r\nx\r\n--b--')]),
      headers: form,
    },
  };
  // A ticket is asked for by nothing at all.
  const paths = ROUTES.filter(
    ({ method, path, need }) => method === "POST" && need !== "admin" && path !== "/v1/tickets" && !path.includes(":"),
  ).map(({ path }) => path);

  test.each(paths)("%s", async (path) => {
    const said: unknown[] = [];
    for (const [name, asked] of Object.entries(bodies)) {
      const response = await gateway.ask(path, { ...asked, as: { sub: "hostile" } });
      const document: unknown = JSON.parse(await response.text());
      if (response.status < 400 || response.status > 499 || !JSON.stringify(document).includes("error"))
        said.push([name, response.status, document]);
    }
    expect(said).toEqual([]);
  });
});

test("429 with Retry-After once the tier's minute is full, and what is refused takes nothing", async () => {
  const as = { sub: "eager", tier: "basic" };
  const answers = await Promise.all(Array.from({ length: 6 }, () => gateway.ask(CHAT_PATH, { as, body: CHAT })));
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 429, 429, 429, 429]);
  const refused = answers.find(({ status }) => status === 429);
  if (refused === undefined) throw new Error("nothing was refused");
  const { code, headers } = await refusalOf(refused);
  expect(code).toBe("rate_limit_exceeded");
  expect(Number(headers.get("retry-after"))).toBeGreaterThanOrEqual(59);
  expect(Number(headers.get("retry-after"))).toBeLessThanOrEqual(61);
  expect(headers.get("ratelimit-policy")).toMatch(/^"rpm";q=2;w=60, "rph"/);
  expect(headers.get("ratelimit")).toMatch(/^"rpm";r=0;t=\d+, /);
  for (const answer of answers) if (!answer.bodyUsed) await answer.body?.cancel();
});

/** The app with other bindings, called as the platform does. */
async function withEnv(changed: Record<string, unknown>, path: string, init: RequestInit = {}): Promise<Response> {
  const context = createExecutionContext();
  const response = await app.fetch(new Request(`http://x${path}`, init), { ...env, ...changed } as Env, context);
  await waitOnExecutionContext(context);
  return response;
}

describe("503 and 500: it is not the caller's fault", () => {
  const post = async (): Promise<RequestInit> => ({
    method: "POST",
    headers: {
      authorization: `Bearer ${await gateway.issuer.sign({ tier: "default" })}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(CHAT),
  });
  const kv = (get: () => unknown) => ({ get, getWithMetadata: get, put: () => Promise.resolve() });

  test.each<{ name: string; changed: Record<string, unknown>; field: RegExp }>([
    { name: "a secret missing", changed: { CAUSEWAY_SECRET: undefined }, field: /CAUSEWAY_SECRET: / },
    { name: "a binding missing", changed: { USAGE: undefined }, field: /USAGE: / },
    {
      name: "a wrong catalog",
      changed: { KV: kv(() => Promise.resolve('{"hosts":[]}')) },
      field: /catalog hosts: .*catalog models: /,
    },
  ])("misconfigured: $name, which the log names and the answer does not", async ({ changed, field }) => {
    logged.length = 0;
    const response = await withEnv(changed, CHAT_PATH, await post());
    const text = await response.clone().text();
    expect(await refusalOf(response)).toMatchObject({ status: 503, code: "misconfigured" });
    expect(text).not.toMatch(field);
    expect(logged.join("\n")).toMatch(field);
  });

  test("misconfigured holds for every path, /health too", async () => {
    expect(await refusalOf(await withEnv({ CAUSEWAY_SECRET: "short" }, "/health"))).toMatchObject({
      status: 503,
      code: "misconfigured",
    });
  });

  test("limits_unavailable: the account cannot be reached", async () => {
    const down = {
      idFromName: () => undefined,
      getByName() {
        throw new Error("overloaded");
      },
    };
    const { status, code, headers } = await refusalOf(await withEnv({ ACCOUNT: down }, CHAT_PATH, await post()));
    expect({ status, code, retryAfter: headers.get("retry-after") }).toEqual({
      status: 503,
      code: "limits_unavailable",
      retryAfter: "2",
    });
  });

  test("a token that nobody can judge, with the issuer down and nothing remembered: refused, and worth a retry", async () => {
    const { keys } = gateway.issuer.answers;
    gateway.issuer.answers.keys = () => new Response("down", { status: 500 });
    const nothing = { KV: kv(() => Promise.resolve(null)) };
    const { status, code, headers } = await refusalOf(await withEnv(nothing, CHAT_PATH, await post()));
    gateway.issuer.answers.keys = keys;
    expect({ status, code, retryAfter: headers.get("retry-after"), retry: headers.get("x-should-retry") }).toEqual({
      status: 401,
      code: "invalid_api_key",
      retryAfter: "5",
      retry: "true",
    });
  });

  test("but with the keys that another isolate left in KV the door stays open", async () => {
    await gateway.ask("/v1/models");
    const { discovery } = gateway.issuer.answers;
    gateway.issuer.answers.discovery = () => new Response("down", { status: 500 });
    const { headers = {} } = await post();
    const response = await vi.waitFor(async () => {
      const found = await withEnv({}, "/v1/models", { headers });
      expect(found.status).toBe(200);
      return found;
    });
    gateway.issuer.answers.discovery = discovery;
    await response.body?.cancel();
  });

  test("internal_error: what nobody foresaw, which the log names and the answer does not", async () => {
    logged.length = 0;
    const broken = kv(() => {
      throw new TypeError("secret detail");
    });
    const response = await withEnv({ KV: broken }, CHAT_PATH, await post());
    expect(await response.clone().text()).not.toContain("secret detail");
    expect(await refusalOf(response)).toMatchObject({ status: 500, code: "internal_error" });
    expect(logged.join("\n")).toContain("TypeError: secret detail");
  });
});

test("nothing that callers sent is in the logs: no credential, no prompt, no query", async () => {
  logged.length = 0;
  const canary = "canary7f3a";
  const bad = { ...CHAT, messages: [{ role: canary, content: canary }] };
  const token = await gateway.issuer.sign({ tier: "default" });
  for (const request of [
    { body: bad },
    { body: `{"${canary}` },
    { body: { ...CHAT, messages: [{ role: "user", content: canary }] } },
    { headers: { authorization: `Bearer ${canary}` } },
    { headers: { authorization: `Bearer ${token.slice(0, -6)}` } },
  ]) {
    await (await gateway.ask(`${CHAT_PATH}?key=${canary}`, { method: "POST", ...request })).text();
    await (await gateway.ask(`/${canary}/${canary}?${canary}`, request)).text();
  }
  expect(logged.length).toBeGreaterThanOrEqual(10);
  expect(logged.filter((line) => line.includes(canary) || line.includes(token.slice(40, 80)))).toEqual([]);
});
