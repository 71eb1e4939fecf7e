/** Hosts of one model, and what is known of them, with only what a test is about. */
import type { Model } from "#src/catalog/schema.ts";
import { UNKNOWN_LOAD } from "#src/fleet/load.ts";
import { type FleetView, type HostView, type PairView, pairKey, UNSEEN, UNTRIED } from "#src/fleet/view.ts";
import { type Candidate, type Weighed, weigh } from "#src/fleet/weigh.ts";
import { valid } from "#test/catalog/catalog-of.ts";

/** A host as the catalog has it, and what is known of it and of the model there. */
export type Box = {
  readonly id: string;
  readonly host?: Record<string, unknown>;
  readonly seen?: Partial<Omit<HostView, "load">> & Partial<HostView["load"]>;
  readonly pair?: Partial<PairView>;
};

export const NOW_MS = 1_790_000_000_000;

/** The name of the model on a host. */
export const nameOn = (id: string): string => `m-on-${id}`;

export function candidatesOf(boxes: readonly Box[]): Candidate[] {
  const { hosts, models } = valid({
    hosts: boxes.map(({ id, host }) => {
      return { id, engine: "vllm", slots: 4, reach: { via: "direct", url: `http://${id}` }, ...host };
    }),
    models: [{ id: "m", served: boxes.map(({ id }) => ({ host: id, as: nameOn(id) })) }],
  });
  return hosts.flatMap((host) => {
    const served = models[0]?.served.find((entry) => entry.host === host.id);
    return served === undefined ? [] : [{ host, served }];
  });
}

export function viewOf(boxes: readonly Box[]): FleetView {
  const hosts = boxes.flatMap(({ id, seen }): [string, HostView][] => {
    if (seen === undefined) return [];
    const { running, waiting, kvUsage, ...rest } = seen;
    const load = { ...UNKNOWN_LOAD, ...definedOf({ running, waiting, kvUsage }) };
    return [[id, { ...UNSEEN, state: "up", ...rest, load }]];
  });
  const pairs = boxes.flatMap(({ id, pair }): [string, PairView][] =>
    pair === undefined ? [] : [[pairKey(id, nameOn(id)), { ...UNTRIED, ...pair }]],
  );
  return { hosts: Object.fromEntries(hosts), pairs: Object.fromEntries(pairs) };
}

export function weighed(
  boxes: readonly Box[],
  strategy: Model["strategy"] = "weighted",
  region: readonly string[] = [],
): Weighed[] {
  return weigh(candidatesOf(boxes), strategy, viewOf(boxes), { nowMs: NOW_MS, region });
}

/** By host, rounded to a thousandth. */
export function sharesOf(rows: readonly Weighed[]): Record<string, number> {
  return Object.fromEntries(rows.map(({ host, share }) => [host.id, Math.round(share * 1_000) / 1_000]));
}

function definedOf<T extends object>(values: T): Partial<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<T>;
}
