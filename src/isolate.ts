/**
 * What one isolate remembers between requests: values only, never promises or streams, because a promise made in one
 * request hangs every other request that awaits it once its own is cancelled.
 */
import { type AuthMemory, newAuthMemory } from "./auth/memory.ts";
import { type CatalogMemory, newCatalogMemory } from "./catalog/copy.ts";
import type { Env } from "./env.ts";
import { AffinityLoads } from "./fleet/affinity.ts";
import { newSnapshotMemory, type SnapshotMemory } from "./fleet/snapshot.ts";
import type { Penalties } from "./ingress/guard.ts";
import { type Denials, newDenials } from "./ingress/record.ts";
import type { Shadows } from "./ingress/shadow.ts";
import type { LocalAllowances } from "./limits/local-allowance.ts";
import { ByModel } from "./upstream/by-model.ts";
import { Hedging } from "./upstream/hedging.ts";
import { RetryBudget } from "./upstream/retry-budget.ts";

export type Isolate = {
  readonly catalog: CatalogMemory;
  readonly fleet: SnapshotMemory;
  /** What it has given to which host, for warmth within bounds. */
  readonly loads: AffinityLoads;
  readonly retries: ByModel<RetryBudget>;
  readonly hedges: ByModel<Hedging>;
  readonly shadows: Shadows;
  readonly auth: AuthMemory;
  readonly penalties: Penalties;
  readonly denials: Denials;
  readonly allowances: LocalAllowances;
  /** By account: the files that it sends at the moment. */
  readonly uploads: Map<string, number>;
};

const isolates = new WeakMap<object, Isolate>();

/** The memory that belongs to these bindings. */
export function isolateOf(env: Env): Isolate {
  const known = isolates.get(env);
  if (known !== undefined) return known;
  const fresh = {
    catalog: newCatalogMemory(),
    fleet: newSnapshotMemory(),
    loads: new AffinityLoads(),
    retries: new ByModel(() => new RetryBudget()),
    hedges: new ByModel(() => new Hedging()),
    shadows: new Map(),
    auth: newAuthMemory(),
    penalties: new Map(),
    denials: newDenials(),
    allowances: new Map(),
    uploads: new Map(),
  };
  isolates.set(env, fresh);
  return fresh;
}
