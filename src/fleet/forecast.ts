/** How long a place in line lasts, from how long requests have held their slots. The clock is an argument. */
import { type Mean, smoothed } from "./outcome.ts";
import type { Pair } from "./pair.ts";

/** What one request counts in the average time that a host's slot is held. */
const SMOOTHING = 0.1;
/** No host can say what its usual time to a first token is. */
const UNKNOWN_TTFT_MS = 500;

export class Forecast {
  readonly #heldMs = new Map<string, number>();

  /** Slots have come free after they were held for so long on average. */
  released(host: string, held: Mean): void {
    const averageMs = smoothed(this.#heldMs.get(host) ?? null, held, SMOOTHING);
    if (averageMs !== null) this.#heldMs.set(host, averageMs);
  }

  /** Requests that these hosts can serve, by ms; null while no host's pace is known. */
  servedPerMs(pairs: readonly Pair[]): number | null {
    let sum = 0;
    for (const { host, capacity } of pairs) {
      const heldMs = this.#heldMs.get(host);
      if (heldMs !== undefined) sum += capacity / Math.max(1, heldMs);
    }
    return sum === 0 ? null : sum;
  }
}

/** How long somebody waits whom so many go before; 0 while nobody can tell. */
export function waitMs(ahead: number, servedPerMs: number | null): number {
  return servedPerMs === null ? 0 : (ahead + 1) / servedPerMs;
}

/** One wait in a hundred is about three times as long as is predicted (simulated; 4.6 times were services exponential). */
const P99_OF_MEAN = 3;
/** Fewer slots than that stay free too often without somebody in line (Erlang's loss formula at full load: a quarter). */
const FEW_SLOTS = 8;

/**
 * How long a wait is borne, in ms, where more is asked for than can be served: a line that stands is kept so short that
 * waiting does not double the time to a first token.
 */
export function standingBoundMs(ttftMs: number | null, pairs: readonly Pair[], servedPerMs: number | null): number {
  const slots = pairs.reduce((sum, { capacity }) => sum + capacity, 0);
  const oneMs = slots < FEW_SLOTS ? waitMs(0, servedPerMs) : 0;
  return Math.max((ttftMs ?? UNKNOWN_TTFT_MS) / P99_OF_MEAN, oneMs);
}
