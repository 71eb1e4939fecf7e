/**
 * What calls to hosts have shown, gathered between two reports. Failures are the host's: no connection, no headers in
 * time, 502 to 504, a stream that dies. A host that says it is busy is not broken, and a caller's own error or departure
 * says nothing. Pure.
 */
import { pairKey } from "./view.ts";

/** How one call ended, as far as its host is concerned. */
export type Outcome =
  | {
      readonly kind: "ok";
      /** From asking to the first content; null where the answer came whole. */
      readonly ttftMs: number | null;
      readonly tokensPerS: number | null;
    }
  | { readonly kind: "failed" }
  /** Ms from now on. */
  | { readonly kind: "busy"; readonly forMs: number }
  | { readonly kind: "neither" };

/** The outcomes of a pair. */
export type Outcomes = {
  readonly ok: number;
  readonly failed: number;
  readonly neither: number;
  readonly busyForMs: number;
  /** Means, and over how many calls. */
  readonly ttft: Mean;
  readonly tokensPerS: Mean;
  /** How long slots were held by calls that went well, where the isolate alone has counted them. */
  readonly heldMs: Mean;
};

export type Mean = { readonly value: number; readonly count: number };

const NO_MEAN: Mean = { value: 0, count: 0 };
export const NO_OUTCOMES: Outcomes = {
  ok: 0,
  failed: 0,
  neither: 0,
  busyForMs: 0,
  ttft: NO_MEAN,
  tokensPerS: NO_MEAN,
  heldMs: NO_MEAN,
};

/** One more outcome. @param heldMs for how long its slot was held; null where that is counted elsewhere */
export function add(outcomes: Outcomes, outcome: Outcome, heldMs: number | null = null): Outcomes {
  switch (outcome.kind) {
    case "ok":
      return {
        ...outcomes,
        ok: outcomes.ok + 1,
        ttft: meanWith(outcomes.ttft, outcome.ttftMs),
        tokensPerS: meanWith(outcomes.tokensPerS, outcome.tokensPerS),
        heldMs: meanWith(outcomes.heldMs, heldMs),
      };
    case "failed":
      return { ...outcomes, failed: outcomes.failed + 1 };
    case "busy":
      return { ...outcomes, neither: outcomes.neither + 1, busyForMs: Math.max(outcomes.busyForMs, outcome.forMs) };
    case "neither":
      return { ...outcomes, neither: outcomes.neither + 1 };
  }
}

/** Two lists as one; of moving averages the later one's say is enough. */
export function both(earlier: Outcomes, later: Outcomes): Outcomes {
  return {
    ok: earlier.ok + later.ok,
    failed: earlier.failed + later.failed,
    neither: earlier.neither + later.neither,
    busyForMs: Math.max(earlier.busyForMs, later.busyForMs),
    ttft: later.ttft.count > 0 ? later.ttft : earlier.ttft,
    tokensPerS: later.tokensPerS.count > 0 ? later.tokensPerS : earlier.tokensPerS,
    heldMs: later.heldMs.count > 0 ? later.heldMs : earlier.heldMs,
  };
}

/** What has been gathered, by pair. */
export type Gathered = Record<string, { readonly host: string; readonly servedAs: string } & Outcomes>;

/** Gathers one more, in place: an isolate's list between two reports. */
export function gather(
  into: Gathered,
  host: string,
  servedAs: string,
  outcome: Outcome,
  heldMs: number | null = null,
): void {
  const key = pairKey(host, servedAs);
  into[key] = { host, servedAs, ...add(into[key] ?? NO_OUTCOMES, outcome, heldMs) };
}

/**
 * A moving average after further samples.
 *
 * @param average null while there was none
 * @param weight what one sample counts
 */
export function smoothed(average: number | null, { value, count }: Mean, weight: number): number | null {
  if (count === 0) return average;
  return average === null ? value : value + (average - value) * (1 - weight) ** count;
}

function meanWith({ value, count }: Mean, sample: number | null): Mean {
  if (sample === null || !Number.isFinite(sample)) return { value, count };
  return { value: value + (sample - value) / (count + 1), count: count + 1 };
}
