/**
 * `chaos fleet`: is the fleet steered as it is said to be? Says what is played in which round; each thing that is played
 * has a file of its own here.
 */
import { affinity } from "./affinity.ts";
import { Crowd } from "./crowd.ts";
import { flap } from "./flap.ts";
import { kill } from "./kill.ts";
import { overload } from "./overload.ts";
import { type Part, playRounds, type Report, type Run } from "./play.ts";
import { progressLine } from "./progress-line.ts";
import type { Scale } from "./scale.ts";
import type { Played, Scenario, ScenarioName } from "./scenario.ts";
import { shares } from "./shares.ts";

export type Options = Omit<Run, "progressEveryMs" | "worker"> & {
  readonly scale: Scale;
  readonly only: readonly ScenarioName[];
};

/** Plays the scenarios to their end. @throws what `playRounds` throws */
export function fleet({ scale, only, ...run }: Options): Promise<Report<Played>[]> {
  const scenarios: Record<ScenarioName, Scenario> = {
    kill: kill(scale.kill),
    overload: overload(scale.overload),
    flap: flap(scale.flap),
    shares: shares(scale.shares),
    affinity: affinity(scale.affinity),
  };
  const rounds = scale.rounds.map((names) =>
    names.filter((name) => only.includes(name)).map((name) => withCrowd(scenarios[name])),
  );
  return playRounds(rounds, { ...run, worker: "as deployed", progressEveryMs: scale.progressEveryMs });
}

/** The scenario with callers of its own, whose answers are its progress. */
function withCrowd({ name, hosts, models, play }: Scenario): Part<Played> {
  let crowd: Crowd | null = null;
  return {
    name,
    hosts,
    models,
    play(stage) {
      crowd = new Crowd(name, stage.gateway, stage.keys);
      return play(stage, crowd);
    },
    progress: (startedAtMs, nowMs) => progressLine(name, startedAtMs, nowMs, crowd?.seen ?? [], crowd?.inFlight ?? 0),
  };
}
