/**
 * `npm run storm`: is the ledger right whatever fails? Brings up a stack of its own, lets everything fail that may, and
 * prints what was found. Exit code 1 when something that must hold does not. `-- --help` says what can be chosen.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PartFailure } from "./stack/part-failure.ts";
import { flagRefusal, Refusal } from "./stack/refusal.ts";
import { FULL, type Scale, SHORT } from "./storm/scale.ts";
import { storm } from "./storm/storm.ts";
import { tableOf } from "./storm/table.ts";

const USAGE = `npm run storm -- [flags]    10,000 requests while everything fails; about 15 minutes.

  --short       the storm that the tests run: 600 requests, about two minutes
  --seed N      the same questions and the same weather as a storm before (default: another one)
  --help        this text`;

const stopAsked = new AbortController();
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => stopAsked.abort());
// The bootstrap holds the other end of this channel: if it is killed, nobody is left to pass signals on.
process.on("disconnect", () => stopAsked.abort());

process.exitCode = await main(process.argv.slice(2));
if (process.connected) process.disconnect();

async function main(args: string[]): Promise<number> {
  try {
    const { short, seed, help } = flagsOf(args);
    if (help) {
      console.log(USAGE);
      return 0;
    }
    return await run(short ? SHORT : FULL, seed);
  } catch (error) {
    if (error instanceof Refusal || error instanceof PartFailure) console.error(`\n${error.message}`);
    else console.error(stopAsked.signal.aborted ? "given up" : error);
    return error instanceof Refusal ? error.exitCode : 1;
  }
}

/** One storm. What it kept stays where something is broken. */
async function run(scale: Scale, seed: number): Promise<number> {
  const stateDir = mkdtempSync(join(tmpdir(), "causeway-storm-"));
  console.log(`the storm with the seed ${seed}; everything it keeps is in ${stateDir}`);
  let isToBeSeen = true;
  try {
    const { findings, sky, mischief } = await storm({
      scale,
      seed,
      stateDir,
      print: console.log,
      signal: stopAsked.signal,
    });
    console.log(`\n${tableOf(findings, sky, mischief)}\n`);
    const broken = findings.filter(({ holds }) => holds === false);
    isToBeSeen = broken.length > 0;
    if (isToBeSeen) console.log(`${broken.length} of what must hold is broken; logs and databases are in ${stateDir}`);
    else console.log("everything that must hold holds");
    return isToBeSeen ? 1 : 0;
  } finally {
    if (!isToBeSeen || stopAsked.signal.aborted) rmSync(stateDir, { recursive: true, force: true });
  }
}

function flagsOf(args: string[]): { short: boolean; seed: number; help: boolean } {
  try {
    const { values } = parseArgs({
      args,
      options: { short: { type: "boolean" }, seed: { type: "string" }, help: { type: "boolean" } },
    });
    const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
    if (!Number.isSafeInteger(seed)) throw new Refusal(2, `--seed ${values.seed} is no whole number.`);
    return { short: values.short === true, seed, help: values.help === true };
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw flagRefusal(error, " All flags: npm run storm -- --help");
  }
}
