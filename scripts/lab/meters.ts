// The counters and histograms a host keeps about itself, engine-neutral; the two exposition files name them.
import type { Ended } from "./truth.ts";

/** vLLM's own bucket bounds for time to first token, in seconds. */
const FIRST_TOKEN_BOUNDS = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
];
/** vLLM's bounds for whole requests, in seconds. */
const REQUEST_BOUNDS = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680];
/** vLLM's bounds between tokens, in seconds. */
const BETWEEN_BOUNDS = [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80];

export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[];
  sum = 0;
  count = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = bounds.map(() => 0);
  }

  observe(value: number, times = 1): void {
    this.sum += value * times;
    this.count += times;
    const slot = this.bounds.findIndex((bound) => value <= bound);
    if (slot >= 0) this.counts[slot] = (this.counts[slot] ?? 0) + times;
  }
}

export class Meters {
  /** As given, what the prefix cache held included: vLLM's count. */
  promptTokens = 0;
  /** Those that had to be computed: llama.cpp's count. */
  computedPromptTokens = 0;
  promptMs = 0;
  generatedTokens = 0;
  generatedMs = 0;
  largestContext = 0;
  rejected = 0;
  readonly ended: Record<Ended, number> = { stop: 0, length: 0, aborted: 0, fault: 0 };
  readonly firstToken = new Histogram(FIRST_TOKEN_BOUNDS);
  readonly betweenTokens = new Histogram(BETWEEN_BOUNDS);
  readonly request = new Histogram(REQUEST_BOUNDS);
  readonly queued = new Histogram(REQUEST_BOUNDS);
  readonly prefill = new Histogram(REQUEST_BOUNDS);
  readonly decode = new Histogram(REQUEST_BOUNDS);
}
