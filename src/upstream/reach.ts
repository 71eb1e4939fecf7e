/**
 * How a host is reached: one interface over a plain URL, a public hostname behind Cloudflare Access, and a Workers VPC
 * binding. The upstream URL is the catalog's base and a fixed path, never anything a caller wrote, and the headers are
 * an allow-list made here.
 */
import type { Catalog, CatalogProblem, Host } from "#src/catalog/schema.ts";
import { type Env, secretOf } from "#src/env.ts";
import { throughVpc } from "./vpc.ts";

/** What is asked, with plain headers. */
export type AskInit = Omit<RequestInit, "headers"> & { readonly headers?: Readonly<Record<string, string>> };

/** Asks a path of one host. Rejects when the host cannot be reached, and with the signal's reason when that is aborted. */
export type Ask = (path: string, init: AskInit) => Promise<Response>;

/**
 * The way to a host.
 *
 * @param fetcher the platform's fetch
 */
export function reach(host: Host, env: Env, fetcher: typeof fetch): Ask {
  const credentials = credentialHeaders(host, env);
  const send = senderOf(host, env, fetcher);
  return (path, init) => {
    // A plain object: `Headers` is one of the platform's, and made twice.
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(init.headers ?? {})) headers[name.toLowerCase()] = value;
    // Compressed event streams may sit in an encoder until it is full.
    headers["accept-encoding"] = "identity";
    Object.assign(headers, credentials);
    // A redirect would carry the engine's key and the service token elsewhere; `door.ts` says what it means.
    return send(`${host.reach.url}${path}`, { ...init, headers, redirect: "manual" });
  };
}

const checked = new WeakMap<object, { readonly env: Env; readonly problems: readonly CatalogProblem[] }>();

/**
 * What the Worker lacks to reach the catalog's hosts.
 *
 * @returns a reason per field at fault, by its path in the catalog; empty when all is well. Paid once per catalog.
 */
export function reachProblems(catalog: Pick<Catalog, "hosts">, env: Env): readonly CatalogProblem[] {
  const known = checked.get(catalog);
  if (known?.env === env) return known.problems;
  const problems = problemsOf(catalog, env);
  checked.set(catalog, { env, problems });
  return problems;
}

function problemsOf({ hosts }: Pick<Catalog, "hosts">, env: Env): CatalogProblem[] {
  return hosts.flatMap(({ reach, keyFrom }, at) => {
    const problems: CatalogProblem[] = [];
    const flag = (field: string, reason: string) => problems.push({ path: `hosts.${at}.${field}`, reason });
    if (reach.via === "vpc" && !isFetcher(Reflect.get(env, reach.binding))) {
      flag("reach.binding", `there is no binding ${reach.binding}`);
    }
    if (reach.via === "access" && (!env.ACCESS_CLIENT_ID || !env.ACCESS_CLIENT_SECRET)) {
      flag("reach.via", "access needs the secrets ACCESS_CLIENT_ID and ACCESS_CLIENT_SECRET");
    }
    if (keyFrom !== undefined && secretOf(env, keyFrom) === undefined) {
      flag("keyFrom", `the secret ${keyFrom} is not set`);
    }
    return problems;
  });
}

function senderOf(host: Host, env: Env, fetcher: typeof fetch): (url: string, init: RequestInit) => Promise<Response> {
  if (host.reach.via !== "vpc") return (url, init) => fetcher(url, init);
  const service: unknown = Reflect.get(env, host.reach.binding);
  if (!isFetcher(service)) throw new Error(`hosts.${host.id}.reach.binding: no binding ${host.reach.binding}`);
  return (url, init) => throughVpc(service, url, init);
}

function isFetcher(value: unknown): value is Fetcher {
  return typeof value === "object" && value !== null && "fetch" in value;
}

function credentialHeaders(host: Host, env: Env): Record<string, string> {
  const headers: Record<string, string> = {};
  const key = host.keyFrom === undefined ? undefined : secretOf(env, host.keyFrom);
  if (key !== undefined) headers.authorization = `Bearer ${key}`;
  if (host.reach.via === "access") {
    headers["cf-access-client-id"] = env.ACCESS_CLIENT_ID ?? "";
    headers["cf-access-client-secret"] = env.ACCESS_CLIENT_SECRET ?? "";
  }
  return headers;
}
