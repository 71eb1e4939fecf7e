/**
 * What Causeway must reach and what it is to reach, beside what it did. The goals are ratios within one run, because rates
 * and times of a machine that others share say nothing about another. Pure.
 */
import { CONTESTANTS } from "./contestants/names.ts";
import {
  bytesByStream,
  cpuPerEventUs,
  cpuPerRequestUs,
  differences,
  doubt,
  type Figure,
  failuresOf,
  figureOf,
  type Measure,
  type Measurement,
  type Rounds,
  ratios,
  roundsOf,
  scaled,
} from "./figures.ts";
import type { ScenarioName } from "./scenarios.ts";

export type Verdict = "aim met" | "met" | "MISSED" | "too noisy" | "too few rounds" | "not measured";

export type Judged = {
  readonly what: string;
  /** What must be reached, and what is wanted; in `unit`. */
  readonly must: number;
  readonly aim: number;
  readonly unit: string;
  /** True where more is better. */
  readonly atLeast: boolean;
  readonly found: Figure | null;
  readonly verdict: Verdict;
};

type Found = {
  readonly figure: Figure | null;
  /** Why the figure says nothing. */
  readonly doubt: string | null;
};

type Goal = Omit<Judged, "found" | "verdict"> & { readonly find: (all: readonly Measurement[]) => Found };

/** Bars of the picture are drawn beside these. */
export const CPU_PER_REQUEST = { must: 3.5, aim: 2.6 };
export const CPU_PER_EVENT = { must: 2.8, aim: 1.6 };

const SLOW_TOKENS_PER_S = 20;
const US_PER_S = 1e6;
const US_PER_MS = 1_000;
const BYTES_PER_KB = 1_000;

const first: Measure = ({ latencyUs }) => latencyUs.p50;
const delay: Measure = ({ delayUs }) => delayUs.p50;

const GOALS: readonly Goal[] = [
  goal("CPU per request, everything on, 1 caller", "x B", CPU_PER_REQUEST, (all) =>
    againstBare(all, "json-64", cpuPerRequestUs, ratios),
  ),
  goal("CPU per request, everything on, 50 callers", "x B", { must: 5, aim: 3.5 }, (all) =>
    againstBare(all, "json-50-callers", cpuPerRequestUs, ratios),
  ),
  goal("CPU per request, what new tokens add", "x B", { must: 0.4, aim: 0.3 }, newTokens),
  goal("CPU per request against Portkey on workerd", "x", { must: 1.6, aim: 1 }, (all) =>
    against(all, CONTESTANTS["portkey-workerd"], "json-64", cpuPerRequestUs),
  ),
  goal("CPU per request against Portkey on Node", "x", { must: 0.9, aim: 0.55 }, (all) =>
    against(all, CONTESTANTS.portkey, "json-64", cpuPerRequestUs),
  ),
  goal("CPU per event of a stream", "x B", CPU_PER_EVENT, (all) => againstBare(all, "streams", cpuPerEventUs, ratios)),
  goal("CPU per event against Portkey on workerd", "x", { must: 0.8, aim: 0.5 }, (all) =>
    against(all, CONTESTANTS["portkey-workerd"], "streams", cpuPerEventUs),
  ),
  goal("CPU per event against Portkey on Node", "x", { must: 0.8, aim: 0.5 }, (all) =>
    against(all, CONTESTANTS.portkey, "streams", cpuPerEventUs),
  ),
  goal("first token over B, one stream", "ms", { must: 1, aim: 0.5 }, (all) =>
    againstBare(all, "first-token", first, differences, US_PER_MS),
  ),
  // A wait for the disk that the engine's own 20 ms do not hide would come on top of what the stages themselves take.
  goal("the same after 20 ms, where no wait for storage may be left", "ms", { must: 1, aim: 0.5 }, (all) =>
    againstBare(all, "first-token-20ms", first, differences, US_PER_MS),
  ),
  goal("delay of an event, p50", "x B", { must: 3, aim: 1.3 }, (all) => againstBare(all, "streams", delay, ratios)),
  { ...goal("slow streams that a core carries", "", { must: 600, aim: 1_000 }, carried), atLeast: true },
  goal("memory per stream", "KB", { must: 250, aim: 120 }, (all) => ({
    figure: scaled(bytesByStream(all, "slow-1000", CONTESTANTS.causeway, 1_000), (bytes) => bytes / BYTES_PER_KB),
    doubt: null,
  })),
  goal("requests that failed", "", { must: 0, aim: 0 }, failed),
];

/** Every goal, whether it was measured or not. */
export function judged(all: readonly Measurement[]): Judged[] {
  return GOALS.map(({ find, ...goal }) => {
    const { figure, doubt } = find(all);
    return { ...goal, found: figure, verdict: verdictOf(goal, figure, doubt) };
  });
}

function goal(
  what: string,
  unit: string,
  { must, aim }: { must: number; aim: number },
  find: (all: readonly Measurement[]) => Found,
): Goal {
  return { what, unit, must, aim, atLeast: false, find };
}

function verdictOf(
  { must, aim, atLeast }: Pick<Judged, "must" | "aim" | "atLeast">,
  figure: Figure | null,
  doubt: string | null,
): Verdict {
  if (figure === null) return "not measured";
  if (doubt !== null) return doubt === "too noisy" ? "too noisy" : "too few rounds";
  const reaches = (limit: number): boolean => (atLeast ? figure.median >= limit : figure.median <= limit);
  if (!reaches(must)) return "MISSED";
  return reaches(aim) ? "aim met" : "met";
}

function againstBare(
  all: readonly Measurement[],
  scenario: ScenarioName,
  measure: Measure,
  how: (own: Rounds, others: Rounds) => Rounds,
  per = 1,
): Found {
  const own = roundsOf(all, scenario, CONTESTANTS.causeway, measure);
  const bare = roundsOf(all, scenario, CONTESTANTS.bare, measure);
  return { figure: scaled(figureOf(how(own, bare)), (value) => value / per), doubt: doubt(all, scenario, measure) };
}

function against(all: readonly Measurement[], rival: string, scenario: ScenarioName, measure: Measure): Found {
  const own = roundsOf(all, scenario, CONTESTANTS.causeway, measure);
  return {
    figure: figureOf(ratios(own, roundsOf(all, scenario, rival, measure))),
    doubt: doubt(all, scenario, measure),
  };
}

/** Two scenarios: each by bare workerd of its own rounds, and then the one less the other round by round. */
function newTokens(all: readonly Measurement[]): Found {
  const times = (scenario: ScenarioName): Rounds =>
    ratios(
      roundsOf(all, scenario, CONTESTANTS.causeway, cpuPerRequestUs),
      roundsOf(all, scenario, CONTESTANTS.bare, cpuPerRequestUs),
    );
  const doubts = (["json-64", "json-new-tokens"] as const).map((name) => doubt(all, name, cpuPerRequestUs));
  return {
    figure: figureOf(differences(times("json-new-tokens"), times("json-64"))),
    doubt: doubts.find((one) => one !== null) ?? null,
  };
}

/**
 * As many as fill a core, by what an event costs where there are many streams. Of two scenarios the dearer one counts:
 * who does not keep up sends events together, and each of them looks cheap.
 */
function carried(all: readonly Measurement[]): Found {
  const founds = (["slow-500", "slow-1000"] as const).map((scenario) => ({
    figure: scaled(figureOf(roundsOf(all, scenario, CONTESTANTS.causeway, cpuPerEventUs)), streamsAt),
    doubt: doubt(all, scenario, cpuPerEventUs),
  }));
  const [fewest] = founds
    .filter(({ figure }) => figure !== null)
    .sort((one, other) => (one.figure?.median ?? 0) - (other.figure?.median ?? 0));
  return fewest ?? { figure: null, doubt: null };
}

function streamsAt(eventUs: number): number {
  return US_PER_S / (SLOW_TOKENS_PER_S * eventUs);
}

/** Windows in which nothing came count as one more. */
function failed(all: readonly Measurement[]): Found {
  const scenarios = new Set(all.filter(isCauseway).map(({ scenario }) => scenario));
  const sums = [...scenarios].map((scenario) => failuresOf(all, scenario, CONTESTANTS.causeway));
  const sum = sums.reduce((total, { failed, silent }) => total + failed + silent, 0);
  return { figure: scenarios.size === 0 ? null : { median: sum, least: sum, most: sum }, doubt: null };
}

function isCauseway({ contestant }: Measurement): boolean {
  return contestant === CONTESTANTS.causeway;
}
