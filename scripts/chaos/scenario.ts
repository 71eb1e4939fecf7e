/** What a scenario is: what it brings along, how it is played, and what is known of it afterwards. */
import type { Seen } from "./caller.ts";
import type { Crowd } from "./crowd.ts";
import type { Entries } from "./ledger.ts";
import type { Plan } from "./plan.ts";
import type { Told } from "./play.ts";
import type { Stage } from "./stage.ts";

export const SCENARIOS = ["kill", "overload", "flap", "shares", "affinity"] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

/** Something that was done, for the picture. */
export type Mark = { readonly atMs: number; readonly what: string };

export type Played = Told & {
  readonly seen: readonly Seen[];
  readonly entries: Entries;
  readonly marks: readonly Mark[];
};

export type Scenario = Plan & {
  readonly name: ScenarioName;
  /** @param crowd asks its questions @throws when the run is given up */
  play(stage: Stage, crowd: Crowd): Promise<Played>;
};
