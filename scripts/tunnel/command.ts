/** The command line of `npm run tunnel`: text in, a command or a refusal out. Pure. */
import { parseArgs } from "node:util";
import { Refusal } from "../stack/refusal.ts";

export const USAGE = `npm run tunnel -- render|check [flags]      The cloudflared configuration of the catalog's hosts.

  render                 writes one file per tunnel, for the hosts that are reached via "access"
  check                  checks these files, with the real cloudflared as well where it is on the PATH

  --catalog FILE         (default: tunnel/catalog.example.json)
  --dir DIR              where the files are (default: tunnel/cloudflared)
  --team NAME            render: your Zero Trust team, NAME.cloudflareaccess.com
  --id TUNNEL=UUID       render: the id of a tunnel; once per tunnel
  --aud TUNNEL=TAG       render: the audience tag of an Access application before a tunnel; as often as there are
  --help                 this text`;

export type Command = {
  readonly name: "render" | "check";
  /** Null: the example's. */
  readonly catalog: string | null;
  readonly dir: string | null;
  readonly team: string | undefined;
  /** By tunnel. */
  readonly ids: ReadonlyMap<string, string>;
  readonly audTags: ReadonlyMap<string, readonly string[]>;
};

/**
 * Reads the command line.
 *
 * @returns the command, or null when help was asked for
 * @throws Refusal (exit code 2) with a sentence that names what is wrong
 */
export function parseCommand(args: readonly string[]): Command | null {
  const { positionals, values } = readFlags(args);
  if (values.help === true) return null;
  const [name, ...others] = positionals;
  if ((name !== "render" && name !== "check") || others.length > 0) {
    throw new Refusal(2, `Say what to do, render or check.\n\n${USAGE}`);
  }
  const ids = new Map((values.id ?? []).map((text) => pair("--id", text)));
  const audTags = new Map<string, string[]>();
  for (const [tunnel, tag] of (values.aud ?? []).map((text) => pair("--aud", text))) {
    audTags.set(tunnel, [...(audTags.get(tunnel) ?? []), tag]);
  }
  const { catalog = null, dir = null, team } = values;
  return { name, catalog, dir, team, ids, audTags };
}

function pair(flag: string, text: string): [string, string] {
  const at = text.indexOf("=");
  if (at < 1 || at === text.length - 1) throw new Refusal(2, `${flag} ${text} is not of the form TUNNEL=VALUE.`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function readFlags(args: readonly string[]) {
  try {
    const text = { type: "string" } as const;
    const many = { type: "string", multiple: true } as const;
    const options = { catalog: text, dir: text, team: text, id: many, aud: many, help: { type: "boolean" } } as const;
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal(2, `${reason.split(". ")[0]}.\n\n${USAGE}`);
  }
}
