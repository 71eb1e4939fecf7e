// What commands make of a gateway's answers: refusals with what to do, and the token sent nowhere else.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, gatewayOf } from "#scripts/gateway/ask.ts";
import { type FakeGateway, problem, startFakeGateway } from "./fake-gateway.ts";

let gateway: FakeGateway;
beforeAll(async () => {
  gateway = await startFakeGateway();
});
afterAll(() => {
  gateway.server.close();
});

const REQUEST = { method: "POST", path: "/admin/jobs/rollups", body: { a: 1 } } as const;
const asked = (asking = {}) => ask({ url: gateway.url, token: "t" }, REQUEST, asking);

it("an answer is its document, and the request carries the token", async () => {
  gateway.answer = () => ({ status: 201, body: JSON.stringify({ b: 2 }) });
  expect(await asked()).toEqual({ b: 2 });
  expect(gateway.seen.at(-1)).toBe("POST /admin/jobs/rollups Bearer t");
});

describe("refusals", () => {
  it.each([
    { name: "a wrong field", said: problem(400, "invalid_value"), exitCode: 2, message: "(invalid_value)" },
    { name: "one without advice", said: problem(409, "job_running"), exitCode: 1, message: "(job_running)" },
    {
      name: "not an administrator",
      said: problem(403, "insufficient_permissions"),
      exitCode: 1,
      message: expect.stringContaining("ai-admins"),
    },
    {
      name: "a token that has expired",
      said: problem(401, "invalid_api_key"),
      exitCode: 1,
      message: expect.stringContaining("CAUSEWAY_ADMIN_TOKEN"),
    },
    {
      name: "something else's page",
      said: { status: 404, body: "<html>" },
      exitCode: 1,
      message: expect.stringContaining("404"),
    },
  ])("$name", async ({ said, exitCode, message }) => {
    gateway.answer = () => said;
    await expect(asked()).rejects.toMatchObject({ exitCode, message });
  });

  it("with the command's own advice behind the gateway's sentence", async () => {
    gateway.answer = () => problem(409, "job_running");
    await expect(asked({ advice: { job_running: "Wait." } })).rejects.toMatchObject({ message: "(job_running) Wait." });
  });

  it("a gateway that does not answer in time", async () => {
    gateway.answer = () => null;
    await expect(asked({ withinMs: 50 })).rejects.toMatchObject({
      exitCode: 1,
      message: expect.stringContaining("Does it run?"),
    });
  });

  it("another way: the token does not go there", async () => {
    gateway.answer = (path) =>
      path === "/elsewhere"
        ? { status: 200, body: "{}" }
        : { status: 307, body: "", location: `${gateway.url}/elsewhere` };
    await expect(asked()).rejects.toMatchObject({ exitCode: 1 });
    expect(gateway.seen.join()).not.toContain("/elsewhere");
  });
});

describe("which gateway", () => {
  it("no stack runs", async () => {
    const found = gatewayOf({ gateway: null, stateDir: "/nonexistent" }, {});
    await expect(found).rejects.toMatchObject({ exitCode: 1, message: expect.stringContaining("npm start") });
  });

  it.each([{}, { CAUSEWAY_ADMIN_TOKEN: "" }])("another one without a token: %o", async (env) => {
    const found = gatewayOf({ gateway: "https://ai.example.com", stateDir: ".causeway" }, env);
    await expect(found).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining("CAUSEWAY_ADMIN_TOKEN"),
    });
  });

  it("another one with a token", async () => {
    const where = { gateway: "https://ai.example.com", stateDir: ".causeway" };
    expect(await gatewayOf(where, { CAUSEWAY_ADMIN_TOKEN: "t" })).toEqual({ url: where.gateway, token: "t" });
  });
});
