import { describe, expect, test } from "vitest";
import { asProblem, openAiError, Problem, type ProblemCode, problemResponse, sseError } from "#src/problem.ts";

const ID = "0190a1b2-0000-7000-8000-000000000000";
const STATUSES: Record<ProblemCode, number> = {
  invalid_json: 400,
  invalid_value: 400,
  unsupported_value: 400,
  context_length_exceeded: 400,
  invalid_api_key: 401,
  insufficient_permissions: 403,
  origin_not_allowed: 403,
  unknown_url: 404,
  model_not_found: 404,
  request_not_found: 404,
  stream_not_found: 404,
  file_not_found: 404,
  batch_not_found: 404,
  key_not_found: 404,
  host_not_found: 404,
  job_not_found: 404,
  method_not_allowed: 405,
  key_not_active: 409,
  file_in_use: 409,
  batch_over: 409,
  storage_full: 409,
  job_running: 409,
  generation_running: 409,
  stream_cancelled: 409,
  stream_events_gone: 410,
  request_too_large: 413,
  unsupported_media_type: 415,
  upgrade_required: 426,
  too_many_refusals: 429,
  address_rate_exceeded: 429,
  rate_limit_exceeded: 429,
  insufficient_quota: 429,
  internal_error: 500,
  job_failed: 500,
  upstream_error: 502,
  upstream_refused: 502,
  stream_interrupted: 502,
  misconfigured: 503,
  limits_unavailable: 503,
  model_disabled: 503,
  no_healthy_host: 503,
  host_busy: 503,
  unavailable: 503,
  connect_timeout: 504,
  first_token_timeout: 504,
  next_token_timeout: 504,
  total_timeout: 504,
};
const CODES = Object.entries(STATUSES).map(([code, status]) => ({ code: code as ProblemCode, status }));

describe("every code, in both shapes", () => {
  test.each(CODES)("$code: $status", async ({ code, status }) => {
    const problem = new Problem(code);
    expect(problem.status).toBe(status);

    const openAi = problemResponse(problem, "/v1/models", ID);
    expect(openAi.status).toBe(status);
    expect(openAi.headers.get("content-type")).toBe("application/json");
    expect(await openAi.json()).toEqual({
      error: { message: expect.stringMatching(/\w/), type: expect.stringMatching(/^[a-z_]+$/), param: null, code },
    });

    const rfc9457 = problemResponse(problem, "/admin/fleet", ID);
    expect(rfc9457.status).toBe(status);
    expect(rfc9457.headers.get("content-type")).toBe("application/problem+json");
    expect(await rfc9457.json()).toEqual({
      type: `urn:causeway:problem:${code}`,
      title: expect.stringMatching(/\w/),
      status,
      detail: problem.message,
      instance: `urn:uuid:${ID}`,
      code,
    });
  });
});

test.each([
  { path: "/admin", shape: "application/problem+json" },
  { path: "/admin/", shape: "application/problem+json" },
  { path: "/administrator", shape: "application/json" },
  { path: "/v1/admin/", shape: "application/json" },
  { path: "/", shape: "application/json" },
])("$path: $shape", ({ path, shape }) => {
  expect(problemResponse(new Problem("unknown_url"), path, ID).headers.get("content-type")).toBe(shape);
});

describe("Retry-After", () => {
  test.each<{ retryAfterS: number | undefined; header: string | null }>([
    { retryAfterS: undefined, header: null },
    { retryAfterS: 0, header: "1" },
    { retryAfterS: -5, header: "1" },
    { retryAfterS: 0.2, header: "1" },
    { retryAfterS: 1.01, header: "2" },
    { retryAfterS: 60, header: "60" },
  ])("$retryAfterS s: $header", ({ retryAfterS, header }) => {
    const problem = new Problem("host_busy", retryAfterS === undefined ? {} : { retryAfterS });
    expect(problemResponse(problem, "/v1", ID).headers.get("retry-after")).toBe(header);
  });

  test.each<{ retryAfterS: number | undefined; said?: string; header: string | null }>([
    { retryAfterS: undefined, header: null },
    { retryAfterS: 60, header: null },
    // openai-node waits no longer, and then not at all: it would be back in half a second.
    { retryAfterS: 60.1, header: "false" },
    { retryAfterS: 86_400, header: "false" },
    { retryAfterS: undefined, said: "false", header: "false" },
    { retryAfterS: 5, said: "true", header: "true" },
    { retryAfterS: 5, said: "false", header: "false" },
    { retryAfterS: 61, said: "true", header: "false" },
  ])("$retryAfterS s, x-should-retry $said: $header", ({ retryAfterS, said, header }) => {
    for (const path of ["/v1/chat/completions", "/admin/keys"]) {
      const wait = retryAfterS === undefined ? {} : { retryAfterS };
      const headers = said === undefined ? {} : { headers: { "x-should-retry": said } };
      const problem = new Problem("rate_limit_exceeded", { ...wait, ...headers });
      expect(problemResponse(problem, path, ID).headers.get("x-should-retry")).toBe(header);
    }
  });
});

describe("OpenAI's type", () => {
  test.each<{ code: ProblemCode; said?: "tokens" | "requests"; type: string }>([
    { code: "rate_limit_exceeded", type: "requests" },
    { code: "rate_limit_exceeded", said: "requests", type: "requests" },
    { code: "rate_limit_exceeded", said: "tokens", type: "tokens" },
    { code: "insufficient_quota", type: "insufficient_quota" },
    { code: "address_rate_exceeded", type: "requests" },
    { code: "context_length_exceeded", type: "invalid_request_error" },
    { code: "limits_unavailable", type: "server_error" },
  ])("of $code, said $said: $type", ({ code, said, type }) => {
    expect(openAiError(new Problem(code, { type: said }))).toMatchObject({ error: { code, type } });
  });
});

test("facts are said: message, param and headers", async () => {
  const facts = { message: "model: is wrong", param: "model", headers: { allow: "GET" } };
  const response = problemResponse(new Problem("invalid_value", facts), "/v1", ID);
  expect(response.headers.get("allow")).toBe("GET");
  expect(await response.json()).toMatchObject({ error: { message: facts.message, param: "model" } });
});

test("the cause stays inside", async () => {
  const problem = new Problem("internal_error", { cause: new Error("postgres://user:password@host") });
  for (const path of ["/v1", "/admin"]) {
    expect(await problemResponse(problem, path, ID).text()).not.toMatch(/postgres|password|Error|at /);
  }
  expect(JSON.stringify(openAiError(problem))).not.toContain("password");
});

test.each<{ name: string; thrown: unknown; code: string }>([
  { name: "a problem stays itself", thrown: new Problem("host_busy"), code: "host_busy" },
  { name: "an error", thrown: new TypeError("x"), code: "internal_error" },
  { name: "text", thrown: "x", code: "internal_error" },
  { name: "undefined", thrown: undefined, code: "internal_error" },
])("anything thrown: $name", ({ thrown, code }) => {
  const problem = asProblem(thrown);
  expect(problem.code).toBe(code);
  expect(problem === thrown || problem.facts.cause === thrown).toBe(true);
});

test("a stream's last event is one event with the same object, whatever the message holds", () => {
  const problem = new Problem("upstream_error", { message: "line one\nline two\r\n\n" });
  const text = new TextDecoder().decode(sseError(problem));
  expect(text).toMatch(/^data: [^\r\n]+\n\n$/);
  expect(JSON.parse(text.slice("data: ".length))).toEqual(openAiError(problem));
});

describe("every code in Anthropic's shape, at its paths alone", () => {
  const TYPES: Record<number, string> = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    410: "invalid_request_error",
    413: "request_too_large",
    415: "invalid_request_error",
    426: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
  };
  test.each(CODES)("$code", async ({ code, status }) => {
    const problem = new Problem(code, { headers: { "x-own": "1" }, retryAfterS: 3 });
    const isLoad = code !== "misconfigured" && code !== "model_disabled";
    for (const path of ["/v1/messages", "/v1/messages/count_tokens", "/v1/messages/batches"]) {
      const response = problemResponse(problem, path, ID);
      expect(response.status).toBe(code === "host_busy" ? 529 : status);
      expect([response.headers.get("x-own"), response.headers.get("retry-after")]).toEqual(["1", "3"]);
      expect(await response.json()).toEqual({
        type: "error",
        error: { type: isLoad ? TYPES[status] : "api_error", message: problem.message },
        request_id: ID,
      });
    }
    expect(await problemResponse(problem, "/v1/messagesx", ID).json()).toEqual(openAiError(problem));
  });
});
