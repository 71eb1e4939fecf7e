import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { type AskInit, reach, reachProblems } from "#src/upstream/reach.ts";
import { servedBy } from "./asked.ts";

/** Everything that is sent, as the platform would send it. */
function recorder() {
  const sent: Request[] = [];
  const fetcher: typeof fetch = async (input, init) => {
    sent.push(new Request(input, init));
    return new Response("ok");
  };
  return { sent, fetcher };
}

const init = { method: "POST", headers: { "content-type": "application/json", "x-request-id": "r" }, body: "{}" };

async function ask(
  host: { readonly [member: string]: unknown },
  more: { readonly [name: string]: unknown } = {},
  sending: AskInit = init,
) {
  const outside = recorder();
  const inside = recorder();
  const bindings = { ...env, ...more, CPU_VPC: { fetch: inside.fetcher } };
  await reach(servedBy(host).host, bindings, outside.fetcher)("/v1/x", sending);
  const [request] = [...outside.sent, ...inside.sent];
  if (request === undefined) throw new Error("nothing was sent");
  return { request, headers: Object.fromEntries(request.headers), viaBinding: inside.sent.length === 1 };
}

const PLAIN = { "accept-encoding": "identity", "content-type": "application/json", "x-request-id": "r" };

describe("the way to a host", () => {
  test("is the catalog's base and the path, and no redirect is followed", async () => {
    const { request } = await ask({});
    expect(request.url).toBe("http://h.internal:8000/base/v1/x");
    expect(request.method).toBe("POST");
    expect(request.redirect).toBe("manual");
    expect(await request.text()).toBe("{}");
  });

  test.each([
    { name: "without a key", host: {}, more: {}, headers: {} },
    {
      name: "with a key",
      host: { keyFrom: "ENGINE_KEY" },
      more: { ENGINE_KEY: "sk-1" },
      headers: { authorization: "Bearer sk-1" },
    },
    { name: "with a key that is not set", host: { keyFrom: "ENGINE_KEY" }, more: {}, headers: {} },
    { name: "with a key that is empty", host: { keyFrom: "ENGINE_KEY" }, more: { ENGINE_KEY: "" }, headers: {} },
    { name: "with a key that is no text", host: { keyFrom: "ENGINE_KEY" }, more: { ENGINE_KEY: {} }, headers: {} },
    {
      name: "behind Access",
      host: { reach: { via: "access", url: "https://h.example.com" } },
      more: { ACCESS_CLIENT_ID: "id", ACCESS_CLIENT_SECRET: "secret" },
      headers: { "cf-access-client-id": "id", "cf-access-client-secret": "secret" },
    },
    {
      name: "not behind Access, although there is a service token",
      host: {},
      more: { ACCESS_CLIENT_ID: "id", ACCESS_CLIENT_SECRET: "secret" },
      headers: {},
    },
    {
      name: "behind Access, with the engine's own key",
      host: { reach: { via: "access", url: "https://h.example.com" }, keyFrom: "ENGINE_KEY" },
      more: { ENGINE_KEY: "sk-1", ACCESS_CLIENT_ID: "id", ACCESS_CLIENT_SECRET: "secret" },
      headers: { authorization: "Bearer sk-1", "cf-access-client-id": "id", "cf-access-client-secret": "secret" },
    },
  ])("carries exactly the headers made here: $name", async ({ host, more, headers }) => {
    expect((await ask(host, more)).headers).toEqual({ ...PLAIN, ...headers });
  });

  test("what is sent cannot take the place of a credential or ask for compression", async () => {
    const headers = { authorization: "Bearer of-the-caller", "accept-encoding": "gzip", "CF-Access-Client-Id": "x" };
    const host = { reach: { via: "access", url: "https://h.example.com" }, keyFrom: "ENGINE_KEY" };
    const sent = await ask(host, { ENGINE_KEY: "sk-1", ACCESS_CLIENT_ID: "id" }, { method: "POST", headers });
    expect(sent.headers).toMatchObject({
      authorization: "Bearer sk-1",
      "accept-encoding": "identity",
      "cf-access-client-id": "id",
    });
  });

  test("through a binding, and never around it", async () => {
    const host = { reach: { via: "vpc", binding: "CPU_VPC", url: "http://cpu.internal:11403" } };
    const { request, viaBinding } = await ask(host);
    expect(viaBinding).toBe(true);
    expect(request.url).toBe("http://cpu.internal:11403/v1/x");
    expect((await ask({})).viaBinding).toBe(false);
  });

  test.each([
    { thrown: new Error("ProxyError: dns_error"), says: /^dns_error: .*quic$/ },
    { thrown: new Error("ProxyError: connection_refused"), says: /^connection_refused: the engine does not listen/ },
    { thrown: new Error("connection_limit_reached"), says: /^connection_limit_reached: / },
    { thrown: new Error("ProxyError: something_new"), says: /^something_new: / },
    { thrown: new TypeError("Network connection lost."), says: /^the binding failed: Network connection lost\.$/ },
    { thrown: "destination_unavailable", says: /^destination_unavailable: the tunnel is down/ },
    { thrown: new Error("x".repeat(5_000)), says: /^the binding failed: x{200}$/ },
  ])("what a binding throws says what is wrong: $says", async ({ thrown, says }) => {
    const service = { fetch: () => Promise.reject(thrown) };
    const { host } = servedBy({ reach: { via: "vpc", binding: "CPU_VPC", url: "http://cpu.internal" } });
    const asking = reach(host, { ...env, ...{ CPU_VPC: service } }, fetch)("/v1/x", init);
    await expect(asking).rejects.toMatchObject({
      name: "VpcFailure",
      message: expect.stringMatching(says),
      cause: thrown,
    });
  });

  test("a binding behind which nobody listens, and one that throws by itself", async () => {
    const by = (binding: string) => servedBy({ reach: { via: "vpc", binding, url: "http://dns-error:8000" } }).host;
    await expect(reach(by("DEAD_VPC"), env, fetch)("/v1/x", init)).rejects.toMatchObject({ name: "VpcFailure" });
    await expect(reach(by("BROKEN_VPC"), env, fetch)("/v1/x", init)).rejects.toMatchObject({
      name: "VpcFailure",
      message: expect.stringMatching(/^dns_error: /),
    });
  });

  test("a question that was called off is no failure of the binding", async () => {
    const { host } = servedBy({ reach: { via: "vpc", binding: "CPU_VPC", url: "http://cpu.internal" } });
    const signal = AbortSignal.abort(new Error("the caller left"));
    const service = { fetch: () => Promise.reject(signal.reason) };
    const asking = reach(host, { ...env, ...{ CPU_VPC: service } }, fetch)("/v1/x", { ...init, signal });
    await expect(asking).rejects.toBe(signal.reason);
  });

  test.each([{ value: undefined }, { value: null }, { value: "text" }, { value: {} }])(
    "a binding of $value is named",
    ({ value }) => {
      const { host } = servedBy({ reach: { via: "vpc", binding: "GONE", url: "http://cpu.internal" } });
      const { sent, fetcher } = recorder();
      expect(() => reach(host, { ...env, ...{ GONE: value } }, fetcher)).toThrow(
        "hosts.h.reach.binding: no binding GONE",
      );
      expect(sent).toEqual([]);
    },
  );
});

describe("what is lacking to reach a host is named by its path", () => {
  const host = (more: object) => ({ ...servedBy({}).host, id: "h", keyFrom: undefined, ...more }) as never;
  const direct = { via: "direct", url: "http://h" };
  test.each([
    { name: "nothing", host: { reach: direct }, env: {}, problems: [] },
    {
      name: "a VPC binding",
      host: { reach: { via: "vpc", binding: "NOPE", url: "http://h" } },
      env: {},
      problems: ["hosts.0.reach.binding"],
    },
    {
      name: "a service token",
      host: { reach: { via: "access", url: "https://h" } },
      env: { ACCESS_CLIENT_ID: "id" },
      problems: ["hosts.0.reach.via"],
    },
    { name: "an engine's key", host: { reach: direct, keyFrom: "H_KEY" }, env: {}, problems: ["hosts.0.keyFrom"] },
    {
      name: "nothing, with the key there",
      host: { reach: direct, keyFrom: "H_KEY" },
      env: { H_KEY: "k" },
      problems: [],
    },
  ])("$name", ({ host: more, env, problems }) => {
    const said = reachProblems({ hosts: [host(more)] }, env as never);
    expect(said.map((problem) => problem.path)).toEqual(problems);
  });
});
