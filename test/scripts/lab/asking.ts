// How the lab's tests talk to a host: start one that is gone after the test, ask it, read its events. Speaks plain HTTP.
import { request } from "node:http";
import { onTestFinished } from "vitest";
import { type LabHost, startLabHost } from "#scripts/lab/host.ts";
import type { LabHostOptions } from "#scripts/lab/options.ts";
import type { TruthEntry } from "#scripts/lab/truth.ts";

const QUICK: Omit<LabHostOptions, "engine"> = {
  id: "gpu",
  port: 0,
  models: ["llama"],
  slots: 4,
  ttftMs: 5,
  tokensPerSecond: 2000,
  contextTokens: 4096,
};

export interface Asked<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Body;
}

type AtLeastOne<Item> = readonly [Item, ...Item[]];

interface ToolCall {
  readonly function: { readonly name: string; readonly arguments: string };
}

interface Said {
  readonly role: string;
  readonly content: string;
  readonly tool_calls?: AtLeastOne<ToolCall>;
}

/** The members of either engine's replies that tests read; which of them a reply has is what the tests find out. */
export interface Reply {
  readonly choices: AtLeastOne<{
    readonly index: number;
    readonly text: string;
    readonly message: Said;
    readonly delta: Said;
    readonly finish_reason: string | null;
  }>;
  readonly usage: {
    readonly prompt_tokens: number;
    readonly completion_tokens: number;
    readonly prompt_tokens_details: { readonly cached_tokens: number };
  };
  readonly object: string;
  readonly content: string;
  readonly prompt: string;
  readonly timings: { readonly predicted_n: number };
  readonly data: AtLeastOne<{ readonly id: string; readonly embedding: readonly number[] & string }>;
  readonly count: number;
  readonly tokens: readonly number[];
  readonly error: object & string;
  readonly field: string;
  readonly kind: string;
}

/** A running host; it stops when the test ends. */
export async function hostFor(options: Partial<LabHostOptions> = {}): Promise<LabHost> {
  const host = await startLabHost({ ...QUICK, engine: "vllm", ...options });
  onTestFinished(() => host.stop());
  return host;
}

/** One request, read to its end. */
export async function ask<Body = Reply>(
  host: Pick<LabHost, "url">,
  path: string,
  body?: unknown,
  init: { method?: string; headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Asked<Body>> {
  const method = init.method ?? (body === undefined ? "GET" : "POST");
  const sent = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
  const response = await fetch(host.url + path, { redirect: "manual", ...init, method, ...sent });
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.startsWith("application/json") && text !== "";
  return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
}

/** The data of each whole event of a stream's text. */
export function eventsOf(text: string): string[] {
  return text
    .split("\n\n")
    .slice(0, -1)
    .map((event) => event.replace(/^data: /, ""));
}

/** The parsed events of a stream but [DONE]. */
export function chunksOf(text: string): Reply[] {
  return eventsOf(text)
    .filter((data) => data !== "[DONE]")
    .map((data) => JSON.parse(data));
}

/** A chat body of one user message. */
export function chatBody(content: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { model: "llama", messages: [{ role: "user", content }], ...more };
}

/** The whole answer's text, chat or raw. */
export async function answerOf(host: LabHost, path: string, body: unknown): Promise<string> {
  const { json } = await ask(host, path, body);
  const choice = json.choices?.[0];
  return choice?.message?.content ?? choice?.text ?? json.content;
}

/** The host's truth. */
export async function truthOf(host: LabHost): Promise<TruthEntry[]> {
  return (await ask<TruthEntry[]>(host, "/lab/truth")).json;
}

/** Waits until a reading of the host fits; the suite's own timeout is the limit. */
export async function until<T>(read: () => Promise<T>, fits: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read();
    if (fits(value)) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface RawOutcome {
  readonly status: number | undefined;
  readonly bytes: Buffer;
  /** How it ended: cleanly, or by which error code. */
  readonly ended: "clean" | string;
}

/** A request whose every byte is kept, whatever becomes of the connection; leaves after `leaveAfterMs`. */
export function askRaw(host: LabHost, path: string, body: unknown, leaveAfterMs?: number): Promise<RawOutcome> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let status: number | undefined;
    const done = (ended: string): void => resolve({ status, bytes: Buffer.concat(parts), ended });
    const req = request(host.url + path, { method: body === undefined ? "GET" : "POST", agent: false }, (res) => {
      status = res.statusCode;
      res.on("data", (part: Buffer) => parts.push(part));
      res.on("end", () => done("clean"));
      res.on("error", (problem: NodeJS.ErrnoException) => done(problem.code ?? "error"));
    });
    req.on("error", (problem: NodeJS.ErrnoException) => done(problem.code ?? "error"));
    if (leaveAfterMs !== undefined)
      setTimeout(() => {
        req.destroy();
        done("left");
      }, leaveAfterMs);
    req.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** A request to its end, its body as it came: undecoded, read by read. */
export function piecesOf(
  host: LabHost,
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<{ readonly encoding: string | undefined; readonly writes: Buffer[] }> {
  return new Promise((resolve, reject) => {
    const req = request(host.url + path, { method: "POST", agent: false, headers }, (res) => {
      const writes: Buffer[] = [];
      res.on("data", (part: Buffer) => writes.push(part));
      res.on("end", () => resolve({ encoding: res.headers["content-encoding"], writes }));
      res.on("error", reject);
    });
    req.on("error", reject);
    req.end(JSON.stringify(body));
  });
}
