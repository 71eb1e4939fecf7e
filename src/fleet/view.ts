/**
 * What is known of hosts, as the Fleet object tells it to isolates: plain values for the functions that choose by them.
 */
import type { Host } from "#src/catalog/schema.ts";
import type { HostState } from "./health.ts";
import { type HostLoad, UNKNOWN_LOAD } from "./load.ts";

export type HostView = {
  readonly state: HostState;
  /** An operator has asked that nothing new starts here. */
  readonly draining: boolean;
  /** The engine's own words at the last probe. */
  readonly load: HostLoad;
  /** Requests that the pool has in flight there. */
  readonly inFlight: number;
  /** It said that it has too much to do, and until when; ms since the epoch, 0 when it has not. */
  readonly busyUntilMs: number;
  /** Names of the catalog that it does not serve. */
  readonly missing: readonly string[];
};

/** A host that nobody has asked yet: it is tried. */
export const UNSEEN: HostView = {
  state: "unknown",
  draining: false,
  load: UNKNOWN_LOAD,
  inFlight: 0,
  busyUntilMs: 0,
  missing: [],
};

/** What calls of one model to one host have shown. */
export type PairView = {
  readonly breaker: "closed" | "open" | "half-open";
  /** Of an open one: when it lets trial calls through, ms since the epoch. */
  readonly openUntilMs: number;
  /** Moving averages; null while nothing was measured. */
  readonly ttftMs: number | null;
  readonly tokensPerS: number | null;
};

export const UNTRIED: PairView = { breaker: "closed", openUntilMs: 0, ttftMs: null, tokensPerS: null };

/** Everything that a choice goes by; what is not listed is unseen or untried. */
export type FleetView = {
  readonly hosts: Readonly<Record<string, HostView>>;
  /** By `pairKey`. */
  readonly pairs: Readonly<Record<string, PairView>>;
};

/** The key of a host and one of the names that it serves. */
export function pairKey(host: string, servedAs: string): string {
  return `${host}\n${servedAs}`;
}

/** Requests that may be in flight on a host at once. */
export function capacityOf({ slots, overcommit }: Pick<Host, "slots" | "overcommit">): number {
  return Math.max(1, Math.floor(slots * overcommit));
}
