/** Puts the load on one contestant after the other, and keeps what was seen. Decides nothing of it. */
import type { Crowd } from "./contestants/contestant.ts";
import type { Measurement } from "./figures.ts";
import type { OpenRing } from "./ring.ts";
import type { Scenario } from "./scenarios.ts";
import { isStanding, plannedMs, progressLine, type Standing, windowsOf } from "./windows.ts";

/** What is loaded with the first answer is not what a stream takes: everybody answers before anything is measured. */
const FIRST_ANSWERS: Scenario["load"] = {
  stream: false,
  connections: 1,
  ratePerS: null,
  answer: { tokens: 50, firstMs: 0, gapMs: 0 },
  warmUpMs: 0,
  forMs: 500,
};

export type Measuring = {
  readonly scenarios: readonly Scenario[];
  readonly rounds: number;
  /** Told where the run is, before each window. */
  readonly progress: (line: string) => void;
  /** Aborted when the run shall be given up. */
  readonly signal: AbortSignal;
  readonly nowMs: () => number;
  /** Whether a contestant's process groups are still there. */
  readonly lives: (groups: readonly number[]) => boolean;
};

export type Measured = {
  readonly measured: readonly Measurement[];
  /** Who ended on the way, and where that was found: "slow-500, round 2". Nothing more was asked of them. */
  readonly ended: ReadonlyMap<string, string>;
};

/**
 * All windows, one after the other.
 *
 * @throws what the signal was aborted with, at once; Error when the load fails
 */
export async function measure(
  { entrants, load }: Pick<OpenRing, "entrants" | "load">,
  { scenarios, rounds, progress, signal, nowMs, lives }: Measuring,
): Promise<Measured> {
  const headers = headersBy();
  const abandoned = abandonment(signal);
  const seen = async (entrant: Standing, crowd: Crowd, job: Scenario["load"]) => {
    signal.throwIfAborted();
    const target = { url: entrant.url, headers: await headers(entrant, crowd), groups: entrant.groups };
    return Promise.race([load({ ...job, target }), abandoned]);
  };
  for (const entrant of entrants.filter(isStanding)) {
    progress(`first answers  ${entrant.name}`);
    await seen(entrant, "one", FIRST_ANSWERS);
  }
  const windows = windowsOf(scenarios, entrants, rounds);
  const all = plannedMs(windows);
  const sinceMs = nowMs();
  const measured: Measurement[] = [];
  const ended = new Map<string, string>();
  for (const [at, window] of windows.entries()) {
    const { scenario, round, entrant } = window;
    if (ended.has(entrant.name)) continue;
    const planned = plannedMs(windows.slice(0, at));
    progress(progressLine(window, rounds, { real: nowMs() - sinceMs, planned }, all - planned));
    const one = await seen(entrant, scenario.crowd, scenario.load);
    // A window that it did not live to see the end of says nothing of it, and those to come would be failures of nobody.
    if (lives(entrant.groups)) measured.push({ scenario: scenario.name, round, contestant: entrant.name, seen: one });
    else {
      ended.set(entrant.name, `${scenario.name}, round ${round + 1}`);
      progress(`${entrant.name} has ended, and is asked nothing more`);
    }
  }
  return { measured, ended };
}

type Headers = readonly Readonly<Record<string, string>>[];

/** The same people over the whole run; but a token is new only once. */
function headersBy(): (entrant: Standing, crowd: Crowd) => Promise<Headers> {
  const kept = new Map<string, Headers>();
  return async ({ name, headers, callers }, crowd) => {
    if (callers === undefined) return [headers];
    const key = `${name} ${crowd}`;
    const found = kept.get(key) ?? (await callers[crowd]()).map((own) => ({ ...headers, ...own }));
    if (crowd !== "new tokens") kept.set(key, found);
    return found;
  };
}

function abandonment(signal: AbortSignal): Promise<never> {
  const abandoned = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  // It may come when nobody waits for it.
  abandoned.catch(() => {});
  return abandoned;
}
