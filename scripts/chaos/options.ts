/** The command line of `npm run chaos`: text in, options or a refusal out. Pure. */
import { parseArgs } from "node:util";
import { flagRefusal, Refusal } from "#scripts/stack/refusal.ts";
import { SCENARIOS, type ScenarioName } from "./scenario.ts";
import { STREAM_SCENARIOS, type StreamScenario } from "./streams/scale.ts";

export const USAGE = `npm run chaos -- fleet [flags]      Hosts die, flap and drown while callers go on asking; about 15 minutes.
npm run chaos -- streams [flags]    Hosts die, stall and talk garbage in the midst of answers; about 30 minutes.

  --short       smaller numbers; about five minutes
  --only A,B    some of the scenarios; of fleet: ${SCENARIOS.join(", ")};
                of streams: ${STREAM_SCENARIOS.join(", ")}
  --seed N      the same arrivals as in a run before (default: others)
  --help        this text`;

export type ChaosOptions = {
  readonly short: boolean;
  /** Null for another one each time. */
  readonly seed: number | null;
} & (
  | { readonly suite: "fleet"; readonly only: readonly ScenarioName[] }
  | { readonly suite: "streams"; readonly only: readonly StreamScenario[] }
);

/**
 * Reads the command line.
 *
 * @param args what follows the script's name
 * @returns the options, or null when help was asked for
 * @throws Refusal (exit code 2) with a sentence that names what is wrong
 */
export function parseOptions(args: readonly string[]): ChaosOptions | null {
  const { positionals, values } = read(args);
  if (values.help === true) return null;
  const [suite, ...rest] = positionals;
  if (suite === undefined) throw new Refusal(2, `Nothing was named that chaos is to come upon.\n\n${USAGE}`);
  if ((suite !== "fleet" && suite !== "streams") || rest.length > 0)
    throw new Refusal(2, `Chaos comes upon the fleet or upon streams, not upon ${positionals.join(" ")}.\n\n${USAGE}`);
  const common = { short: values.short === true, seed: seedIn(values.seed) };
  return suite === "fleet"
    ? { ...common, suite, only: namesIn(values.only, SCENARIOS) }
    : { ...common, suite, only: namesIn(values.only, STREAM_SCENARIOS) };
}

function read(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        short: { type: "boolean" },
        only: { type: "string" },
        seed: { type: "string" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    throw flagRefusal(error, `\n\n${USAGE}`);
  }
}

function namesIn<Name extends string>(text: string | undefined, known: readonly Name[]): readonly Name[] {
  if (text === undefined) return known;
  const names = text.split(",").map((name) => name.trim());
  const stranger = names.find((name) => !known.some((one) => one === name));
  if (stranger !== undefined) throw new Refusal(2, `--only ${text}: no scenario is named "${stranger}".\n\n${USAGE}`);
  return known.filter((name) => names.includes(name));
}

function seedIn(text: string | undefined): number | null {
  if (text === undefined) return null;
  const seed = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(seed)) throw new Refusal(2, `--seed ${text} is no whole number.`);
  return seed;
}
