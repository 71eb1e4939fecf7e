import { env } from "cloudflare:workers";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import { surroundingsOf } from "#src/jobs/surroundings.ts";
import { eventWith } from "#test/support/events.ts";
import { hostsOf } from "#test/support/jobs.ts";

const asked: Request[] = [];
let answer = (): Response | Promise<Response> => new Response("vllm:prompt_tokens_total 1\n");
beforeEach(() => {
  asked.length = 0;
  vi.spyOn(console, "error").mockReturnValue();
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    asked.push(new Request(input, init));
    return answer();
  });
});
afterEach(async () => {
  vi.restoreAllMocks();
  await env.KV.delete(CATALOG_KEY);
});

const [gpu] = hostsOf({ id: "gpu", engine: "vllm", keyFrom: "VLLM_API_KEY" });
const expositionOf = () => {
  if (gpu === undefined) throw new Error("no host");
  return surroundingsOf(env).expositionOf(gpu);
};

describe("a host's metrics", () => {
  test("are asked for as requests reach it, with its key", async () => {
    answer = () => new Response("vllm:prompt_tokens_total 1\n");
    expect(await expositionOf()).toBe("vllm:prompt_tokens_total 1\n");
    expect(asked.map(({ method, url }) => `${method} ${url}`)).toEqual(["GET http://gpu.test/metrics"]);
    expect(asked[0]?.headers.get("authorization")).toBe("Bearer vllm-key-of-the-tests");
  });

  test.each([
    { name: "are not there", reply: () => new Response("no", { status: 404 }), reason: "404" },
    { name: "are somewhere else", reply: () => Response.redirect("http://elsewhere.test/metrics"), reason: "302" },
    { name: "do not come", reply: () => Promise.reject(new TypeError("Network connection lost.")), reason: "lost" },
    { name: "do not end", reply: () => new Response("x".repeat(9 * 1024 * 1024)), reason: "bytes" },
  ])("that $name: it says so", async ({ reply, reason }) => {
    answer = reply;
    await expect(expositionOf()).rejects.toThrow(reason);
    expect(asked).toHaveLength(1);
  });
});

describe("the hosts", () => {
  test("are those of the catalog in force", async () => {
    await env.KV.put(
      CATALOG_KEY,
      JSON.stringify({
        hosts: [{ id: "mine", engine: "vllm", reach: { via: "direct", url: "http://mine.test" } }],
        models: [{ id: "m", served: [{ host: "mine", as: "m" }] }],
      }),
    );
    expect((await surroundingsOf(env).hosts()).map(({ id }) => id)).toEqual(["mine"]);
  });

  test("are not the bundled ones where the operator's cannot be read", async () => {
    await env.KV.put(CATALOG_KEY, "{}");
    await expect(surroundingsOf(env).hosts()).rejects.toThrow("catalog");
  });
});

test("an account says what it counted, by day", async () => {
  const { totalsOf, accountOfKey } = surroundingsOf(env);
  const account = accountOfKey(crypto.randomUUID());
  expect(account).toMatch(/^key\|/);
  expect(await totalsOf(account)).toEqual({});
  const event = eventWith({ account, atMs: Date.UTC(2026, 10, 21), promptTokens: 5, completionTokens: 3 });
  await env.ACCOUNT.getByName(account).settle(event);
  expect(await totalsOf(account)).toEqual({ "2026-11-21": { requests: 1, promptTokens: 5, completionTokens: 3 } });
});
