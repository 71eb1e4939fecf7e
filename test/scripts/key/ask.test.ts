// What `npm run key` makes of a gateway's answers: pages joined, refusals with what to do, and the token sent nowhere else.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ask, askAll, gatewayOf } from "#scripts/key/ask.ts";
import { type Command, parseCommand } from "#scripts/key/command.ts";

let server: Server;
let url = "";
let answer = (_path: string): { status: number; body: string; location?: string } => ({ status: 200, body: "{}" });
const seen: string[] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    seen.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    const { status, body, location } = answer(request.url ?? "");
    response.writeHead(status, location === undefined ? {} : { location }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
});

const LIST = { method: "GET", path: "/admin/keys?limit=200", body: null } as const;
const gateway = () => ({ url, token: "t" });

it("a list is all of its pages", async () => {
  answer = (path) => {
    const [data, next] = path.endsWith("&cursor=key_2") ? [["c"], null] : [["a", "b"], "key_2"];
    return { status: 200, body: JSON.stringify({ data, next }) };
  };
  expect(await askAll(gateway(), LIST)).toEqual(["a", "b", "c"]);
  expect(seen.at(-1)).toBe("GET /admin/keys?limit=200&cursor=key_2 Bearer t");
});

describe("refusals", () => {
  const problem = (status: number, code: string) => ({ status, body: JSON.stringify({ code, detail: `(${code})` }) });
  it.each([
    { name: "a wrong field", said: problem(400, "invalid_value"), exitCode: 2, named: "(invalid_value)" },
    { name: "no such key", said: problem(404, "key_not_found"), exitCode: 1, named: "npm run key -- list" },
    { name: "not an administrator", said: problem(403, "insufficient_permissions"), exitCode: 1, named: "ai-admins" },
    {
      name: "a token that has expired",
      said: problem(401, "invalid_api_key"),
      exitCode: 1,
      named: "CAUSEWAY_ADMIN_TOKEN",
    },
    { name: "Postgres down", said: problem(503, "unavailable"), exitCode: 1, named: "same command again" },
    { name: "something else's page", said: { status: 404, body: "<html>" }, exitCode: 1, named: "404" },
  ])("$name", async ({ said, exitCode, named }) => {
    answer = () => said;
    await expect(ask(gateway(), LIST)).rejects.toMatchObject({ exitCode, message: expect.stringContaining(named) });
  });

  it("another way: the token does not go there", async () => {
    answer = (path) =>
      path === "/elsewhere" ? { status: 200, body: "{}" } : { status: 307, body: "", location: `${url}/elsewhere` };
    await expect(ask(gateway(), LIST)).rejects.toMatchObject({ exitCode: 1 });
    expect(seen.join()).not.toContain("/elsewhere");
  });

  const command = (...args: string[]): Command => {
    const parsed = parseCommand(args);
    if (parsed === null) throw new Error("no command");
    return parsed;
  };
  it("no stack runs", async () => {
    const asked = gatewayOf(command("list", "--state", "/nonexistent"), {});
    await expect(asked).rejects.toMatchObject({ exitCode: 1, message: expect.stringContaining("npm start") });
  });
  it("a gateway without a token", async () => {
    const asked = gatewayOf(command("list", "--gateway", "https://ai.example.com"), {});
    await expect(asked).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining("CAUSEWAY_ADMIN_TOKEN"),
    });
  });
});
