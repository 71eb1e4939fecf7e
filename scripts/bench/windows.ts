/** Who is asked what, and when: every contestant once in each round, in turns. Pure. */

import type { Running } from "./contestants/contestant.ts";
import { CONTESTANTS } from "./contestants/names.ts";
import type { Entrant } from "./ring.ts";
import type { Scenario } from "./scenarios.ts";

export type Standing = Extract<Entrant, Running>;

export type Window = { readonly scenario: Scenario; readonly round: number; readonly entrant: Standing };

/** Every second round goes backwards, so that nobody always comes after the same one. */
export function windowsOf(scenarios: readonly Scenario[], entrants: readonly Entrant[], rounds: number): Window[] {
  return scenarios.flatMap((scenario) => {
    const there = entrants.filter(isStanding).filter((entrant) => isIn(scenario, entrant));
    return Array.from({ length: rounds }, (_, round) =>
      (round % 2 === 0 ? there : there.toReversed()).map((entrant) => ({ scenario, round, entrant })),
    ).flat();
  });
}

export function isStanding(entrant: Entrant): entrant is Standing {
  return "url" in entrant;
}

/** Those who do not tell callers apart were measured with one of them. */
function isIn({ crowd }: Scenario, { name, callers }: Standing): boolean {
  return crowd === "one" || name === CONTESTANTS.bare || callers !== undefined;
}

export function plannedMs(windows: readonly Window[]): number {
  return windows.reduce((sum, { scenario: { load } }) => sum + load.warmUpMs + load.forMs, 0);
}

/**
 * Where the run is, in one line.
 *
 * @param doneMs what the windows before took in truth, and what they were planned to take
 */
export function progressLine(
  { scenario, round, entrant }: Window,
  rounds: number,
  doneMs: { readonly real: number; readonly planned: number },
  leftMs: number,
): string {
  const factor = doneMs.planned === 0 ? 1 : doneMs.real / doneMs.planned;
  const leftS = Math.ceil((leftMs * factor) / 1_000);
  const left = leftS < 100 ? `${leftS} s` : `${Math.ceil(leftS / 60)} min`;
  return `${scenario.name}  round ${round + 1} of ${rounds}  ${entrant.name}  about ${left} left`;
}
