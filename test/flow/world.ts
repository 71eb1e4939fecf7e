/** What flow tests see of the running system: the official client, the lab's truth, the ledger's rows. */
import OpenAI from "openai";
import pg from "pg";
import { z } from "zod";
import { eventually } from "./eventually.ts";
import { stack } from "./stack.ts";

const truthEntry = z.object({
  id: z.string(),
  requestId: z.string().nullable(),
  model: z.string(),
  promptTokens: z.number(),
  completionTokens: z.number(),
  ended: z.enum(["stop", "length", "aborted", "fault"]).nullable(),
});
export type TruthEntry = z.infer<typeof truthEntry>;

const ledgerRow = z.object({
  id: z.string(),
  model: z.string(),
  user_id: z.string(),
  host: z.string().nullable(),
  outcome: z.string(),
  cache: z.string(),
  estimated: z.boolean(),
  finish_reason: z.string().nullable(),
  attempts: z.number(),
  prompt_tokens: z.number(),
  completion_tokens: z.number(),
  tokens_used: z.coerce.number(),
  cost_estimate: z.coerce.number().nullable(),
  workflow_id: z.string().nullable(),
});
export type LedgerRow = z.infer<typeof ledgerRow>;

export type Principal = "basic" | "default" | "premium" | "enterprise" | "admin" | "monitoring";

/** The official client, without retries of its own unless asked. */
export function clientOf(principal: Principal | "apiKey", maxRetries = 0): OpenAI {
  return new OpenAI({ apiKey: credentialOf(principal), baseURL: `${stack.gateway}/v1`, maxRetries });
}

export function credentialOf(principal: Principal | "apiKey"): string {
  const { tokens, apiKey } = stack;
  const credential = principal === "apiKey" ? apiKey : tokens[principal];
  if (credential === undefined) throw new Error(`stack.json has no token for ${principal}`);
  return credential;
}

/** A plain request to the gateway, for what the client hides. */
export function ask(path: string, init: RequestInit & { as?: Principal | "apiKey" } = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  if (init.as !== undefined) headers.set("authorization", `Bearer ${credentialOf(init.as)}`);
  if (init.body !== undefined && !headers.has("content-type")) headers.set("content-type", "application/json");
  return fetch(`${stack.gateway}${path}`, { ...init, headers });
}

export function hostUrl(host: string): string {
  const url = stack.hosts[host];
  if (url === undefined) throw new Error(`no lab host ${host}`);
  return url;
}

export async function setFault(host: string, fault: Record<string, unknown>): Promise<void> {
  const response = await fetch(`${hostUrl(host)}/lab/fault`, { method: "POST", body: JSON.stringify(fault) });
  if (!response.ok) throw new Error(`the lab refused the fault: ${await response.text()}`);
}

export async function clearFaults(host: string): Promise<void> {
  await fetch(`${hostUrl(host)}/lab/fault`, { method: "DELETE" });
}

export async function setPace(host: string, pace: Record<string, number>): Promise<void> {
  await fetch(`${hostUrl(host)}/lab/pace`, { method: "POST", body: JSON.stringify(pace) });
}

/** The lab's own record of a request; undefined when no generation began. */
export async function truthOf(host: string, requestId: string): Promise<TruthEntry | undefined> {
  return (await truthsOf(host)).find((entry) => entry.requestId === requestId);
}

export async function truthsOf(host: string): Promise<TruthEntry[]> {
  const response = await fetch(`${hostUrl(host)}/lab/truth`);
  return z.array(truthEntry).parse(await response.json());
}

/** The request id that the gateway sent with the newest request to a host; undefined when there was none. */
export async function lastRequestId(host: string): Promise<string | undefined> {
  const requests = z
    .array(z.object({ headers: z.record(z.string(), z.unknown()) }))
    .parse(await (await fetch(`${hostUrl(host)}/lab/requests`)).json());
  const last = requests.findLast(({ headers }) => "x-request-id" in headers);
  return z.string().optional().parse(last?.headers["x-request-id"]);
}

/** Rows of the ledger by request id. */
export async function rowsOf(ids: readonly string[]): Promise<LedgerRow[]> {
  return query("SELECT * FROM inference_logs WHERE id = ANY($1::uuid[])", [ids]);
}

async function query(text: string, values: unknown[]): Promise<LedgerRow[]> {
  const client = new pg.Client({ connectionString: stack.database });
  await client.connect();
  try {
    return z.array(ledgerRow).parse((await client.query(text, values)).rows);
  } finally {
    await client.end();
  }
}

/** The row of one request, once the queue has brought it: at once, or after two retries where the machine is busy. */
export async function rowOf(id: string): Promise<LedgerRow> {
  return eventually(async () => (await rowsOf([id]))[0], `the ledger has no row for ${id}`, 40_000);
}
