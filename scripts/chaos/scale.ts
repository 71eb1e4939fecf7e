/** How big each scenario is. Plain numbers. */
import type { ScenarioName } from "./scenario.ts";
import type { Strategy } from "./shares.ts";

export type KillScale = {
  /** Of each host. */
  readonly slots: number;
  readonly perSecond: number;
  readonly killAfterMs: number;
  readonly downForMs: number;
  /** How long is waited for the host's return, and how long the load goes on after it. */
  readonly backWithinMs: number;
  readonly goOnForMs: number;
};
export type OverloadScale = {
  /** Requests before anything is measured: the runtime's heaps grow to their working size over the first ten thousand. */
  readonly warmUpRequests: number;
  readonly unloadedForMs: number;
  readonly overloadedForMs: number;
  /** Of the capacity. */
  readonly unloadedAt: number;
  readonly overloadedAt: number;
};
export type FlapScale = { readonly slots: number; readonly perSecond: number; readonly forMs: number };
export type SharesScale = {
  readonly strategies: readonly Strategy[];
  readonly requests: number;
  readonly perSecond: number;
};
export type AffinityScale = { readonly sessions: number; readonly turns: number; readonly perSecond: number };

export type Scale = {
  readonly kill: KillScale;
  readonly overload: OverloadScale;
  readonly flap: FlapScale;
  readonly shares: SharesScale;
  readonly affinity: AffinityScale;
  /** What is played at the same time; figures of speed want a stage of their own. */
  readonly rounds: readonly (readonly ScenarioName[])[];
  readonly progressEveryMs: number;
};

const ONE_BY_ONE = [["kill"], ["overload"], ["flap"], ["shares"], ["affinity"]] as const;
const ALL: readonly Strategy[] = ["weighted", "least-busy", "fastest", "cheapest", "nearest"];

export const FULL: Scale = {
  // Down for longer than the three probes take that put a host out.
  kill: { slots: 4, perSecond: 5, killAfterMs: 15_000, downForMs: 45_000, backWithinMs: 60_000, goOnForMs: 10_000 },
  overload: {
    warmUpRequests: 12_000,
    unloadedForMs: 60_000,
    overloadedForMs: 180_000,
    unloadedAt: 0.3,
    overloadedAt: 3,
  },
  flap: { slots: 4, perSecond: 8, forMs: 90_000 },
  shares: { strategies: ALL, requests: 2_000, perSecond: 50 },
  affinity: { sessions: 160, turns: 4, perSecond: 20 },
  rounds: ONE_BY_ONE,
  progressEveryMs: 5_000,
};

export const SHORT: Scale = {
  kill: { ...FULL.kill, killAfterMs: 8_000, downForMs: 15_000, goOnForMs: 5_000 },
  overload: { ...FULL.overload, warmUpRequests: 0, unloadedForMs: 20_000, overloadedForMs: 50_000 },
  flap: { ...FULL.flap, forMs: 60_000 },
  // Of 400 requests one in twenty runs is 5 points off by chance alone, of 1,000 one in some hundreds.
  shares: { ...FULL.shares, requests: 1_000 },
  affinity: { ...FULL.affinity, sessions: 64 },
  rounds: ONE_BY_ONE,
  progressEveryMs: 5_000,
};

/**
 * For the tests, which judge no figure of speed: scenarios share the machine where they do not share hosts, but for 65
 * requests per second and no more, and with slots that do not fill when each answer takes a second or two longer. What a
 * machine refuses because it does not keep up says nothing of the fleet.
 */
export const BRIEF: Scale = {
  kill: { ...FULL.kill, slots: 32, killAfterMs: 5_000, downForMs: 8_000, goOnForMs: 2_000 },
  // Shorter, and what the callers ask for by chance is less equal than 0.95.
  overload: { ...FULL.overload, warmUpRequests: 0, unloadedForMs: 3_000, overloadedForMs: 30_000 },
  flap: { ...FULL.flap, slots: 32, forMs: 25_000 },
  shares: { strategies: ["weighted"], requests: 1_000, perSecond: 40 },
  affinity: { ...FULL.affinity, sessions: 80, turns: 3, perSecond: 12 },
  rounds: [["kill", "flap", "affinity", "shares"], ["overload"]],
  progressEveryMs: 5_000,
};
