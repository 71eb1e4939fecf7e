/** What is asked of every contestant, as plain data. */
import type { Crowd } from "./contestants/contestant.ts";
import type { Job } from "./load/job.ts";

export type Scenario = {
  readonly name: ScenarioName;
  /** In words, for headings. */
  readonly about: string;
  /** Who asks. A crowd other than "one" is for those who tell callers apart, and for bare workerd as their measure. */
  readonly crowd: Crowd;
  readonly load: Omit<Job, "target">;
};

/**
 * In the order of a run: slow streams come first, because what they take of memory is seen only in a process that has
 * not yet taken it for something else; the few before the many for the same reason.
 */
export const SCENARIO_NAMES = [
  "slow-500",
  "slow-1000",
  "json-1",
  "json-64",
  "json-rate",
  "json-50-callers",
  "json-new-tokens",
  "streams",
  "bursts",
  "first-token",
  "first-token-20ms",
] as const;
export type ScenarioName = (typeof SCENARIO_NAMES)[number];

/** Of the short run. */
export const QUICK: readonly ScenarioName[] = ["json-64", "streams", "first-token"];

/** Long enough for objects that have slept, and for the runtime's compiler. */
const WARM_UP_MS = 1_500;
const FOR_MS = 3_000;
/** With 1.2 s the warm-up is as long as it must be. */
const QUICK_WINDOW = { warmUpMs: 1_200, forMs: 600 };

const JSON_LOAD = {
  stream: false,
  connections: 64,
  ratePerS: null,
  answer: { tokens: 50, firstMs: 0, gapMs: 0 },
  warmUpMs: WARM_UP_MS,
  forMs: FOR_MS,
};
const STREAMS = { ...JSON_LOAD, stream: true, connections: 20, answer: { tokens: 450, firstMs: 0, gapMs: 5 } };
/** 20 tokens a second, for longer than the window. A thousand connections take a while to open. */
const SLOW = { ...STREAMS, answer: { tokens: 400, firstMs: 0, gapMs: 50 }, warmUpMs: 3_000, forMs: 4_000 };
/** Short ones, so that a window has many first tokens. */
const ONE_STREAM = { ...STREAMS, connections: 1, answer: { tokens: 5, firstMs: 0, gapMs: 2 } };

const LOADS: Readonly<Record<ScenarioName, Omit<Scenario, "name">>> = {
  "slow-500": { about: "500 streams of 20 tokens/s at once", crowd: "one", load: { ...SLOW, connections: 500 } },
  "slow-1000": { about: "1,000 streams of 20 tokens/s at once", crowd: "one", load: { ...SLOW, connections: 1_000 } },
  "json-1": { about: "JSON, one connection, saturated", crowd: "one", load: { ...JSON_LOAD, connections: 1 } },
  "json-64": { about: "JSON, 64 connections, saturated", crowd: "one", load: JSON_LOAD },
  "json-rate": {
    about: "JSON, 100 requests/s whatever comes back",
    crowd: "one",
    load: { ...JSON_LOAD, ratePerS: 100 },
  },
  "json-50-callers": { about: "JSON, 64 connections, saturated, 50 callers", crowd: "fifty", load: JSON_LOAD },
  "json-new-tokens": {
    about: "JSON, 64 connections, saturated, every token new",
    crowd: "new tokens",
    // Shorter, because every request needs a token that was signed before.
    load: { ...JSON_LOAD, warmUpMs: 1_200, forMs: 2_500 },
  },
  streams: { about: "20 streams, a token every 5 ms", crowd: "one", load: STREAMS },
  bursts: {
    about: "20 streams, all tokens at once",
    crowd: "one",
    load: { ...STREAMS, answer: { tokens: 100, firstMs: 0, gapMs: 0 } },
  },
  "first-token": { about: "one stream at a time, its first token at once", crowd: "one", load: ONE_STREAM },
  "first-token-20ms": {
    about: "one stream at a time, its first token after 20 ms",
    crowd: "one",
    load: { ...ONE_STREAM, answer: { ...ONE_STREAM.answer, firstMs: 20 } },
  },
};

/** @param quick with short windows */
export function scenariosOf(names: readonly ScenarioName[], quick: boolean): Scenario[] {
  return names.map((name) => {
    const { about, crowd, load } = LOADS[name];
    return { name, about, crowd, load: quick ? { ...load, ...QUICK_WINDOW } : load };
  });
}
