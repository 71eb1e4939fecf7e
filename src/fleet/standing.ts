/**
 * Whether a host may be given work at all, by what is known of it, and how gladly it takes some. Pure. A view is up to
 * 2 s old and an engine's own words up to a probe older: what a host may not be given is for the Fleet object to say,
 * this only says where to ask first.
 */
import type { Host, Served } from "#src/catalog/schema.ts";
import { mayServe } from "./health.ts";
import { capacityOf, type FleetView, type HostView, type PairView, pairKey, UNSEEN, UNTRIED } from "./view.ts";

/** One host that could answer, and the model's name there. */
export type Candidate = { readonly host: Host; readonly served: Served };

export type Standing = {
  readonly standing: "able" | "full" | "out";
  /** The host says that it does not serve the name. */
  readonly lacksName: boolean;
  /** Short, for the admin's page. */
  readonly why: string;
  /** 1 for a host at its ease; less where it is to be given only this part of what it would be given. */
  readonly ease: number;
  /** 1 with room to spare, falling to `REST` as it fills. */
  readonly pressure: number;
  /** Free slots, as far as is known; never less than a part of one, or a wrong count would cut a host off. */
  readonly room: number;
};

/** What is left of a share when a host is all but full. */
const REST = 0.1;
/** While a breaker is half open a host gets this part of its share: trial calls, of which there are ten at most. */
const TRIAL_PART = 0.1;
/** A host that said it has too much to do, until then: hardly anything, and everything where there is no other. */
const BUSY_PART = 0.01;
/** From half of its slots on a host begins to lose share. Below that the operator's weights hold to the letter. */
const FILLING_FROM = 0.5;
/** The Kubernetes endpoint picker's rule: saturated with 5 waiting inside the engine, or a KV cache used to 0.8. */
const SATURATED_WAITING = 5;
const SATURATED_KV = 0.8;

/** The standing of one host for one model. */
export function standingOf({ host, served }: Candidate, view: FleetView, nowMs: number): Standing {
  const seen = view.hosts[host.id] ?? UNSEEN;
  const pair = view.pairs[pairKey(host.id, served.as)] ?? UNTRIED;
  const capacity = capacityOf(host);
  const { running, waiting, kvUsage } = seen.load;
  // Others may use the engine too. What it says is older than the pool's own count, so that alone makes no host full.
  const used = Math.max(seen.inFlight, running ?? 0);
  const figures = {
    ease: Math.min(isTrial(pair, nowMs) ? TRIAL_PART : 1, seen.busyUntilMs > nowMs ? BUSY_PART : 1),
    pressure: Math.min(
      falling(used / capacity, FILLING_FROM, 1),
      falling(waiting ?? 0, 0, SATURATED_WAITING),
      // Engines work well up to there, and preempt near 1.
      falling(kvUsage ?? 0, SATURATED_KV, 1),
    ),
    room: Math.max(REST, capacity - used - (waiting ?? 0)),
  };
  const lacksName = seen.missing.includes(served.as);
  const obstacle = obstacleOf(seen, pair, nowMs);
  if (obstacle !== null) return { standing: "out", lacksName, why: obstacle, ...figures };
  const standing = seen.inFlight >= capacity ? "full" : "able";
  const words = wordsFor(standing, seen, pair, capacity, nowMs);
  return { standing, lacksName, why: lacksName ? `does not serve ${served.as}, ${words}` : words, ...figures };
}

function isTrial({ breaker, openUntilMs }: PairView, nowMs: number): boolean {
  return breaker === "half-open" || (breaker === "open" && openUntilMs <= nowMs);
}

/** Why nothing may start there; null when something may. */
function obstacleOf({ state, draining }: HostView, pair: PairView, nowMs: number): string | null {
  if (draining) return "draining";
  if (!mayServe(state)) return state;
  return pair.breaker === "open" && !isTrial(pair, nowMs) ? "breaker open" : null;
}

function wordsFor(
  standing: "able" | "full",
  { state, inFlight, busyUntilMs, load: { waiting } }: HostView,
  pair: PairView,
  capacity: number,
  nowMs: number,
): string {
  const words = [state === "unknown" ? "not probed yet" : state];
  if (standing === "full") words.push("full");
  words.push(`${inFlight} of ${capacity} in flight`);
  if (waiting !== null && waiting > 0) words.push(`${waiting} waiting in the engine`);
  if (busyUntilMs > nowMs) words.push(`busy for ${Math.ceil((busyUntilMs - nowMs) / 1000)} s`);
  if (isTrial(pair, nowMs)) words.push("breaker half open: trial calls");
  return words.join(", ");
}

/** 1 up to `from`, `REST` from `to` on, a straight line between: a step would have all isolates jump at once. */
function falling(value: number, from: number, to: number): number {
  const part = Math.min(1, Math.max(0, (value - from) / (to - from)));
  return 1 - part * (1 - REST);
}
