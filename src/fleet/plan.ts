/**
 * Who shall answer, in which order: a weighted draw among the healthy primaries, then among the healthy backups. Pure;
 * chance is an argument.
 */
import type { Catalog, Host, Model, Served } from "#src/catalog/schema.ts";
import { type HostState, mayServe } from "./health.ts";

/** One host that could answer, and the model's name there. */
export type Candidate = { readonly host: Host; readonly served: Served };

/**
 * Orders the hosts that may serve a model.
 *
 * @param states by host id; a host that is not listed counts as unknown
 * @param random uniform in [0, 1)
 * @returns first choice first; empty when no host can serve
 */
export function plan(
  catalog: Catalog,
  model: Model,
  states: Readonly<Record<string, HostState>>,
  random: () => number,
): Candidate[] {
  const able: Candidate[] = [];
  for (const served of model.served) {
    const host = catalog.hosts.find(({ id }) => id === served.host);
    if (host !== undefined && mayServe(states[host.id] ?? "unknown")) able.push({ host, served });
  }
  const primaries = able.filter(({ host }) => !host.backup);
  const backups = able.filter(({ host }) => host.backup);
  return [...draw(primaries, random), ...draw(backups, random)];
}

/** A weighted shuffle: each place is drawn from those left, in proportion to weight. */
function draw(candidates: readonly Candidate[], random: () => number): Candidate[] {
  const left = [...candidates];
  const order: Candidate[] = [];
  while (left.length > 0) {
    const total = left.reduce((sum, { host }) => sum + host.weight, 0);
    let ticket = random() * total;
    const at = left.findIndex(({ host }) => {
      ticket -= host.weight;
      return ticket < 0;
    });
    // Rounding can leave a ticket of exactly 0 after the last: that is the last one's.
    order.push(...left.splice(at === -1 ? left.length - 1 : at, 1));
  }
  return order;
}
