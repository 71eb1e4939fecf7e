/**
 * `GET /health`: what serves and what does not. Open to everyone, so it names models and host ids, and no address,
 * credential or cause.
 */
import type { Catalog } from "#src/catalog/schema.ts";
import { type HostState, mayServe } from "#src/fleet/health.ts";
import { fleetNow } from "#src/fleet/watch.ts";
import type { Call } from "./call.ts";

export type Health = {
  /** `ok` all serve, `degraded` some do, `down` none does. */
  readonly status: "ok" | "degraded" | "down";
  readonly models: Readonly<Record<string, "serving" | "not serving">>;
  readonly hosts: Readonly<Record<string, HostState>>;
};

/** Answers 503 when no model serves, so that a plain monitor sees it. */
export async function health(call: Call): Promise<Response> {
  const { states } = await fleetNow(call.isolate.fleet, call.env, call.defer);
  const document = healthOf(call.catalog, states);
  return Response.json(document, { status: document.status === "down" ? 503 : 200 });
}

/** The health of a catalog's models, by the state of their hosts. */
export function healthOf(catalog: Catalog, states: Readonly<Record<string, HostState>>): Health {
  const hosts = Object.fromEntries(catalog.hosts.map(({ id }) => [id, states[id] ?? "unknown"] as const));
  const models = Object.fromEntries(
    catalog.models.map(({ id, served }) => {
      const serves = served.some(({ host }) => mayServe(hosts[host] ?? "unknown"));
      return [id, serves ? "serving" : "not serving"] as const;
    }),
  );
  const serving = Object.values(models).filter((model) => model === "serving").length;
  const allUp = catalog.hosts.every(({ id }) => mayServe(hosts[id] ?? "unknown"));
  const status = serving === 0 ? "down" : allUp && serving === catalog.models.length ? "ok" : "degraded";
  return { status, models, hosts };
}
