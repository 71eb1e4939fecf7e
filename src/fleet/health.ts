/**
 * What probes say about one host, as a pure reducer. Three failures take a host out, two successes bring it back; a
 * host that says it is loading is neither: it is left alone until it says something else.
 */

export type ProbeResult = "healthy" | "loading" | "failed";
export type HostState = "unknown" | "up" | "loading" | "down";

export type HostHealth = {
  readonly state: HostState;
  /** Probes in a row with the same result. */
  readonly inRow: number;
  readonly lastResult: ProbeResult | null;
};

export const NEVER_PROBED: HostHealth = { state: "unknown", inRow: 0, lastResult: null };

const FAILURES_TO_GO_OUT = 3;
const SUCCESSES_TO_COME_BACK = 2;

/** The host's health after one more probe. */
export function observe(health: HostHealth, result: ProbeResult): HostHealth {
  const inRow = health.lastResult === result ? health.inRow + 1 : 1;
  return { state: nextState(health.state, result, inRow), inRow, lastResult: result };
}

function nextState(state: HostState, result: ProbeResult, inRow: number): HostState {
  if (result === "loading") return "loading";
  // Between "unknown" or "loading" and its first good answer a host has given no reason for doubt.
  if (result === "healthy") return state !== "down" || inRow >= SUCCESSES_TO_COME_BACK ? "up" : "down";
  return inRow >= FAILURES_TO_GO_OUT ? "down" : state;
}

/** Hosts not known to be unable: an unprobed host is tried, so that a cold fleet serves. */
export function mayServe(state: HostState): boolean {
  return state === "up" || state === "unknown";
}
