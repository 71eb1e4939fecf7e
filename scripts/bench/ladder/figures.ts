/** From rounds of measurements to what each rung costs, in CPU of bare workerd in the same round. Pure. */
import { quantile } from "#scripts/chaos/statistics.ts";
import { BARE, belowOf, type Rung } from "./rungs.ts";

export type Round = {
  /** CPU in µs by request or event, by the name of the rung; `BARE` is bare workerd's. */
  readonly costs: ReadonlyMap<string, number>;
  /** How long bare workerd was ready and had no core, by how long it had one. */
  readonly bareWaited: number;
};

export type Figure = {
  readonly name: string;
  /** What the stage adds, in µs of CPU. */
  readonly addsUs: number;
  /** All up to it, by bare workerd: the median of the rounds, the least and the most. */
  readonly ratio: number;
  readonly least: number;
  readonly most: number;
};

export type Measured = {
  /** Bare workerd's CPU in µs. */
  readonly bareUs: number;
  /** How far it varied between rounds, by its median. */
  readonly noise: number;
  /** How long it waited for a core, by how long it had one: what others did on the machine at the same time. */
  readonly waited: number;
  readonly figures: readonly Figure[];
};

/** @throws Error when a round lacks a rung, or when there is none */
export function measuredOf(rungs: readonly Rung[], rounds: readonly Round[]): Measured {
  const bare = rounds.map((round) => costIn(round, BARE));
  const bareUs = median(bare);
  const noise = (Math.max(...bare) - Math.min(...bare)) / bareUs;
  const waited = median(rounds.map(({ bareWaited }) => bareWaited));
  return { bareUs, noise, waited, figures: figuresOf(rungs, rounds, bareUs) };
}

function figuresOf(rungs: readonly Rung[], rounds: readonly Round[], bareUs: number): Figure[] {
  const ratios = new Map([[BARE, 1]]);
  return rungs.map(({ name }) => {
    const seen = rounds.map((round) => costIn(round, name) / costIn(round, BARE));
    const ratio = median(seen);
    ratios.set(name, ratio);
    const under = ratios.get(belowOf(rungs, name)) ?? 1;
    // By the ratios and not by the µs: what neighbours differ by is less than what rounds do.
    return { name, addsUs: (ratio - under) * bareUs, ratio, least: Math.min(...seen), most: Math.max(...seen) };
  });
}

function costIn({ costs }: Round, name: string): number {
  const cost = costs.get(name);
  if (cost === undefined) throw new Error(`a round without ${name}`);
  return cost;
}

function median(values: readonly number[]): number {
  const middle = quantile(values, 0.5);
  if (middle === null) throw new Error("no rounds");
  return middle;
}
