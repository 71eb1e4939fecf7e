/**
 * Plays what a suite consists of, on a stage of its own, in rounds: what is in one round is played at the same time. What
 * is played, and what is found, the suites say (fleet.ts, streams/streams.ts).
 */
import { seeded } from "#scripts/storm/chance.ts";
import type { Finding } from "./finding.ts";
import type { Plan } from "./plan.ts";
import { type OpenStage, openStage, type Stage, type Surroundings } from "./stage.ts";

/** What is known of a scenario afterwards, at the least. */
export type Told = {
  /** What was run, in a line: figures without it say nothing. */
  readonly setting: string;
  readonly findings: readonly Finding[];
};

export type Part<T extends Told> = Plan & {
  readonly name: string;
  /** @throws when the run is given up */
  play(stage: Stage): Promise<T>;
  /** How far it is, in a line: it is asked now and then while it is played. */
  progress(startedAtMs: number, nowMs: number): string;
};

export type Report<T extends Told = Told> = { readonly name: string; readonly played: T };

export type Run = {
  /** The same arrivals again, as far as a machine does the same twice. */
  readonly seed: number;
  /** For everything that the stack keeps; there already, and ours alone. */
  readonly stateDir: string;
  readonly worker: Surroundings["worker"];
  readonly print: (line: string) => void;
  readonly progressEveryMs: number;
  /** Aborted when the run shall be given up. */
  readonly signal: AbortSignal;
};

/**
 * Plays all rounds to their end.
 *
 * @throws PartFailure when a part of the stack fails that nobody took down; Error when the run is given up
 */
export async function playRounds<T extends Told>(
  rounds: readonly (readonly Part<T>[])[],
  run: Run,
): Promise<Report<T>[]> {
  const { seed, stateDir, worker, print, signal } = run;
  if (rounds.flat().length === 0) return [];
  const over = new AbortController();
  const surroundings = {
    stateDir,
    worker,
    print,
    chance: seeded(seed),
    signal: AbortSignal.any([signal, over.signal]),
  };
  const open = await openStage(rounds.flat(), surroundings);
  try {
    return await Promise.race([playAll(open.stage, rounds, run), failure(open), abandonment(signal)]);
  } finally {
    over.abort();
    await open.stop();
  }
}

async function playAll<T extends Told>(
  stage: Stage,
  rounds: readonly (readonly Part<T>[])[],
  run: Run,
): Promise<Report<T>[]> {
  const reports: Report<T>[] = [];
  for (const round of rounds) reports.push(...(await Promise.all(round.map((part) => playOne(stage, part, run)))));
  return reports;
}

async function playOne<T extends Told>(
  stage: Stage,
  part: Part<T>,
  { print, progressEveryMs }: Run,
): Promise<Report<T>> {
  const startedAtMs = Date.now();
  const showing = setInterval(() => print(part.progress(startedAtMs, Date.now())), progressEveryMs);
  try {
    return { name: part.name, played: await part.play(stage) };
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
