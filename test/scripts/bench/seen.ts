/** What a window saw, for tests: only what a test is about need be said. */
import { CONTESTANTS, type ContestantKey } from "#scripts/bench/contestants/names.ts";
import type { Measurement } from "#scripts/bench/figures.ts";
import type { Seen } from "#scripts/bench/load/job.ts";
import type { ScenarioName } from "#scripts/bench/scenarios.ts";

export function seen(part: Partial<Seen> = {}): Seen {
  return {
    requests: 100,
    failed: 0,
    failure: null,
    events: 0,
    windowMs: 1_000,
    cpuUs: 0,
    bytes: 0,
    bytesBefore: 0,
    latencyUs: { p50: null, p99: null },
    delayUs: { p50: null, p99: null },
    jitterUs: { p50: null, p99: null },
    streams: 0,
    stallFree: 0,
    ...part,
  };
}

/** One window for each of the rounds. */
export function measured(scenario: ScenarioName, key: ContestantKey, rounds: readonly Partial<Seen>[]): Measurement[] {
  return rounds.map((part, round) => ({ scenario, round, contestant: CONTESTANTS[key], seen: seen(part) }));
}
