import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";
import { ask, clientOf, credentialOf, hostUrl, lastRequestId, rowOf, rowsOf, truthOf } from "./world.ts";

const chat = (body: Record<string, unknown>) => ({
  method: "POST",
  as: "default" as const,
  body: JSON.stringify({ model: "mixtral-8x7b", messages: [{ role: "user", content: "door [[tokens=3]]" }], ...body }),
});

describe("errors keep one shape", () => {
  test.each([
    { name: "nothing there", path: "/v1/nothing", init: { as: "default" }, status: 404, code: "unknown_url" },
    {
      name: "wrong method",
      path: "/v1/chat/completions",
      init: { method: "DELETE", as: "default" },
      status: 405,
      code: "method_not_allowed",
    },
    { name: "no credential", path: "/v1/models", init: {}, status: 401, code: "invalid_api_key" },
    {
      name: "no JSON",
      path: "/v1/chat/completions",
      init: { ...chat({}), body: "{" },
      status: 400,
      code: "invalid_json",
    },
    {
      name: "too large",
      path: "/v1/chat/completions",
      init: { ...chat({}), body: `"${"x".repeat(1024 * 1024)}"` },
      status: 413,
      code: "request_too_large",
    },
    {
      name: "a wrong field",
      path: "/v1/chat/completions",
      init: chat({ messages: [{ role: "king" }] }),
      status: 400,
      code: "invalid_value",
    },
    {
      name: "no such model",
      path: "/v1/chat/completions",
      init: chat({ model: "none" }),
      status: 404,
      code: "model_not_found",
    },
    {
      name: "not an admin",
      path: "/admin/fleet",
      init: { as: "default" },
      status: 403,
      code: "insufficient_permissions",
    },
  ] as const)("$name", async ({ path, init, status, code }) => {
    const response = await ask(path, init);
    expect(response.status).toBe(status);
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/);
    const document = (await response.json()) as { error?: { code: string }; code?: string };
    expect(document.error?.code ?? document.code).toBe(code);
    if (status === 401) expect(response.headers.get("www-authenticate")).toMatch(/^Bearer /);
    if (status === 405) expect(response.headers.get("allow")).toBe("POST");
  });
});

// Whoever is cut off while it still sends never reads why.
test.each([
  { name: "of a declared length", bodyOf: () => new Uint8Array(8 * 1024 * 1024) },
  { name: "in pieces", bodyOf: () => new Blob([new Uint8Array(8 * 1024 * 1024)]).stream() },
])("a body far too large is refused in words each time: one $name", async ({ bodyOf }) => {
  for (let turn = 0; turn < 10; turn++) {
    const init = { ...chat({}), body: bodyOf(), duplex: "half" };
    const response = await ask("/v1/chat/completions", init);
    expect([response.status, await response.json()]).toMatchObject([413, { error: { code: "request_too_large" } }]);
  }
});

test("a body that declares two bytes and comes in chunks is judged by the chunks", async () => {
  const { hostname, port } = new URL(stack.gateway);
  const socket = connect(Number(port), hostname);
  const head = [
    "POST /v1/chat/completions HTTP/1.1",
    "host: gateway",
    `authorization: Bearer ${credentialOf("default")}`,
    "content-type: application/json",
    "content-length: 2",
    "transfer-encoding: chunked",
    "connection: close",
  ];
  const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
  socket.write(`${head.join("\r\n")}\r\n\r\n${chunk.repeat(32)}0\r\n\r\n`);
  let answer = "";
  for await (const piece of socket) answer += piece;
  expect(answer).toMatch(/^HTTP\/1\.1 413 .*"request_too_large"/s);
});

test("health is open and says what serves", async () => {
  const health = z.object({
    status: z.string(),
    models: z.record(z.string(), z.string()),
    hosts: z.record(z.string(), z.string()),
  });
  const known = await eventually(async () => {
    const { hosts } = health.parse(await (await ask("/health")).json());
    return Object.values(hosts).includes("unknown") ? undefined : hosts;
  }, "some host was never probed");
  expect(Object.keys(known).sort()).toEqual(Object.keys(stack.hosts).sort());
});

test("an admin sees the fleet, in the admin's error shape where not", async () => {
  expect(await (await ask("/admin/fleet", { as: "admin" })).json()).toMatchObject({ hosts: expect.any(Array) });
  const refused = await ask("/admin/fleet");
  expect(refused.headers.get("content-type")).toBe("application/problem+json");
});

test("an identical question is answered by the cache, costs nothing and is in the ledger", async () => {
  const question = chat({ messages: [{ role: "user", content: `kept ${stack.pid} [[tokens=6]]` }] });
  const first = await ask("/v1/chat/completions", question);
  const answer = await first.json();
  expect(first.headers.get("x-causeway-cache")).toBe("miss");
  const second = await eventually(async () => {
    const response = await ask("/v1/chat/completions", question);
    return response.headers.get("x-causeway-cache") === "hit" ? response : undefined;
  }, "the cache never hit");
  expect(await second.json()).toEqual(answer);
  const id = second.headers.get("x-request-id") ?? "";
  expect(await rowOf(id)).toMatchObject({
    outcome: "cached",
    cache: "hit",
    host: null,
    tokens_used: 0,
    cost_estimate: 0,
  });
  expect(await truthOf("cpu-mixtral", id)).toBeUndefined();
  const someoneElse = await ask("/v1/chat/completions", { ...question, as: "premium" });
  expect(someoneElse.headers.get("x-causeway-cache")).toBe("miss");
  await someoneElse.body?.cancel();
});

// `cf-worker` is set by the platform on every request that a Worker makes.
test("only what the gateway writes reaches a host: no header of the caller's, no other body", async () => {
  const headers = { "x-tenant": "evil", cookie: "a=b", "x-forwarded-for": "1.2.3.4", "x-workflow-id": "n8n-7" };
  const response = await ask("/v1/chat/completions", { ...chat({ temperature: 1, custom_option: 1 }), headers });
  const id = response.headers.get("x-request-id") ?? "";
  expect(await eventually(async () => ((await lastRequestId("cpu-mixtral")) === id ? id : undefined), "not seen")).toBe(
    id,
  );
  const journal = (await (await fetch(`${hostUrl("cpu-mixtral")}/lab/requests`)).json()) as {
    headers: Record<string, unknown>;
    body: unknown;
  }[];
  const seen = journal.findLast((entry) => entry.headers["x-request-id"] === id);
  expect(Object.keys(seen?.headers ?? {}).sort()).toEqual(
    ["accept", "accept-encoding", "cf-worker", "content-length", "content-type", "host", "x-request-id"].sort(),
  );
  expect(seen?.body).toMatchObject({ model: "mistralai/Mixtral-8x7B-Instruct-v0.1", custom_option: 1 });
  expect((await rowOf(id)).workflow_id).toBe("n8n-7");
});

test("over the tier's minute: exactly so many are admitted, the rest hear when to come back", async () => {
  const { models } = clientOf("basic");
  expect((await models.list()).data.length).toBeGreaterThan(0);
  const responses: Response[] = [];
  // The tier has four requests in flight, and an answer's place is free a moment after it ended.
  const asking = async () => {
    while (responses.length < 70) {
      const response = await ask("/v1/chat/completions", { ...chat({ max_tokens: 1 }), as: "basic" });
      const text = await response.text();
      if (text.includes("(concurrency)")) continue;
      responses.push(new Response(text, response));
    }
  };
  await Promise.all([asking(), asking()]);
  const refused = responses.filter(({ status }) => status === 429);
  expect(responses.filter(({ status }) => status === 200)).toHaveLength(50);
  expect(refused).toHaveLength(responses.length - 50);
  for (const response of refused) {
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect(response.headers.get("ratelimit")).toMatch(/^"rpm";r=0;t=\d+/);
    expect(await response.json()).toMatchObject({ error: { code: "rate_limit_exceeded", type: "requests" } });
  }
  const admitted = responses
    .filter(({ status }) => status === 200)
    .map(({ headers }) => headers.get("x-request-id") ?? "");
  await eventually(
    async () => ((await rowsOf(admitted)).length === 50 ? true : undefined),
    "an admitted request has no row",
  );
  expect(await rowsOf(refused.map(({ headers }) => headers.get("x-request-id") ?? ""))).toHaveLength(0);
});
