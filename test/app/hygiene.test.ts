/** What of a caller's reaches a host, and under whose name: the whole Worker, with hosts that tell what they were asked. */
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { JsonObject } from "#src/json.ts";
import { CHAT, type Gateway } from "#test/support/gateway.ts";
import { hostOf, modelOn, type StandIn, withHosts } from "#test/support/stand-ins.ts";

const SALT = /^[\w-]{43}$/;
const IMAGES = "https://images.example.com";
let gateway: Gateway;
let hosts: Record<string, StandIn>;

beforeAll(async () => {
  const shadow = [{ host: "trial", as: "t" }];
  ({ gateway, hosts } = await withHosts(
    [
      hostOf("vllm", { slots: 50 }),
      hostOf("old", { cacheSalt: false }),
      hostOf("llama", { engine: "llamacpp" }),
      hostOf("cloud", { engine: "openai" }),
      hostOf("trial"),
    ],
    [
      modelOn("m", ["vllm"], { remoteContent: [IMAGES] }),
      modelOn("closed", ["vllm"]),
      modelOn("mirrored", ["vllm"], { shadow }),
      modelOn("kept", ["vllm"], { cache: { ttl: 60, scope: "shared" } }),
      modelOn("vectors", ["vllm"], { kind: "embedding" }),
      modelOn("on-old", ["old"]),
      modelOn("on-llama", ["llama"]),
      modelOn("on-cloud", ["cloud"]),
    ],
  ));
  vi.spyOn(console, "log").mockReturnValue();
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** What the host was asked for one question of this caller's. */
async function heard(as: Record<string, unknown>, body: JsonObject, path = "/v1/chat/completions", host = "vllm") {
  const response = await gateway.ask(path, { as, body: { ...CHAT, ...body } });
  expect(response.status).toBe(200);
  await response.text();
  return hosts[host]?.asked.at(-1) ?? {};
}

describe("a host's prefix cache is parted", () => {
  test("by tenant; callers without one share with nobody", { timeout: 20_000 }, async () => {
    const callers = [
      { sub: "ann", tenant: "acme" },
      { sub: "bob", tenant: "acme" },
      { sub: "ann", tenant: "other" },
      { sub: "ann" },
      { sub: "bob" },
    ];
    const salts: unknown[] = [];
    for (const as of callers) salts.push((await heard(as, { model: "m" })).cache_salt);
    for (const salt of salts) expect(salt).toMatch(SALT);
    expect(salts[0]).toBe(salts[1]);
    expect(new Set(salts).size).toBe(4);
    // No name of anybody's, and the same one every time.
    expect(salts.join()).not.toMatch(/ann|bob|acme|other/);
    expect((await heard({ sub: "ann" }, { model: "m" })).cache_salt).toBe(salts[3]);
  });

  test.each<{ name: string; path: string; body: JsonObject }>([
    { name: "streams", path: "/v1/chat/completions", body: { model: "m", stream: true } },
    { name: "raw completions", path: "/v1/completions", body: { model: "m", prompt: "x", messages: null } },
  ])("for $name too", async ({ path, body }) => {
    expect((await heard({ sub: "ann" }, body, path)).cache_salt).toMatch(SALT);
  });

  test("a shadow copy has its caller's", async () => {
    const { cache_salt } = await heard({ sub: "ann" }, { model: "mirrored" });
    const copied = () => expect(hosts.trial?.asked.at(-1)).toMatchObject({ model: "t", cache_salt });
    await vi.waitFor(copied, { timeout: 4_000, interval: 50 });
  });

  test.each(["old", "llama", "cloud"])("the host %s, which would refuse it, is not told", async (host) => {
    const asked = await heard({ sub: "ann" }, { model: `on-${host}` }, undefined, host);
    expect(asked).toMatchObject({ model: `on-${host}` });
    expect(asked).not.toHaveProperty("cache_salt");
  });

  test("answers that are shared are found by callers of every tenant", async () => {
    const messages = [{ role: "user", content: crypto.randomUUID() }];
    await heard({ sub: "ann", tenant: "acme" }, { model: "kept", messages });
    const before = hosts.vllm?.asked.length;
    await vi.waitFor(async () => {
      const again = { as: { sub: "bob", tenant: "other" }, body: { model: "kept", messages } };
      expect((await gateway.ask("/v1/chat/completions", again)).headers.get("x-causeway-cache")).toBe("hit");
    });
    expect(hosts.vllm?.asked.length).toBe(before);
  });
});

describe("URLs in content", () => {
  const picture = (url: string) => [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }];

  test.each([
    { name: "an origin that the catalog names", model: "m", url: `${IMAGES}/a.png`, status: 200 },
    { name: "the same for another model", model: "closed", url: `${IMAGES}/a.png`, status: 400 },
    { name: "an address inside", model: "m", url: "http://169.254.169.254/latest/", status: 400 },
    { name: "a file", model: "m", url: "file:///etc/passwd", status: 400 },
    { name: "what is in the question", model: "closed", url: "data:image/png;base64,aaaa", status: 200 },
  ])("$name: $status", async ({ model, url, status }) => {
    const before = hosts.vllm?.asked.length ?? 0;
    const response = await gateway.ask("/v1/chat/completions", { body: { model, messages: picture(url) } });
    const said = (await response.json()) as { error?: unknown };
    expect(response.status).toBe(status);
    expect((hosts.vllm?.asked.length ?? 0) - before).toBe(status === 200 ? 1 : 0);
    if (status === 400)
      expect(said.error).toMatchObject({ code: "invalid_value", param: "messages.0.content.0.image_url" });
  });
});

test("a body reaches the host as it was checked, and never in the caller's bytes", async () => {
  const text = '{ "model" : "m", "messages":[{"role":"user","content":"\\u0068i"}],  "seed": 1.0, "top_k": 1e1 }';
  const response = await gateway.ask("/v1/chat/completions", { body: text });
  expect(response.status).toBe(200);
  const { cache_salt: _salt, ...asked } = hosts.vllm?.asked.at(-1) ?? {};
  expect(JSON.stringify(asked)).toBe('{"model":"m","messages":[{"role":"user","content":"hi"}],"seed":1,"top_k":10}');
});
