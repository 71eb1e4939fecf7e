/** `npm run bench` without a name: reads the command line, has everybody measured, and says what was found. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_OPTIONS } from "#scripts/stack/options.ts";
import { PartFailure } from "#scripts/stack/part-failure.ts";
import { Refusal } from "#scripts/stack/refusal.ts";
import { inRepository } from "#scripts/stack/repository.ts";
import { readIfThere } from "#scripts/stack/state-dir.ts";
import { contestantsOf } from "./contestants/field.ts";
import { judged } from "./goals.ts";
import { type BenchOptions, parseOptions, usage } from "./options.ts";
import { pictureOf } from "./picture.ts";
import { progressShown } from "./progress.ts";
import type { BenchRun } from "./run.ts";
import { scenariosOf } from "./scenarios.ts";
import { sectionOf, withSection } from "./section.ts";
import { sideBySide } from "./side-by-side.ts";
import { asText, goalsTable, tableOf } from "./table.ts";

const REPORT = "BENCH.md";
const PICTURE = "docs/bench.svg";

/**
 * @param args what follows the script's name
 * @param others further benches, for the help
 * @returns the exit code
 */
export async function compare(
  args: readonly string[],
  others: Readonly<Record<string, { readonly about: string }>>,
): Promise<number> {
  const stopAsked = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopAsked.abort());
  // The bootstrap holds the other end of this channel: if it is killed, nobody is left to pass signals on.
  process.on("disconnect", () => stopAsked.abort());
  try {
    const options = parseOptions(args);
    if (options !== null)
      return await run(
        options,
        ["npm run bench", ...(args.length > 0 ? ["--", ...args] : [])].join(" "),
        stopAsked.signal,
      );
    console.log(usage(others));
    return 0;
  } catch (error) {
    if (error instanceof Refusal || error instanceof PartFailure) console.error(`\n${error.message}`);
    else console.error(stopAsked.signal.aborted ? "\ngiven up" : error);
    if (error instanceof Refusal && error.exitCode === 2) console.error(`\n${usage(others)}`);
    return error instanceof Refusal ? error.exitCode : 1;
  } finally {
    if (process.connected) process.disconnect();
  }
}

/** One run. What was measured stays; logs and databases stay only where it was broken off by a failure. */
async function run(options: BenchOptions, command: string, signal: AbortSignal): Promise<number> {
  // Marks that are not as they must be are said now, and not after all the measuring.
  if (options.write) withSection(readIfThere(inRepository(REPORT)), "");
  const bench = inRepository(DEFAULT_OPTIONS.stateDir, "bench");
  const folder = join(bench, new Date().toISOString().slice(0, "2026-01-01T00:00:00".length).replaceAll(":", "-"));
  const ring = join(folder, "ring");
  mkdirSync(folder, { recursive: true });
  console.log(`everything that is kept is in ${folder}`);
  const shown = progressShown(process.stdout);
  const clear = (): void => rmSync(ring, { recursive: true, force: true });
  try {
    const found = await sideBySide({
      contestants: contestantsOf(options.contestants, process.env),
      scenarios: scenariosOf(options.scenarios, options.quick),
      rounds: options.rounds,
      command,
      folder: ring,
      kept: join(bench, "kept"),
      print: shown.print,
      progress: shown.progress,
      signal,
    });
    shown.end();
    clear();
    return report(found, folder, options.write);
  } finally {
    shown.end();
    if (signal.aborted) rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns the exit code */
function report(run: BenchRun, folder: string, write: boolean): number {
  const goals = judged(run.measured);
  const picture = pictureOf(run);
  writeFileSync(join(folder, "measured.json"), `${JSON.stringify(run, null, 2)}\n`);
  writeFileSync(join(folder, "bench.svg"), picture);
  for (const scenario of run.scenarios) console.log(`\n${asText(tableOf(run.measured, scenario))}`);
  console.log(`\n${asText(goalsTable(goals))}\n`);
  if (write) {
    mkdirSync(inRepository("docs"), { recursive: true });
    writeFileSync(inRepository(PICTURE), picture);
    writeFileSync(inRepository(REPORT), withSection(readIfThere(inRepository(REPORT)), sectionOf(run, PICTURE)));
    console.log(`${REPORT} and ${PICTURE} have it`);
  }
  console.log(`all that was measured, and the picture: ${folder}`);
  const missed = goals.filter(({ verdict }) => verdict === "MISSED");
  if (missed.length > 0) console.log(`${missed.length} goals that must be met are missed`);
  return missed.length > 0 ? 1 : 0;
}
