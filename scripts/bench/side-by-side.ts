/** The comparison: opens the ring, has everybody measured, and closes it whatever happens. */

import { membersOf } from "#scripts/stack/process-table.ts";
import type { Contestant, Ring } from "./contestants/contestant.ts";
import { machineOf } from "./machine.ts";
import { measure } from "./measure.ts";
import { openRing } from "./ring.ts";
import type { BenchRun } from "./run.ts";
import type { Scenario } from "./scenarios.ts";

export type Comparison = Pick<Ring, "folder" | "kept" | "print" | "signal"> & {
  readonly contestants: readonly Contestant[];
  readonly scenarios: readonly Scenario[];
  readonly rounds: number;
  /** What was typed, for the report. */
  readonly command: string;
  /** Told where the run is, in one line. */
  readonly progress: (line: string) => void;
};

/**
 * @throws what the signal was aborted with; PartFailure when the engine, bare workerd or Causeway do not start. Nothing of
 *   the ring runs then
 */
export async function sideBySide(comparison: Comparison): Promise<BenchRun> {
  const { contestants, scenarios, rounds, command, progress, folder, signal } = comparison;
  const startedAt = `${new Date().toISOString().slice(0, "2026-01-01T00:00".length)}Z`;
  const ring = await openRing(contestants, comparison);
  try {
    const nowMs = () => performance.now();
    const { measured, ended } = await measure(ring, { scenarios, rounds, progress, signal, nowMs, lives });
    const entrants = ring.entrants.map((entrant) => {
      const { name } = entrant;
      if ("absent" in entrant) return { name, absent: entrant.absent };
      const where = ended.get(name);
      const what = where === undefined ? entrant.what : `${entrant.what}; it ended within ${where}`;
      return { name, what };
    });
    const machine = machineOf(folder);
    return { startedAt, command, machine, isPinned: ring.isPinned, rounds, scenarios, entrants, measured };
  } finally {
    await ring.stop();
  }
}

const lives = (groups: readonly number[]): boolean => groups.every((group) => membersOf(group).length > 0);
