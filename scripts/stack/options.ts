/** The flags of `npm start`: text in, options or a refusal out. Pure: reads no file, no environment, no clock. */
import { parseArgs } from "node:util";
import { flagRefusal, Refusal } from "./refusal.ts";

export type StackOptions = {
  /** Port of the gateway on 127.0.0.1; 0 means any free one. */
  readonly port: number;
  /** Folder for everything that outlives a run: database, keys, logs, `stack.json`. */
  readonly stateDir: string;
  /** The operator's catalog, or null for the bundled one. */
  readonly catalogFile: string | null;
  /** An identity provider that exists already, or null to start one. */
  readonly identity: { readonly issuer: string; readonly audience: string } | null;
  /** A Postgres that exists already, or null to start one. */
  readonly databaseUrl: string | null;
  readonly lab: boolean;
};

export const DEFAULT_OPTIONS: StackOptions = {
  port: 8787,
  stateDir: ".causeway",
  catalogFile: null,
  identity: null,
  databaseUrl: null,
  lab: true,
};

export const USAGE = `npm start -- [flags]      Runs the whole system on 127.0.0.1 until Ctrl-C.

  --port N             port of the gateway (default 8787; 0 for any free one)
  --catalog FILE       your hosts, models and tiers, taken as written (default: the bundled catalog, on the lab)
  --issuer URL         your OIDC issuer, together with --audience (default: one is started)
  --audience A         the audience that your issuer puts into access tokens
  --database-url URL   your Postgres, postgres://user:password@host:port/database (default: one is started)
  --no-lab             start no lab hosts; wants --catalog, because the bundled catalog names the lab's
  --state DIR          where database, keys and logs are kept (default .causeway)
  --help               this text`;

/**
 * Reads the command line.
 *
 * @param args what follows the script's name
 * @returns the options, or null when help was asked for
 * @throws Refusal (exit code 2) with a sentence that names the flag
 */
export function parseOptions(args: readonly string[]): StackOptions | null {
  const flags = readFlags(args);
  if (flags === "help") return null;
  return {
    port: flags.port === undefined ? DEFAULT_OPTIONS.port : portFrom(flags.port),
    stateDir: flags.state === undefined ? DEFAULT_OPTIONS.stateDir : filled("--state", flags.state),
    catalogFile: flags.catalog === undefined ? null : filled("--catalog", flags.catalog),
    identity: identityFrom(flags.issuer, flags.audience),
    databaseUrl: flags["database-url"] === undefined ? null : databaseUrlFrom(flags["database-url"]),
    lab: flags["no-lab"] !== true,
  };
}

function readFlags(args: readonly string[]) {
  const { values, tokens } = parsed(args);
  if (values.help === true) return "help";
  const names = tokens.flatMap((token) => (token.kind === "option" ? token.rawName : []));
  const repeated = names.find((name, at) => names.indexOf(name) < at);
  if (repeated !== undefined) throw new Refusal(2, `${repeated} is given more than once: give it once.`);
  return values;
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      tokens: true,
      options: {
        port: { type: "string" },
        catalog: { type: "string" },
        issuer: { type: "string" },
        audience: { type: "string" },
        "database-url": { type: "string" },
        "no-lab": { type: "boolean" },
        state: { type: "string" },
        help: { type: "boolean" },
      },
    });
  } catch (error) {
    throw flagRefusal(error, " All flags: npm start -- --help");
  }
}

function portFrom(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new Refusal(2, `--port ${text} is no port: give a number from 0 to 65535.`);
  }
  return port;
}

function filled(flag: string, text: string): string {
  if (text.trim() === "") throw new Refusal(2, `${flag} is empty: give a path, or leave the flag out.`);
  return text;
}

function identityFrom(issuer: string | undefined, audience: string | undefined): StackOptions["identity"] {
  if (issuer === undefined && audience === undefined) return null;
  if (issuer === undefined) throw new Refusal(2, "--audience needs --issuer URL: the two belong together.");
  if (audience === undefined || audience === "") {
    throw new Refusal(2, "--issuer needs --audience A: without it a token for another service would be accepted.");
  }
  const url = URL.canParse(issuer) ? new URL(issuer) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Refusal(2, `--issuer ${issuer} is no http or https URL.`);
  }
  return { issuer, audience };
}

function databaseUrlFrom(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const wanted = "postgres://user:password@host:port/database";
  // The text may hold a password, so no message repeats it.
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    throw new Refusal(2, `--database-url is no Postgres URL: it looks like ${wanted}.`);
  }
  // Hyperdrive's local emulation refuses a URL without user, password or database.
  if (url.username === "" || url.password === "" || url.pathname.length < 2) {
    throw new Refusal(2, `--database-url needs user, password and database: it looks like ${wanted}.`);
  }
  return text;
}
