/**
 * `npm run bench -- --ladder`: what each stage of the request path costs. Brings up bare workerd and the gateway with its
 * rungs, measures, prints a table, and records the ladder or compares it with the recorded one.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PartFailure } from "#scripts/stack/part-failure.ts";
import { Refusal } from "#scripts/stack/refusal.ts";
import { machineOf } from "../machine.ts";
import { progressShown, type Shown } from "../progress.ts";
import { climb, type Pace } from "./climb.ts";
import { type Measured, measuredOf } from "./figures.ts";
import { openGround } from "./ground.ts";
import { LADDERS, type Ladder } from "./ladders.ts";
import { type LadderOptions, parseOptions, USAGE } from "./options.ts";
import { readRecorded, recordOf, writeRecorded } from "./recorded.ts";
import { tableOf } from "./table.ts";
import { sentenceOf, type Verdict, verdictOn } from "./verdict.ts";

/** The whole of it in four minutes, and in one. */
const FULL: Pace = { rounds: 7, forMs: 1_500, warmUpMs: 5_000 };
const QUICK: Pace = { rounds: 3, forMs: 500, warmUpMs: 1_500 };

/** @param args what follows the script's name @returns the exit code */
export async function ladder(args: readonly string[]): Promise<number> {
  const stopAsked = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopAsked.abort());
  // The bootstrap holds the other end of this channel: if it is killed, nobody is left to pass signals on.
  process.on("disconnect", () => stopAsked.abort());
  const shown = progressShown(process.stdout);
  try {
    const options = parseOptions(args);
    if (options !== null) return await run(options, shown, stopAsked.signal);
    console.log(USAGE);
    return 0;
  } catch (error) {
    shown.end();
    if (error instanceof Refusal || error instanceof PartFailure) console.error(`\n${error.message}`);
    else console.error(stopAsked.signal.aborted ? "given up" : error);
    return error instanceof Refusal ? error.exitCode : 1;
  } finally {
    if (process.connected) process.disconnect();
  }
}

async function run({ quick, check, record }: LadderOptions, shown: Shown, signal: AbortSignal): Promise<number> {
  const pace = quick ? QUICK : FULL;
  // What it is compared with is read before all the measuring.
  const then = check ? readRecorded() : null;
  const folder = mkdtempSync(join(tmpdir(), "causeway-ladder-"));
  shown.progress("the gateway starts");
  try {
    const ground = await openGround({ folder, kept: folder, print: () => {}, signal });
    try {
      const measure = async (one: Ladder): Promise<Measured> => {
        const rounds = await climb(one, ground, pace, { say: shown.progress, signal });
        const measured = measuredOf(one.rungs, rounds);
        shown.end();
        shown.print(`${tableOf(one.by, one.rungs, measured)}\n`);
        return measured;
      };
      const all = new Map<Ladder["name"], Measured>();
      const verdicts: Verdict[] = [];
      for (const one of LADDERS) {
        const measured = await measure(one);
        all.set(one.name, measured);
        if (then !== null) verdicts.push(await judged(one, measured, then[one.name].ratios, measure, shown.print));
      }
      if (record) shown.print(`recorded in ${writeRecorded(recordOf(machineOf(folder), pace.rounds, all))}`);
      return verdicts.some(({ kind }) => kind === "grew") ? 1 : 0;
    } finally {
      shown.end();
      await ground.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What does not hold is measured once more: a machine that does something else beside it must reject no honest work. */
async function judged(
  one: Ladder,
  first: Measured,
  ratios: Readonly<Record<string, number>>,
  measure: (one: Ladder) => Promise<Measured>,
  print: (line: string) => void,
): Promise<Verdict> {
  const verdict = verdictOn(one.rungs, first, ratios);
  print(`${sentenceOf(one.by, verdict)}\n`);
  if (verdict.kind === "held" || verdict.kind === "fell") return verdict;
  print("Once more:\n");
  const again = verdictOn(one.rungs, await measure(one), ratios);
  const passes = again.kind === "noisy" ? " WARNING: nothing is known of it; it passes." : "";
  print(`${sentenceOf(one.by, again)}${passes}\n`);
  return again;
}
