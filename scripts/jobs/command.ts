/** The command line of `npm run jobs`: text in, a command or a refusal out. Pure. What jobs there are the gateway says. */
import { parseArgs } from "node:util";
import type { Request } from "../gateway/ask.ts";
import { WHERE_USAGE, type Where, whereOf } from "../gateway/where.ts";
import { Refusal } from "../stack/refusal.ts";

export const USAGE = `npm run jobs [-- NAME] [flags]      The batch jobs, and how each one ran last; with a NAME, runs it now.

  --period TIME          runs it again for the period that a time lies in, such as 2026-11-21T08:00:00Z
                         (default: the period that is going on, as far as it has come)
  --json                 prints what the gateway answers, with all of the report
  ${WHERE_USAGE}
  --help                 this text`;

export type Command = Where & {
  /** The job to run; null for the list. */
  readonly name: string | null;
  readonly request: Request;
  readonly json: boolean;
};

/**
 * Reads the command line.
 *
 * @param args what follows the script's name
 * @returns the command, or null when help was asked for
 * @throws Refusal (exit code 2) with a sentence that names what is wrong
 */
export function parseCommand(args: readonly string[]): Command | null {
  const { positionals, values } = readFlags(args);
  const { help, json, period, ...where } = values;
  if (help === true) return null;
  const [name = null, ...others] = positionals;
  if (others.length > 0) throw new Refusal(2, `One job at a time.\n\n${USAGE}`);
  if (name === null && period !== undefined) throw new Refusal(2, `--period needs the name of a job.\n\n${USAGE}`);
  return { name, request: requestOf(name, period), json: json === true, ...whereOf(where) };
}

function requestOf(name: string | null, period: string | undefined): Request {
  if (name === null) return { method: "GET", path: "/admin/jobs", body: null };
  const query = period === undefined ? "" : `?${new URLSearchParams({ period })}`;
  return { method: "POST", path: `/admin/jobs/${encodeURIComponent(name)}${query}`, body: null };
}

function readFlags(args: readonly string[]) {
  try {
    const text = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    const options = { period: text, json: flag, state: text, gateway: text, help: flag };
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal(2, `${reason.split(". ")[0]}.\n\n${USAGE}`);
  }
}
