/** The command line of `npm run key`: text in, a command or a refusal out. Pure. What a field may hold the gateway says. */
import { parseArgs } from "node:util";
import type { Request } from "../gateway/ask.ts";
import { WHERE_USAGE, type Where, whereOf } from "../gateway/where.ts";
import { Refusal } from "../stack/refusal.ts";

export const USAGE = `npm run key -- COMMAND [flags]      API keys for machines.

  issue --owner O --scopes S,S --label L [--tier T] [--days N]
                         makes a key and prints it once (default: tier default, 30 days)
                         scopes: inference, models, embeddings, metrics, admin
  list [--owner O] [--only STATE]
                         states: active, retiring, retired, revoked, expired, undelivered
  rotate ID [--overlap-hours N]
                         prints a new key of the same grant; the old one goes on for the overlap (default 24)
  revoke ID              ends a key at once

  --json                 prints what the gateway answers
  ${WHERE_USAGE}
  --help                 this text`;

export type Command = Where & {
  readonly name: "issue" | "list" | "rotate" | "revoke";
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
  const { help, json, state, gateway, ...fields } = values;
  if (help === true) return null;
  const [name, ...operands] = positionals;
  const where = { json: json === true, ...whereOf({ state, gateway }) };
  switch (name) {
    case "issue":
      return { name, request: issue(taken(name, fields, operands, 0)), ...where };
    case "list":
      return { name, request: list(taken(name, fields, operands, 0)), ...where };
    case "rotate":
      return { name, request: rotate(taken(name, fields, operands, 1), operands[0] ?? ""), ...where };
    case "revoke":
      taken(name, fields, operands, 1);
      return { name, request: { method: "DELETE", path: pathOf(operands[0] ?? ""), body: null }, ...where };
    default:
      throw new Refusal(2, `${name === undefined ? "No command was given" : `${name} is no command`}.\n\n${USAGE}`);
  }
}

type Fields = {
  owner?: string;
  scopes?: string;
  label?: string;
  tier?: string;
  days?: string;
  only?: string;
  "overlap-hours"?: string;
};
const FIELDS_OF: Record<Command["name"], readonly string[]> = {
  issue: ["owner", "scopes", "label", "tier", "days"],
  list: ["owner", "only"],
  rotate: ["overlap-hours"],
  revoke: [],
};

function issue({ owner, scopes, label, tier, days }: Fields): Request {
  const body = {
    owner: needed("--owner", owner),
    scopes: needed("--scopes", scopes)
      .split(",")
      .map((scope) => scope.trim()),
    label: needed("--label", label),
    ...(tier === undefined ? {} : { tier }),
    ...(days === undefined ? {} : { expiresInDays: numberFrom("--days", days) }),
  };
  return { method: "POST", path: "/admin/keys", body };
}

function list({ owner, only }: Fields): Request {
  const query = new URLSearchParams({ limit: "200" });
  if (owner !== undefined) query.set("owner", owner);
  if (only !== undefined) query.set("state", only);
  return { method: "GET", path: `/admin/keys?${query}`, body: null };
}

function rotate({ "overlap-hours": hours }: Fields, id: string): Request {
  const body = hours === undefined ? {} : { overlapHours: numberFrom("--overlap-hours", hours) };
  return { method: "POST", path: `${pathOf(id)}/rotate`, body };
}

/** The fields, when the command takes them all. */
function taken(name: Command["name"], fields: Fields, operands: readonly string[], wanted: number): Fields {
  const stranger = Object.keys(fields).find((field) => !FIELDS_OF[name].includes(field));
  if (stranger !== undefined) throw new Refusal(2, `${name} takes no --${stranger}.\n\n${USAGE}`);
  if (operands.length !== wanted) {
    throw new Refusal(2, `${name} takes ${wanted === 0 ? "no operands" : "the id of one key"}.\n\n${USAGE}`);
  }
  return fields;
}

function readFlags(args: readonly string[]) {
  try {
    const text = { type: "string" } as const;
    const flag = { type: "boolean" } as const;
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...{ owner: text, scopes: text, label: text, tier: text, days: text, only: text, "overlap-hours": text },
        ...{ json: flag, state: text, gateway: text, help: flag },
      },
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal(2, `${reason.split(". ")[0]}.\n\n${USAGE}`);
  }
}

function pathOf(id: string): string {
  // A pasted key must not go into a URL, where it would be logged.
  if (id.startsWith("cw_")) throw new Refusal(2, "That is a key itself. Give its id, key_…: npm run key -- list");
  if (!/^key_[\w-]+$/.test(id))
    throw new Refusal(2, "That is no id of a key: ids begin with key_ (npm run key -- list).");
  return `/admin/keys/${id}`;
}

function needed(flag: string, text: string | undefined): string {
  if (text === undefined || text === "") throw new Refusal(2, `issue needs ${flag}.\n\n${USAGE}`);
  return text;
}

function numberFrom(flag: string, text: string): number {
  const number = Number(text);
  if (text.trim() === "" || !Number.isFinite(number)) throw new Refusal(2, `${flag} ${text} is no number.`);
  return number;
}
