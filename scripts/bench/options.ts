/** The command line of `npm run bench`, as far as it is about the comparison: text in, options or a refusal out. Pure. */
import { parseArgs } from "node:util";
import { flagRefusal, Refusal } from "#scripts/stack/refusal.ts";
import { CONTESTANT_KEYS, type ContestantKey } from "./contestants/names.ts";
import { QUICK, SCENARIO_NAMES, type ScenarioName } from "./scenarios.ts";

/** Of a full run and of a quick one. */
const ROUNDS = 5;
const QUICK_ROUNDS = 3;
/** Nothing of these can be told without the other two: what they add, and how often they cost the platform's least. */
const MEASURES: readonly ContestantKey[] = ["direct", "bare"];
const QUICK_CONTESTANTS: readonly ContestantKey[] = ["direct", "nginx", "bare", "causeway", "portkey-workerd"];

/** @param others further benches, with a line about each */
export function usage(others: Readonly<Record<string, { readonly about: string }>>): string {
  const lines = Object.entries(others).map(([name, { about }]) => `npm run bench -- ${name.padEnd(10)} ${about}`);
  return `npm run bench -- [flags]      Causeway beside other gateways, in rounds; about 40 minutes.
npm run bench -- --ladder   what each stage of Causeway's own path costs (--ladder --help tells more)
${lines.join("\n")}

  --quick             the scenarios ${QUICK.join(", ")} in short windows and ${QUICK_ROUNDS} rounds; under two minutes
  --only A,B          some of the scenarios: ${wrapped(SCENARIO_NAMES)}
  --contestants A,B   some of ${wrapped(CONTESTANT_KEYS)};
                      ${MEASURES.join(" and ")} are always there, the others are measured by them
  --rounds N          so many rounds (default: ${ROUNDS})
  --write             puts what was measured into BENCH.md and docs/bench.svg
  --help              this text

Exit code 1 when a goal that must be met is missed.`;
}

export type BenchOptions = {
  readonly quick: boolean;
  readonly scenarios: readonly ScenarioName[];
  readonly contestants: readonly ContestantKey[];
  readonly rounds: number;
  readonly write: boolean;
};

/**
 * Reads the command line.
 *
 * @param args what follows the script's name
 * @returns the options, or null when help was asked for
 * @throws Refusal (exit code 2) with a sentence that names what is wrong
 */
export function parseOptions(args: readonly string[]): BenchOptions | null {
  const { values, positionals } = read(args);
  if (values.help === true) return null;
  if (positionals.length > 0) throw new Refusal(2, `There is no bench named ${positionals.join(" ")}.`);
  const quick = values.quick === true;
  const contestants = namesIn("--contestants", values.contestants, CONTESTANT_KEYS);
  return {
    quick,
    scenarios: namesIn("--only", values.only, SCENARIO_NAMES) ?? (quick ? QUICK : SCENARIO_NAMES),
    contestants:
      contestants === null
        ? quick
          ? QUICK_CONTESTANTS
          : CONTESTANT_KEYS
        : CONTESTANT_KEYS.filter((key) => contestants.includes(key) || MEASURES.includes(key)),
    rounds: roundsIn(values.rounds) ?? (quick ? QUICK_ROUNDS : ROUNDS),
    write: values.write === true,
  };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        quick: { type: "boolean" },
        only: { type: "string" },
        contestants: { type: "string" },
        rounds: { type: "string" },
        write: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    throw flagRefusal(error);
  }
}

/** @returns those that were named, in the order in which they are known; null when none was */
function namesIn<Name extends string>(
  flag: string,
  text: string | undefined,
  known: readonly Name[],
): readonly Name[] | null {
  if (text === undefined) return null;
  const names = text.split(",").map((name) => name.trim());
  const stranger = names.find((name) => !known.some((one) => one === name));
  if (stranger !== undefined) throw new Refusal(2, `${flag} ${text}: nothing is named "${stranger}".`);
  return known.filter((name) => names.includes(name));
}

function roundsIn(text: string | undefined): number | null {
  if (text === undefined) return null;
  const rounds = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(rounds) || rounds < 1)
    throw new Refusal(2, `--rounds ${text} is no whole number above 0.`);
  return rounds;
}

function wrapped(names: readonly string[]): string {
  const half = Math.ceil(names.length / 2);
  return names.length < 8
    ? names.join(", ")
    : `${names.slice(0, half).join(", ")},\n${" ".repeat(22)}${names.slice(half).join(", ")}`;
}
