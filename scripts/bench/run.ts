/** One run as it is kept: everything that its reports are made of. */
import type { Absent, Running } from "./contestants/contestant.ts";
import type { Measurement } from "./figures.ts";
import type { Machine } from "./machine.ts";
import type { Scenario } from "./scenarios.ts";

export type BenchRun = {
  /** ISO 8601, to the minute. */
  readonly startedAt: string;
  /** What was typed. */
  readonly command: string;
  readonly machine: Machine;
  /** Whether engine and load had a core of their own. */
  readonly isPinned: boolean;
  readonly rounds: number;
  readonly scenarios: readonly Scenario[];
  readonly entrants: readonly ({ readonly name: string } & (Pick<Running, "what"> | Absent))[];
  readonly measured: readonly Measurement[];
};
