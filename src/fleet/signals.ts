/**
 * What the pool has learned from calls, host by host and name by name: breakers, moving averages of speed, and who asked
 * to be left alone for a while. The clock is an argument.
 */
import { at, type Breaker, CLOSED, observe, permit, recovered } from "./breaker.ts";
import { type Outcomes, smoothed } from "./outcome.ts";
import { type PairView, pairKey } from "./view.ts";

/** What one call counts in a moving average: the last ten make up nine tenths of it. */
const SMOOTHING = 0.2;

type Signal = {
  readonly host: string;
  breaker: Breaker;
  ttftMs: number | null;
  tokensPerS: number | null;
};

export class Signals {
  readonly #pairs = new Map<string, Signal>();
  readonly #busyUntilMs = new Map<string, number>();

  /** Takes in how calls of a pair ended. @returns whether its breaker has just opened */
  observe(host: string, servedAs: string, outcomes: Outcomes, nowMs: number): boolean {
    const signal = this.#signal(host, servedAs);
    const wasOpen = signal.breaker.state === "open";
    const { ok, failed, neither, busyForMs } = outcomes;
    signal.breaker = observe(signal.breaker, { successes: ok, failures: failed, neither }, nowMs);
    signal.ttftMs = smoothed(signal.ttftMs, outcomes.ttft, SMOOTHING);
    signal.tokensPerS = smoothed(signal.tokensPerS, outcomes.tokensPerS, SMOOTHING);
    if (busyForMs > 0) this.#busyUntilMs.set(host, Math.max(this.#busyUntilMs.get(host) ?? 0, nowMs + busyForMs));
    return !wasOpen && signal.breaker.state === "open";
  }

  /** Whether a call may be made. */
  mayCall(host: string, servedAs: string, slots: number, nowMs: number): boolean {
    const signal = this.#pairs.get(pairKey(host, servedAs));
    return signal === undefined || permit(signal.breaker, slots, nowMs).permitted;
  }

  /** How long a breaker stays open from now on; 0 when it is not. */
  openForMs(host: string, servedAs: string, nowMs: number): number {
    const breaker = this.#pairs.get(pairKey(host, servedAs))?.breaker;
    return breaker?.state === "open" ? Math.max(0, breaker.untilMs - nowMs) : 0;
  }

  /** A call is made: of a half-open breaker it is a trial. */
  call(host: string, servedAs: string, slots: number, nowMs: number): void {
    const signal = this.#signal(host, servedAs);
    signal.breaker = permit(signal.breaker, slots, nowMs).breaker;
  }

  /** Whether every call may be made, without anyone counting. */
  isClosed(host: string): boolean {
    for (const signal of this.#pairs.values())
      if (signal.host === host && signal.breaker.state !== "closed") return false;
    return true;
  }

  /** A host that was gone answers its probes again: its breakers let trial calls through at once. */
  recovered(host: string, nowMs: number): void {
    for (const signal of this.#pairs.values())
      if (signal.host === host) signal.breaker = recovered(signal.breaker, nowMs);
  }

  busyUntilMs(host: string): number {
    return this.#busyUntilMs.get(host) ?? 0;
  }

  /** The shortest usual time to a first token among these; null when none was measured. */
  ttftMs(pairs: readonly { readonly host: string; readonly servedAs: string }[]): number | null {
    const known = pairs.flatMap(({ host, servedAs }) => this.#pairs.get(pairKey(host, servedAs))?.ttftMs ?? []);
    return known.length === 0 ? null : Math.min(...known);
  }

  view(nowMs: number): Record<string, PairView> {
    const entries = [...this.#pairs].map(([key, signal]): [string, PairView] => {
      const breaker = at(signal.breaker, nowMs);
      const { ttftMs, tokensPerS } = signal;
      const openUntilMs = breaker.state === "open" ? breaker.untilMs : 0;
      return [key, { breaker: breaker.state, openUntilMs, ttftMs, tokensPerS }];
    });
    return Object.fromEntries(entries);
  }

  /** Forgets what nothing is asked of any more. @param pairs by `pairKey` */
  keepOnly(hosts: ReadonlySet<string>, pairs: ReadonlySet<string>): void {
    for (const key of this.#pairs.keys()) if (!pairs.has(key)) this.#pairs.delete(key);
    for (const host of this.#busyUntilMs.keys()) if (!hosts.has(host)) this.#busyUntilMs.delete(host);
  }

  #signal(host: string, servedAs: string): Signal {
    const key = pairKey(host, servedAs);
    const known = this.#pairs.get(key);
    if (known !== undefined) return known;
    const fresh: Signal = { host, breaker: CLOSED, ttftMs: null, tokensPerS: null };
    this.#pairs.set(key, fresh);
    return fresh;
  }
}
