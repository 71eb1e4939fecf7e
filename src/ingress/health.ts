/**
 * `GET /health`: what serves and what does not. Open to everyone, so it names models and host ids, and no address,
 * credential or cause.
 */
import { type Catalog, isEnabled, type Model } from "#src/catalog/schema.ts";
import { type HostState, mayServe } from "#src/fleet/health.ts";
import { fleetNow } from "#src/fleet/watch.ts";
import type { Call } from "./call.ts";

export type Health = {
  /** `ok` all serve, `degraded` some do, `down` none does. A model that its operator has switched off is no trouble. */
  readonly status: "ok" | "degraded" | "down";
  readonly models: Readonly<Record<string, "serving" | "not serving" | "disabled">>;
  readonly hosts: Readonly<Record<string, HostState>>;
};

/** Answers 503 when no model serves, so that a plain monitor sees it. */
export async function health(call: Call): Promise<Response> {
  const { view } = await fleetNow(call.isolate.fleet, call.env, call.defer);
  const states = Object.fromEntries(Object.entries(view.hosts).map(([host, { state }]) => [host, state]));
  const document = healthOf(call.catalog, states);
  return Response.json(document, { status: document.status === "down" ? 503 : 200 });
}

/** The health of a catalog's models, by the state of their hosts. */
export function healthOf(catalog: Catalog, states: Readonly<Record<string, HostState>>): Health {
  const hosts = Object.fromEntries(catalog.hosts.map(({ id }) => [id, states[id] ?? "unknown"] as const));
  const models = Object.fromEntries(catalog.models.map((model) => [model.id, stateOf(model, hosts)] as const));
  const wanted = Object.values(models).filter((model) => model !== "disabled");
  const serving = wanted.filter((model) => model === "serving").length;
  const allUp = catalog.hosts.every(({ id }) => mayServe(hosts[id] ?? "unknown"));
  const status = serving === 0 ? "down" : allUp && serving === wanted.length ? "ok" : "degraded";
  return { status, models, hosts };
}

function stateOf(model: Model, hosts: Readonly<Record<string, HostState>>): Health["models"][string] {
  if (!isEnabled(model)) return "disabled";
  const serves = model.served.some(({ host, enabled }) => enabled && mayServe(hosts[host] ?? "unknown"));
  return serves ? "serving" : "not serving";
}
