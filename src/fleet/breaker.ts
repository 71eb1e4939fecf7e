/**
 * A circuit breaker, one per host and model, as a pure reducer. It opens at half of the calls failed within 30 s, stays
 * open for 60 s, and then lets trial calls through: never more than ten in all, nor more at once than the host has slots
 * for. What a trial brings decides whether it closes or opens anew.
 *
 * A failure is the host's: no connection, no headers in time, 502 to 504, a stream that dies. A caller's own error or
 * departure counts for nothing, and a host that says it is busy is not broken.
 */

const WINDOW_MS = 30_000;
/** Calls are counted in tenths of the window. */
const SLICE_MS = WINDOW_MS / 10;
/** Fewer calls than that prove nothing. */
const MIN_CALLS = 10;
const FAILED_PART = 0.5;
const OPEN_FOR_MS = 60_000;
const MAX_TRIALS = 10;
/** A trial whose outcome never came does not block the next one for ever. */
const TRIAL_WITHIN_MS = 60_000;

type Slice = { readonly atMs: number; readonly calls: number; readonly failures: number };

export type Breaker =
  | { readonly state: "closed"; readonly slices: readonly Slice[] }
  | { readonly state: "open"; readonly untilMs: number }
  | {
      readonly state: "half-open";
      /** When each trial under way began. */
      readonly underWay: readonly number[];
      readonly successes: number;
      readonly failures: number;
    };

export const CLOSED: Breaker = { state: "closed", slices: [] };

/** The breaker at a time: an open one becomes half-open by itself. */
export function at(breaker: Breaker, nowMs: number): Breaker {
  if (breaker.state === "open") {
    return nowMs < breaker.untilMs ? breaker : { state: "half-open", underWay: [], successes: 0, failures: 0 };
  }
  if (breaker.state === "half-open") {
    return { ...breaker, underWay: breaker.underWay.filter((sinceMs) => nowMs - sinceMs < TRIAL_WITHIN_MS) };
  }
  return breaker;
}

/**
 * Whether a call may be made, and the breaker with that call under way.
 *
 * @param slots of the host: as many trials may run at once, and ten at most
 */
export function permit(breaker: Breaker, slots: number, nowMs: number): { breaker: Breaker; permitted: boolean } {
  const now = at(breaker, nowMs);
  if (now.state === "closed") return { breaker: now, permitted: true };
  if (now.state === "open") return { breaker: now, permitted: false };
  const { underWay, successes, failures } = now;
  const permitted = underWay.length < slots && underWay.length + successes + failures < MAX_TRIALS;
  return { breaker: permitted ? { ...now, underWay: [...underWay, nowMs] } : now, permitted };
}

/** How calls ended: `neither` for those that say nothing about the host. */
export type Calls = { readonly successes: number; readonly failures: number; readonly neither: number };

/** The breaker of a host that was gone and has come back: it need not wait out its time to be tried. */
export function recovered(breaker: Breaker, nowMs: number): Breaker {
  return breaker.state === "open" ? at({ ...breaker, untilMs: nowMs }, nowMs) : breaker;
}

/** The breaker after calls that have ended. */
export function observe(breaker: Breaker, { successes, failures, neither }: Calls, nowMs: number): Breaker {
  const now = at(breaker, nowMs);
  // Calls that began before it opened tell nothing new.
  if (now.state === "open") return now;
  if (now.state === "half-open") {
    // Nor do they while no trial is under way.
    if (now.underWay.length === 0) return now;
    const underWay = now.underWay.slice(successes + failures + neither);
    return judged({ ...now, underWay, successes: now.successes + successes, failures: now.failures + failures }, nowMs);
  }
  const calls = successes + failures;
  if (calls === 0) return now;
  const recent = now.slices.filter(({ atMs }) => nowMs - atMs < WINDOW_MS);
  const sliceAtMs = Math.floor(nowMs / SLICE_MS) * SLICE_MS;
  const last = recent.find(({ atMs }) => atMs === sliceAtMs) ?? { atMs: sliceAtMs, calls: 0, failures: 0 };
  const grown = { atMs: sliceAtMs, calls: last.calls + calls, failures: last.failures + failures };
  const slices = [...recent.filter(({ atMs }) => atMs !== sliceAtMs), grown];
  const all = slices.reduce((sum, slice) => sum + slice.calls, 0);
  const failed = slices.reduce((sum, slice) => sum + slice.failures, 0);
  const opens = all >= MIN_CALLS && failed >= all * FAILED_PART;
  return opens ? { state: "open", untilMs: nowMs + OPEN_FOR_MS } : { state: "closed", slices };
}

/** As soon as the trials that are left cannot change the verdict. */
function judged(breaker: Extract<Breaker, { state: "half-open" }>, nowMs: number): Breaker {
  if (breaker.failures >= MAX_TRIALS * FAILED_PART) return { state: "open", untilMs: nowMs + OPEN_FOR_MS };
  return breaker.successes > MAX_TRIALS * FAILED_PART ? CLOSED : breaker;
}
