/**
 * `npm run chaos`: are the promises held when things go wrong? Of the fleet when hosts die, flap and drown (`-- fleet`),
 * of streams when hosts die in the midst of answers (`-- streams`). Brings up a stack of its own, plays the scenarios, and
 * prints what was found beside its goals. Exit code 1 when a goal is missed.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fleet } from "./chaos/fleet.ts";
import { type ChaosOptions, parseOptions, USAGE } from "./chaos/options.ts";
import { pictureOf } from "./chaos/picture.ts";
import type { Report, Run } from "./chaos/play.ts";
import { FULL as FLEET_FULL, SHORT as FLEET_SHORT } from "./chaos/scale.ts";
import { FULL as STREAMS_FULL, SHORT as STREAMS_SHORT } from "./chaos/streams/scale.ts";
import { streams } from "./chaos/streams/streams.ts";
import { tableOf } from "./chaos/table.ts";
import { DEFAULT_OPTIONS } from "./stack/options.ts";
import { PartFailure } from "./stack/part-failure.ts";
import { Refusal } from "./stack/refusal.ts";
import { inRepository } from "./stack/repository.ts";

const stopAsked = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopAsked.abort());
// The bootstrap holds the other end of this channel: if it is killed, nobody is left to pass signals on.
process.on("disconnect", () => stopAsked.abort());

process.exitCode = await main(process.argv.slice(2));
if (process.connected) process.disconnect();

async function main(args: string[]): Promise<number> {
  try {
    const options = parseOptions(args);
    if (options !== null) return await run(options);
    console.log(USAGE);
    return 0;
  } catch (error) {
    if (error instanceof Refusal || error instanceof PartFailure) console.error(`\n${error.message}`);
    else console.error(stopAsked.signal.aborted ? "given up" : error);
    return error instanceof Refusal ? error.exitCode : 1;
  }
}

/** One run. What it kept stays where a goal is missed. */
async function run(options: ChaosOptions): Promise<number> {
  const seed = options.seed ?? Date.now() % 1_000_000;
  const stateDir = mkdtempSync(join(tmpdir(), "causeway-chaos-"));
  console.log(`chaos with the seed ${seed}; everything it keeps is in ${stateDir}`);
  let isToBeSeen = true;
  try {
    const reports = await play(options, { seed, stateDir, print: console.log, signal: stopAsked.signal });
    const missed = reports.flatMap(({ played }) => played.findings).filter(({ holds }) => holds === false);
    isToBeSeen = missed.length > 0;
    if (isToBeSeen) console.log(`${missed.length} goals are missed; logs and databases are in ${stateDir}`);
    else console.log("every goal is met");
    return isToBeSeen ? 1 : 0;
  } finally {
    if (!isToBeSeen || stopAsked.signal.aborted) rmSync(stateDir, { recursive: true, force: true });
  }
}

/** Plays a suite, and prints what was found. */
async function play(
  options: ChaosOptions,
  common: Omit<Run, "progressEveryMs" | "worker">,
): Promise<readonly Report[]> {
  const { suite, short } = options;
  if (suite === "streams") {
    const scale = short ? STREAMS_SHORT : STREAMS_FULL;
    const reports = await streams({ ...common, scale, only: options.only });
    console.log(`\n${tableOf(reports)}\n`);
    return reports;
  }
  const reports = await fleet({ ...common, scale: short ? FLEET_SHORT : FLEET_FULL, only: options.only });
  console.log(`\n${tableOf(reports)}\n`);
  console.log(`the picture: ${draw(pictureOf(reports))}`);
  return reports;
}

/** @returns where it is */
function draw(picture: string): string {
  const folder = inRepository(DEFAULT_OPTIONS.stateDir, "chaos");
  const path = join(folder, "fleet.svg");
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, picture);
  return path;
}
