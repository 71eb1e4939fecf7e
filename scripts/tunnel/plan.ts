/** Which tunnels a catalog asks for, and what each lets through: one tunnel per machine, one rule per host. Pure. */
import type { Host } from "#src/catalog/host.ts";
import type { Catalog } from "#src/catalog/schema.ts";
import { Refusal } from "../stack/refusal.ts";
import { pathRuleOf, pathsOf } from "./paths.ts";

export type PlannedRule = {
  readonly host: string;
  readonly hostname: string;
  /** cloudflared's `path`. */
  readonly path: string;
  /** Where the engine listens. */
  readonly service: string;
  /** Every path that the rule must let through. */
  readonly allowed: readonly string[];
};

export type PlannedTunnel = { readonly name: string; readonly rules: readonly PlannedRule[] };

/** Where engines listen when nobody tells them. */
const USUAL_SERVICE: Readonly<Record<Host["engine"], string | null>> = {
  vllm: "http://127.0.0.1:8000",
  llamacpp: "http://127.0.0.1:8080",
  openai: null,
};

/**
 * The tunnels of a catalog, in its order.
 *
 * @throws Refusal (exit code 2) when no host is reached by `access`, or one's address is not known, by its path
 */
export function planOf({ hosts }: Pick<Catalog, "hosts">): readonly PlannedTunnel[] {
  const tunnels = new Map<string, PlannedRule[]>();
  for (const [at, host] of hosts.entries()) {
    if (host.reach.via !== "access") continue;
    const { url, service = USUAL_SERVICE[host.engine], tunnel = host.id } = host.reach;
    const { protocol, hostname, pathname } = new URL(url);
    if (protocol !== "https:") throw new Refusal(2, `hosts.${at}.reach.url: Access guards https alone, not ${url}.`);
    if (service === null) {
      throw new Refusal(2, `hosts.${at}.reach.service is missing: where does ${host.id} listen on its machine?`);
    }
    const base = pathname.replace(/\/$/, "");
    const allowed = pathsOf(host).map((path) => base + path);
    const rules = tunnels.get(tunnel) ?? [];
    rules.push({ host: host.id, hostname, path: pathRuleOf(host, base), service, allowed });
    tunnels.set(tunnel, rules);
  }
  if (tunnels.size === 0) {
    throw new Refusal(2, 'No host of the catalog is reached via "access", so it needs no tunnel of this kind.');
  }
  return [...tunnels].map(([name, rules]) => ({ name, rules }));
}
