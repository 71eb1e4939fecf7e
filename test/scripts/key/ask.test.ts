// A list of keys over all of its pages, and what `npm run key` says to do about refusals that are about keys.
import { afterAll, beforeAll, expect, it } from "vitest";
import { askAll } from "#scripts/key/ask.ts";
import { type FakeGateway, problem, startFakeGateway } from "#test/scripts/gateway/fake-gateway.ts";

let gateway: FakeGateway;
beforeAll(async () => {
  gateway = await startFakeGateway();
});
afterAll(() => {
  gateway.server.close();
});

const LIST = { method: "GET", path: "/admin/keys?limit=200", body: null } as const;
const list = () => askAll({ url: gateway.url, token: "t" }, LIST);

it("a list is all of its pages", async () => {
  gateway.answer = (path) => {
    const [data, next] = path.endsWith("&cursor=key_2") ? [["c"], null] : [["a", "b"], "key_2"];
    return { status: 200, body: JSON.stringify({ data, next }) };
  };
  expect(await list()).toEqual(["a", "b", "c"]);
  expect(gateway.seen.at(-1)).toBe("GET /admin/keys?limit=200&cursor=key_2 Bearer t");
});

it.each([
  { name: "no such key", said: problem(404, "key_not_found"), named: "npm run key -- list" },
  { name: "Postgres down", said: problem(503, "unavailable"), named: "same command again" },
])("$name", async ({ said, named }) => {
  gateway.answer = () => said;
  await expect(list()).rejects.toMatchObject({ exitCode: 1, message: expect.stringContaining(named) });
});
