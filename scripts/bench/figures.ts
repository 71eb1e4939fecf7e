/**
 * From windows to figures: medians over rounds, and comparisons that are made within each round before the median is
 * taken, so that what slowed a whole round down does not count. Pure.
 */
import { quantile } from "#scripts/chaos/statistics.ts";
import { CONTESTANTS } from "./contestants/names.ts";
import type { Seen } from "./load/job.ts";
import type { ScenarioName } from "./scenarios.ts";

/** One window of one contestant. */
export type Measurement = {
  readonly scenario: ScenarioName;
  /** From 0 on. */
  readonly round: number;
  /** As in tables. */
  readonly contestant: string;
  readonly seen: Seen;
};

export type Figure = { readonly median: number; readonly least: number; readonly most: number };

/** What a window says about one thing; null where it says nothing. */
export type Measure = (seen: Seen) => number | null;

/** A thing of one contestant in one scenario, by round; rounds that say nothing are left out. */
export type Rounds = ReadonlyMap<number, number>;

/** Over the rounds' own median, from the least to the most: more than this and bare workerd is no measure of anything. */
export const NOISE = 0.25;
/** Fewer cannot tell a change from chance. */
export const FEWEST_ROUNDS = 3;

/** Time of the contestant's processes for one answer, or for one event of streams; in µs of one core. */
export const cpuPerRequestUs: Measure = ({ cpuUs, requests }) => (requests > 0 && cpuUs > 0 ? cpuUs / requests : null);
export const cpuPerEventUs: Measure = ({ cpuUs, events }) => (events > 0 && cpuUs > 0 ? cpuUs / events : null);

export const residentBytes: Measure = ({ bytes }) => (bytes > 0 ? bytes : null);

export function roundsOf(
  all: readonly Measurement[],
  scenario: ScenarioName,
  contestant: string,
  measure: Measure,
): Rounds {
  const own = all.filter((one) => one.scenario === scenario && one.contestant === contestant);
  return new Map(
    own.flatMap(({ round, seen }) => {
      const value = measure(seen);
      return value === null ? [] : [[round, value] as const];
    }),
  );
}

/** @returns null of nothing */
export function figureOf(rounds: Rounds): Figure | null {
  const all = [...rounds.values()];
  const median = quantile(all, 0.5);
  return median === null ? null : { median, least: Math.min(...all), most: Math.max(...all) };
}

/** How many times the others' figure, within each round that both have. */
export function ratios(own: Rounds, others: Rounds): Rounds {
  return paired(own, others, (mine, theirs) => (theirs === 0 ? null : mine / theirs));
}

/** How much more than the others' figure, within each round that both have. */
export function differences(own: Rounds, others: Rounds): Rounds {
  return paired(own, others, (mine, theirs) => mine - theirs);
}

function paired(own: Rounds, others: Rounds, how: (mine: number, theirs: number) => number | null): Rounds {
  return new Map(
    [...own].flatMap(([round, mine]) => {
      const theirs = others.get(round);
      const value = theirs === undefined ? null : how(mine, theirs);
      return value === null ? [] : [[round, value] as const];
    }),
  );
}

/** How far the rounds lie apart, in parts of their median; null of nothing. */
export function variation(rounds: Rounds): number | null {
  const figure = figureOf(rounds);
  return figure === null ? null : (figure.most - figure.least) / figure.median;
}

/**
 * Memory by stream, in bytes: what a process has over its least since the run began. Not over what it had before this
 * window, because a process gives back little of what it once took.
 */
export function bytesByStream(
  all: readonly Measurement[],
  scenario: ScenarioName,
  contestant: string,
  streams: number,
): Figure | null {
  const own = all.filter((one) => one.contestant === contestant);
  const least = Math.min(...own.map(({ seen }) => seen.bytesBefore));
  const bytes = roundsOf(own, scenario, contestant, residentBytes);
  return scaled(figureOf(bytes), (value) => (value - least) / streams);
}

export function scaled(figure: Figure | null, by: (value: number) => number): Figure | null {
  return figure === null ? null : { median: by(figure.median), least: by(figure.least), most: by(figure.most) };
}

export type Failures = {
  readonly failed: number;
  /** How the first one was. */
  readonly first: string | null;
  /** Windows in which nothing at all came. */
  readonly silent: number;
};

export function failuresOf(all: readonly Measurement[], scenario: ScenarioName, contestant: string): Failures {
  const own = all.filter((one) => one.scenario === scenario && one.contestant === contestant);
  return {
    failed: own.reduce((sum, { seen }) => sum + seen.failed, 0),
    first: own.find(({ seen }) => seen.failure !== null)?.seen.failure ?? null,
    silent: own.filter(({ seen }) => seen.requests + seen.events === 0).length,
  };
}

/** Why a comparison with bare workerd says nothing here, or null when it does. */
export function doubt(all: readonly Measurement[], scenario: ScenarioName, measure: Measure): string | null {
  const reference = roundsOf(all, scenario, CONTESTANTS.bare, measure);
  if (reference.size < FEWEST_ROUNDS) return "too few rounds";
  const apart = variation(reference) ?? 0;
  return apart > NOISE ? "too noisy" : null;
}
