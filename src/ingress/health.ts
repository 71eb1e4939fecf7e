/**
 * `GET /health`: what serves and what does not. Open to everyone, so it names models and host ids, and no address,
 * credential or cause.
 */
import type { Catalog } from "#src/catalog/schema.ts";
import { type HostState, mayServe } from "#src/fleet/health.ts";

export type Health = {
  /** `ok` all serve, `degraded` some do, `down` none does. */
  readonly status: "ok" | "degraded" | "down";
  readonly models: Readonly<Record<string, "serving" | "not serving">>;
  readonly hosts: Readonly<Record<string, HostState>>;
};

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
