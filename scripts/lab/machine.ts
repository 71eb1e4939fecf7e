// Everything one host owns while it runs, handed to its routes. Made once per host; holds no sockets.
import type { ServerResponse } from "node:http";
import { Faults } from "./faults.ts";
import { Journal } from "./journal.ts";
import { Meters } from "./meters.ts";
import type { LabHostOptions } from "./options.ts";
import type { Pace } from "./pace.ts";
import { PrefixCache } from "./prefix-cache.ts";
import { Scheduler } from "./scheduler.ts";
import { Strikes } from "./strikes.ts";
import { TokenIds } from "./tokens.ts";
import { Truth } from "./truth.ts";

export interface Machine {
  readonly options: LabHostOptions;
  readonly pace: Pace;
  readonly scheduler: Scheduler;
  readonly truth: Truth;
  readonly faults: Faults;
  readonly strikes: Strikes;
  /** Questions whose connection is not over yet, also those that a fault leaves hanging. */
  readonly open: Set<ServerResponse>;
  readonly journal: Journal;
  readonly meters: Meters;
  readonly prefixCache: PrefixCache;
  readonly tokenIds: TokenIds;
  readonly weights: string;
  readonly startedAtMs: number;
  /** What runs or waits now, for /slots. */
  readonly jobs: Set<RunningJob>;
  /** A number no earlier call has returned. */
  nextNumber(): number;
  now(): number;
}

export interface RunningJob {
  readonly number: number;
  readonly promptTokens: number;
  /** The prompts' whole blocks in the prefix cache, by name. */
  readonly blocks: readonly number[];
  readonly maxTokens: number;
  readonly stream: boolean;
  slot(): number;
  decoded(): number;
}

/** Builds a host's state from its options. */
export function buildMachine(options: LabHostOptions, now: () => number): Machine {
  const { ttftMs, tokensPerSecond, slots, maxQueued } = options;
  const pace: Pace = { ttftMs, tokensPerSecond, slots, maxQueued };
  let numbers = 0;
  return {
    options,
    pace,
    scheduler: new Scheduler(pace, now),
    truth: new Truth(),
    faults: new Faults(),
    strikes: new Strikes(),
    open: new Set(),
    journal: new Journal(),
    meters: new Meters(),
    prefixCache: new PrefixCache(),
    tokenIds: new TokenIds(),
    weights: options.weights ?? "lab",
    startedAtMs: now(),
    jobs: new Set(),
    nextNumber: () => {
      numbers += 1;
      return numbers;
    },
    now,
  };
}
