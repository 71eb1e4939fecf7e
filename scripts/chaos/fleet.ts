/**
 * `chaos fleet`: is the fleet steered as it is said to be? Plays the scenarios on a stage of their own, in their rounds,
 * and hands back what was found. It decides the order; each thing it does has a file of its own here.
 */
import { seeded } from "#scripts/storm/chance.ts";
import { affinity } from "./affinity.ts";
import { Crowd } from "./crowd.ts";
import { flap } from "./flap.ts";
import { kill } from "./kill.ts";
import { overload } from "./overload.ts";
import { progressLine } from "./progress-line.ts";
import type { Scale } from "./scale.ts";
import type { Scenario, ScenarioName } from "./scenario.ts";
import { shares } from "./shares.ts";
import { type OpenStage, openStage, type Stage } from "./stage.ts";
import type { Report } from "./table.ts";

export type Options = {
  readonly scale: Scale;
  readonly only: readonly ScenarioName[];
  /** The same arrivals again, as far as a machine does the same twice. */
  readonly seed: number;
  /** For everything that the stack keeps; there already, and ours alone. */
  readonly stateDir: string;
  readonly print: (line: string) => void;
  /** Aborted when the run shall be given up. */
  readonly signal: AbortSignal;
};

/**
 * Plays the scenarios to their end.
 *
 * @throws PartFailure when a part of the stack fails that nobody took down; Error when the run is given up
 */
export async function fleet({ scale, only, seed, stateDir, print, signal }: Options): Promise<Report[]> {
  const scenarios: Record<ScenarioName, Scenario> = {
    kill: kill(scale.kill),
    overload: overload(scale.overload),
    flap: flap(scale.flap),
    shares: shares(scale.shares),
    affinity: affinity(scale.affinity),
  };
  const rounds = scale.rounds.map((names) =>
    names.filter((name) => only.includes(name)).map((name) => scenarios[name]),
  );
  const over = new AbortController();
  const surroundings = { stateDir, print, chance: seeded(seed), signal: AbortSignal.any([signal, over.signal]) };
  const open = await openStage(rounds.flat(), surroundings);
  try {
    return await Promise.race([playAll(open.stage, rounds, scale, print), failure(open), abandonment(signal)]);
  } finally {
    over.abort();
    await open.stop();
  }
}

async function playAll(
  stage: Stage,
  rounds: readonly (readonly Scenario[])[],
  scale: Scale,
  print: Options["print"],
): Promise<Report[]> {
  const reports: Report[] = [];
  for (const round of rounds)
    reports.push(...(await Promise.all(round.map((scenario) => playOne(stage, scenario, scale, print)))));
  return reports;
}

async function playOne(stage: Stage, scenario: Scenario, scale: Scale, print: Options["print"]): Promise<Report> {
  const { name } = scenario;
  const crowd = new Crowd(name, stage.gateway, stage.keys);
  const startedAtMs = Date.now();
  const showing = setInterval(
    () => print(progressLine(name, startedAtMs, Date.now(), crowd.seen, crowd.inFlight)),
    scale.progressEveryMs,
  );
  try {
    return { name, played: await scenario.play(stage, crowd) };
  } finally {
    clearInterval(showing);
  }
}

async function failure({ crashed }: OpenStage): Promise<never> {
  throw await crashed;
}

function abandonment(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("the run was given up")), { once: true });
  });
}
