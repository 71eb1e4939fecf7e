/**
 * `GET /admin/fleet`: what the Fleet object knows, asked afresh: hosts and their load, who gets which share of a model's
 * traffic and why, the waiting line, and the latest decisions.
 */
import type { Catalog, Host, Model } from "#src/catalog/schema.ts";
import type { FleetPage } from "#src/fleet/fleet-words.ts";
import { capacityOf, type FleetView, pairKey, UNSEEN, UNTRIED } from "#src/fleet/view.ts";
import { POOL } from "#src/fleet/watch.ts";
import { type Candidate, type Weighed, weigh } from "#src/fleet/weigh.ts";
import type { KnownCall } from "#src/ingress/call.ts";
import { regionOf } from "#src/ingress/region.ts";
import { Problem } from "#src/problem.ts";

/** @throws Problem `unavailable` when the Fleet object cannot be reached */
export async function fleetPage({ env, catalog, request }: KnownCall): Promise<Response> {
  const page = await env.FLEET.getByName(POOL)
    .page()
    .catch((cause: unknown) => {
      throw new Problem("unavailable", { retryAfterS: 2, cause });
    });
  const nowMs = Date.now();
  const surroundings = { nowMs, region: regionOf(request) };
  return Response.json({
    hosts: catalog.hosts.map((host) => hostOf(host, page, nowMs)),
    models: catalog.models.map((model) => modelOf(catalog, model, page.view, surroundings)),
    line: {
      waiting: page.waiting.length,
      by_model: countBy(page.waiting.map(({ model }) => model)),
      by_account: countBy(page.waiting.map(({ account }) => account)),
      longest_wait_ms: Math.max(0, ...page.waiting.map(({ sinceMs }) => nowMs - sinceMs)),
    },
    decisions: page.decisions
      .toReversed()
      .map(({ atMs, id, model, host, why }) => ({ at: new Date(atMs).toISOString(), id, model, host, why })),
    catalog: { refused: page.refused },
    next_probe_at: new Date(page.nextProbeAtMs).toISOString(),
  });
}

function hostOf(host: Host, page: FleetPage, nowMs: number): Record<string, unknown> {
  const view = page.view.hosts[host.id] ?? UNSEEN;
  const known = page.hosts[host.id];
  const { running, waiting, kvUsage } = view.load;
  return {
    id: host.id,
    engine: host.engine,
    slots: host.slots,
    capacity: capacityOf(host),
    weight: host.weight,
    backup: host.backup,
    state: view.state,
    reason: known?.reason ?? null,
    draining: view.draining,
    in_flight: view.inFlight,
    /** Slots that isolates may fill by themselves. */
    given_in_advance: known?.spare ?? 0,
    load: { running, waiting, kv_usage: kvUsage },
    /** What the engine itself says. */
    engine_slots: known?.slots ?? null,
    /** Names of the catalog that the host does not serve. */
    missing: view.missing,
    busy_until: view.busyUntilMs > nowMs ? new Date(view.busyUntilMs).toISOString() : null,
  };
}

function modelOf(
  { hosts }: Catalog,
  { id, strategy, served }: Model,
  view: FleetView,
  surroundings: Parameters<typeof weigh>[3],
): Record<string, unknown> {
  const candidates = served.flatMap((one): Candidate[] => {
    const host = hosts.find((candidate) => candidate.id === one.host);
    return host === undefined || !one.enabled ? [] : [{ host, served: one }];
  });
  const splits = candidates.reduce((sum, { served }) => sum + (served.split ?? 0), 0);
  const rows = variantsOf(candidates).flatMap((variant) => {
    // Each variant has its part of the callers, and its hosts share that.
    const part = splits === 0 ? 1 : variant.reduce((sum, { served }) => sum + (served.split ?? 0), 0) / splits;
    return weigh(variant, strategy, view, surroundings).map((row) => rowOf(row, part, view));
  });
  return { id, strategy, hosts: rows };
}

/** Those of one name together where the model has splits; otherwise all are one. */
function variantsOf(candidates: readonly Candidate[]): Candidate[][] {
  if (candidates.every(({ served }) => served.split === undefined)) return [[...candidates]];
  return [...Map.groupBy(candidates, ({ served }) => served.as).values()];
}

function rowOf({ host, served: { as, split }, share, standing, why }: Weighed, part: number, view: FleetView) {
  const { breaker, openUntilMs, ttftMs, tokensPerS } = view.pairs[pairKey(host.id, as)] ?? UNTRIED;
  const open = breaker === "open" ? { open_until: new Date(openUntilMs).toISOString() } : {};
  const pace = { ttft_ms: ttftMs, tokens_per_s: tokensPerS };
  const named = split === undefined ? {} : { split };
  return { id: host.id, as, share: share * part, standing, why, breaker, ...open, ...pace, ...named };
}

function countBy(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1;
  return counts;
}
