/** The command line of `npm run bench -- --ladder`: text in, options or a refusal out. Pure. */
import { parseArgs } from "node:util";
import { flagRefusal, Refusal } from "#scripts/stack/refusal.ts";

export const USAGE = `npm run bench -- --ladder [flags]    What each stage of the request path costs in CPU, beside bare workerd; four minutes.

  --quick     shorter, in under a minute
  --check     compares with the recorded ladder; exit code 1 when the whole path has become dearer by more than 25 %
  --record    records this one, for later checks
  --help      this text`;

export type LadderOptions = { readonly quick: boolean; readonly check: boolean; readonly record: boolean };

/**
 * Reads the command line.
 *
 * @param args what follows the script's name
 * @returns the options, or null when help was asked for
 * @throws Refusal (exit code 2) with a sentence that names what is wrong
 */
export function parseOptions(args: readonly string[]): LadderOptions | null {
  const { help = false, quick = false, check = false, record = false } = read(args);
  if (help) return null;
  if (check && record) throw new Refusal(2, `--check and --record: a ladder is compared or recorded.\n\n${USAGE}`);
  return { quick, check, record };
}

function read(args: readonly string[]) {
  const flag = { type: "boolean" } as const;
  try {
    const options = { ladder: flag, quick: flag, check: flag, record: flag, help: flag };
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw flagRefusal(error, `\n\n${USAGE}`);
  }
}
