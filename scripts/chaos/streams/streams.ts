/**
 * `chaos streams`: do streams break when everything around them does? Says what is played in which round; each thing that
 * is played has a file of its own here.
 */
import { join } from "node:path";
import { type Part, playRounds, type Report, type Run, type Told } from "../play.ts";
import { chunkings } from "./chunkings.ts";
import { deaths } from "./deaths.ts";
import { startFirehose } from "./firehose.ts";
import { held } from "./held.ts";
import { leaving } from "./leaving.ts";
import { readers } from "./readers.ts";
import type { StagedScenario, StreamScenario, StreamsScale } from "./scale.ts";

export type Options = Omit<Run, "progressEveryMs" | "worker"> & {
  readonly scale: StreamsScale;
  readonly only: readonly StreamScenario[];
};

/** Plays the scenarios to their end. @throws what `playRounds` throws */
export async function streams({ scale, only, ...rest }: Options): Promise<Report[]> {
  const run: Run = { ...rest, worker: "as deployed", progressEveryMs: scale.progressEveryMs };
  const firehose = await startFirehose();
  try {
    const parts: Record<StagedScenario, Part<Told>> = {
      deaths: deaths(scale.deaths),
      leaving: leaving(scale.leaving),
      held: held(scale.held),
      readers: readers(scale.readers, firehose, join(run.stateDir, "bare")),
    };
    const rounds = scale.rounds.map((names) => names.filter((name) => only.includes(name)).map((name) => parts[name]));
    const reports = await playRounds(rounds, run);
    // No stage is needed for these, and they need the machine for themselves.
    return only.includes("chunkings") ? [...reports, await chunkings(scale.chunkings, run)] : reports;
  } finally {
    await firehose.stop();
  }
}
