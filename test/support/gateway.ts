/**
 * The whole Worker inside workerd, with what stands around it played by one `fetch`: an issuer that signs tokens and a
 * host that answers. The catalog is the operator's own, in KV.
 */
import { env, exports } from "cloudflare:workers";
import { vi } from "vitest";
import { CATALOG_KEY } from "#src/catalog/load.ts";
import type { JsonObject } from "#src/json.ts";
import { AUDIENCE, type TestIssuer, testIssuer } from "./issuer.ts";

const WIDE = { rpm: 1_000, rph: 10_000, rpd: 100_000, tpm: 1_000_000, concurrency: 100, share: 1 };

export const CATALOG = {
  hosts: [{ id: "gpu", engine: "vllm", reach: { via: "direct", url: "http://gpu.test" } }],
  models: [
    { id: "cached", served: [{ host: "gpu", as: "c" }], cache: { ttl: 60, scope: "user" }, price: { per1kTokens: 1 } },
    { id: "org/plain", served: [{ host: "gpu", as: "p" }] },
    { id: "embedder", kind: "embedding", served: [{ host: "gpu", as: "e" }] },
  ],
  tiers: { default: WIDE, basic: { ...WIDE, rpm: 2 } },
};

export const CHAT = { model: "org/plain", messages: [{ role: "user", content: "hi" }] };
const ANSWER = {
  id: "a",
  object: "chat.completion",
  choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "hello" } }],
  usage: { prompt_tokens: 11, completion_tokens: 7, total_tokens: 18 },
};

/** The host's part of a conversation, of a form its fields; the signal is aborted when it is hung up on. */
export type Host = (body: JsonObject, signal?: AbortSignal | null, path?: string) => Response | Promise<Response>;

/** What a host was sent. */
export async function sentTo(init: RequestInit | undefined): Promise<JsonObject> {
  const { body = null, headers = {} } = init ?? {};
  if (body instanceof ReadableStream) return Object.fromEntries(await new Response(body, { headers }).formData());
  return JSON.parse(String(body));
}

/** The same answer whole or, where it is asked for, as a stream. */
export const answering: Host = (body) => {
  if (body.stream !== true) return Response.json(ANSWER);
  return streamed([
    { choices: [{ index: 0, delta: { role: "assistant", content: "hello" }, finish_reason: null }] },
    { choices: [{ index: 0, delta: {}, finish_reason: "stop" }] },
    { choices: [], usage: ANSWER.usage },
  ]);
};

/** A whole event stream. */
export function streamed(documents: readonly object[]): Response {
  const events = [...documents.map((document) => JSON.stringify(document)), "[DONE]"];
  const text = events.map((data) => `data: ${data}\n\n`).join("");
  return new Response(text, { headers: { "content-type": "text/event-stream" } });
}

export type Gateway = {
  readonly issuer: TestIssuer;
  /** A request to the Worker; with a body it is a POST of JSON. */
  ask(path: string, request?: Asked): Promise<Response>;
  /** URLs that the host was asked for, probes left out. */
  readonly asked: string[];
};

export type Asked = {
  readonly method?: string;
  /** Claims that the token differs by; null for no token. */
  readonly as?: Record<string, unknown> | null;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Aborted when the caller leaves. */
  readonly signal?: AbortSignal;
};

/** Puts the catalog in force and takes over `fetch`, until mocks are restored. */
export async function startGateway(catalog: object = CATALOG, host: Host = answering): Promise<Gateway> {
  const issuer = await testIssuer(Date.now(), env.OIDC_ISSUER);
  const asked: string[] = [];
  await env.KV.put(CATALOG_KEY, JSON.stringify(catalog));
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    if (!url.startsWith("http://gpu.test/")) return issuer.fetcher(input, init);
    if (url.endsWith("/health")) return new Response("ok");
    // Probes ask for more than health, whenever their time has come, and are no questions: those are posted.
    if (init?.method !== "POST") return new Response(null, { status: 404 });
    asked.push(url);
    return host(await sentTo(init), init?.signal ?? null, new URL(url).pathname);
  });
  const ask = async (path: string, { method, as = {}, body, headers = {}, signal }: Asked = {}): Promise<Response> => {
    const sent = new Headers(headers);
    if (as !== null && !sent.has("authorization")) {
      sent.set("authorization", `Bearer ${await issuer.sign({ aud: AUDIENCE, tier: "default", ...as })}`);
    }
    const way = { headers: sent, signal: signal ?? null };
    if (body === undefined) return exports.default.fetch(`http://x${path}`, { method: method ?? "GET", ...way });
    // A form says its own, with its boundary.
    if (!sent.has("content-type") && !(body instanceof FormData)) sent.set("content-type", "application/json");
    const isRaw = typeof body === "string" || body instanceof Uint8Array || body instanceof FormData;
    const bytes = isRaw ? body : JSON.stringify(body);
    return exports.default.fetch(`http://x${path}`, { method: method ?? "POST", ...way, body: bytes });
  };
  return { issuer, ask, asked };
}
