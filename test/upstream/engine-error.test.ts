import { describe, expect, test } from "vitest";
import { refusalOf } from "#src/upstream/engine-error.ts";

const NOW_MS = Date.parse("Wed, 21 Oct 2026 07:28:00 GMT");
const JSON_TYPE = { "content-type": "application/json" };
const refusal = (status: number, body: unknown, headers: Record<string, string> = JSON_TYPE) =>
  refusalOf(status, new Headers(headers), typeof body === "string" ? body : JSON.stringify(body), NOW_MS);

const vllm = (status: number, message: string, type = "BadRequestError", param: string | null = null) => ({
  error: { message, type, param, code: status },
});
const llama = (code: number, type: string, message = "no", more = {}) => ({ error: { code, message, type, ...more } });
const TOO_LONG = "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens.";

describe("the request is at fault", () => {
  test.each([
    {
      name: "vLLM",
      status: 400,
      body: vllm(400, "n must be 1", "BadRequestError", "n"),
      code: "invalid_value",
      param: "n",
    },
    { name: "vLLM, without param", status: 400, body: vllm(400, "no"), code: "invalid_value", param: null },
    { name: "vLLM, the context", status: 400, body: vllm(400, TOO_LONG), code: "context_length_exceeded", param: null },
    {
      name: "vLLM, a param that is no text",
      status: 400,
      body: { error: { message: "no", param: 5, code: 400 } },
      code: "invalid_value",
      param: null,
    },
    {
      name: "old vLLM, members at the top",
      status: 400,
      body: { object: "error", message: "no", type: "BadRequestError", param: "stop", code: 400 },
      code: "invalid_value",
      param: "stop",
    },
    {
      name: "old vLLM, the context",
      status: 400,
      body: { object: "error", message: TOO_LONG, code: 400 },
      code: "context_length_exceeded",
      param: null,
    },
    { name: "a sentence", status: 400, body: { error: "no" }, code: "invalid_value", param: null },
    { name: "FastAPI's sentence", status: 400, body: { detail: "no" }, code: "invalid_value", param: null },
    {
      name: "FastAPI's list",
      status: 422,
      body: { detail: [{ loc: ["body", "messages", 0, "role"], msg: "no", type: "missing" }] },
      code: "invalid_value",
      param: "messages.0.role",
    },
    { name: "FastAPI's status", status: 422, body: vllm(422, "no"), code: "invalid_value", param: null },
    { name: "too large", status: 413, body: vllm(413, "no"), code: "request_too_large", param: null },
    { name: "llama.cpp", status: 400, body: llama(400, "invalid_request_error"), code: "invalid_value", param: null },
    {
      name: "llama.cpp, the context",
      status: 400,
      body: llama(400, "exceed_context_size_error", "no", { n_prompt_tokens: 9, n_ctx: 8 }),
      code: "context_length_exceeded",
      param: null,
    },
    {
      name: "llama.cpp, what it cannot do",
      status: 501,
      body: llama(501, "not_supported_error"),
      code: "unsupported_value",
      param: null,
    },
    {
      name: "llama.cpp, what it cannot do, as 400",
      status: 400,
      body: llama(400, "not_supported_error"),
      code: "unsupported_value",
      param: null,
    },
  ])("$name", ({ status, body, code, param }) => {
    const said = refusal(status, body);
    expect(said.kind).toBe("rejected");
    expect(said.problem).toMatchObject({ code, facts: { param } });
  });

  test("the engine's sentence is passed on, within bounds", () => {
    expect(refusal(400, vllm(400, "n must be 1")).problem.message).toBe("n must be 1");
    expect(refusal(400, vllm(400, "x".repeat(5_000))).problem.message).toHaveLength(1_000);
  });
});

describe("the host is at fault", () => {
  test.each([
    {
      name: "vLLM's engine is dead",
      status: 500,
      body: vllm(500, "EngineCore encountered an issue", "InternalServerError"),
      code: "upstream_error",
    },
    { name: "llama.cpp's server_error", status: 500, body: llama(500, "server_error"), code: "upstream_error" },
    {
      name: "the model is not there",
      status: 404,
      body: vllm(404, "The model `x` does not exist.", "NotFoundError"),
      code: "upstream_error",
    },
    { name: "the route is not there", status: 404, body: { detail: "Not Found" }, code: "upstream_error" },
    {
      name: "a page of a tunnel",
      status: 502,
      body: "<html><body>502 Bad Gateway</body></html>",
      headers: { "content-type": "text/html" },
      code: "upstream_error",
    },
    {
      name: "a page that says 400",
      status: 400,
      body: "<html>400</html>",
      headers: { "content-type": "text/html" },
      code: "upstream_error",
    },
    {
      name: "a tunnel that says 530",
      status: 530,
      body: "error code: 1033",
      headers: { "content-type": "text/plain" },
      code: "upstream_error",
    },
    { name: "bare text", status: 400, body: "Bad Request", headers: {}, code: "upstream_error" },
    { name: "nothing", status: 400, body: "", headers: {}, code: "upstream_error" },
    { name: "null", status: 400, body: "null", code: "upstream_error" },
    { name: "an array", status: 400, body: "[]", code: "upstream_error" },
    { name: "a number", status: 400, body: "5", code: "upstream_error" },
    { name: "half a document", status: 400, body: '{"error":', code: "upstream_error" },
    { name: "an empty sentence", status: 400, body: { error: "" }, code: "upstream_error" },
    { name: "an error of null", status: 400, body: { error: null }, code: "upstream_error" },
    { name: "a message that is no text", status: 400, body: { error: { message: 5 } }, code: "upstream_error" },
    {
      name: "200 of a wrong type",
      status: 200,
      body: "<html>hi</html>",
      headers: { "content-type": "text/html" },
      code: "upstream_error",
    },
    { name: "200 with an error", status: 200, body: vllm(400, "no"), code: "upstream_error" },
    { name: "the wrong key, vLLM", status: 401, body: { error: "Unauthorized" }, code: "upstream_refused" },
    {
      name: "the wrong key, llama.cpp",
      status: 401,
      body: llama(401, "authentication_error"),
      code: "upstream_refused",
    },
    { name: "forbidden", status: 403, body: llama(403, "permission_error"), code: "upstream_refused" },
    {
      name: "Access's login page",
      status: 302,
      body: "",
      headers: { location: "https://team.example.com/login" },
      code: "upstream_refused",
    },
    {
      name: "a login page with 200",
      status: 200,
      body: "<html><h1>Log in</h1>",
      headers: { "content-type": "text/html" },
      code: "upstream_refused",
    },
    {
      name: "Access's 403",
      status: 403,
      body: "<html>",
      headers: { "content-type": "text/html" },
      code: "upstream_refused",
    },
    ...[520, 521, 522, 523, 524, 525, 526, 527, 530].map((status) => {
      return { name: `the edge's ${status}`, status, body: vllm(status, "passed on?"), code: "upstream_error" };
    }),
  ])("$name", ({ status, body, headers, code }) => {
    const said = refusal(status, body, headers);
    expect(said).toMatchObject({ kind: "failed", problem: { code } });
  });

  test("whose refusal it was shows in what is said, and what the tunnel's page means in the log", () => {
    const messages = [
      refusal(401, vllm(401, "no")),
      refusal(403, "<title>Cloudflare Access</title>"),
      refusal(302, "", {}),
    ].map(({ problem }) => problem.message);
    expect(messages).toEqual([
      expect.stringContaining("keyFrom"),
      expect.stringContaining("Access refused the gateway's service token"),
      expect.stringContaining("redirect"),
    ]);
    const { facts, message } = refusal(530, "error code: 1033", { "content-type": "text/plain" }).problem;
    expect(facts.cause).toBe(
      "host answered 530 text/plain: the edge has no tunnel to the host (Cloudflare error 1033)",
    );
    expect(message).not.toContain("1033");
  });

  test("it says nothing of the host's own words to the caller", () => {
    expect(refusal(500, vllm(500, "CUDA at /opt/secret")).problem.message).not.toContain("CUDA");
    expect(refusal(401, vllm(401, "key sk-secret")).problem.message).not.toContain("sk-secret");
  });
});

describe("the host is full or loading", () => {
  test.each([
    { name: "vLLM's bounded queue", status: 503, body: vllm(503, "overloaded", "ServiceUnavailableError") },
    { name: "llama.cpp loading", status: 503, body: llama(503, "unavailable_error", "Loading model") },
    { name: "too many requests", status: 429, body: vllm(429, "Too many requests.") },
    { name: "a page", status: 503, body: "<html>" },
  ])("$name", ({ status, body }) => {
    expect(refusal(status, body)).toMatchObject({ kind: "failed", problem: { code: "host_busy", status: 503 } });
  });

  test.each([
    { name: "nothing", header: undefined, retryAfterS: 2 },
    { name: "seconds", header: "7", retryAfterS: 7 },
    { name: "a fraction", header: "0.5", retryAfterS: 0.5 },
    { name: "zero, which clients would read as now", header: "0", retryAfterS: 2 },
    { name: "less than zero", header: "-5", retryAfterS: 2 },
    { name: "a date", header: "Wed, 21 Oct 2026 07:28:30 GMT", retryAfterS: 30 },
    { name: "a date that has passed", header: "Wed, 21 Oct 2026 07:28:00 GMT", retryAfterS: 2 },
    { name: "a day, which is longer than is believed", header: "86400", retryAfterS: 3_600 },
    { name: "nonsense", header: "soon", retryAfterS: 2 },
    { name: "infinity", header: "Infinity", retryAfterS: 2 },
    { name: "empty", header: "", retryAfterS: 2 },
  ])("Retry-After: $name", ({ header, retryAfterS }) => {
    for (const status of [429, 503]) {
      const { problem } = refusal(status, "{}", header === undefined ? {} : { "retry-after": header });
      expect(problem.facts.retryAfterS).toBe(retryAfterS);
    }
  });
});
