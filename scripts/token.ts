/** `npm run token -- NAME`: prints a fresh access token of a demo principal, for a stack that runs. */
import { parseArgs } from "node:util";
import { freshToken } from "./stack/fresh-token.ts";
import { DEFAULT_OPTIONS } from "./stack/options.ts";
import { isPrincipal, PRINCIPAL_NAMES, type PrincipalName } from "./stack/principals.ts";
import { Refusal } from "./stack/refusal.ts";

try {
  console.log(await tokenFor(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof Refusal ? error.exitCode : 1;
}

async function tokenFor(args: string[]): Promise<string> {
  const { name, root } = read(args);
  return (await freshToken(root, name, "get a token there.")).token;
}

function read(args: string[]): { name: PrincipalName; root: string } {
  const usage = `npm run token -- NAME [--state DIR]    NAME is one of ${PRINCIPAL_NAMES.join(", ")}`;
  try {
    const { positionals, values } = parseArgs({ args, options: { state: { type: "string" } }, allowPositionals: true });
    const [name] = positionals;
    if (positionals.length !== 1 || name === undefined || !isPrincipal(name)) throw new Refusal(2, usage);
    return { name, root: values.state ?? DEFAULT_OPTIONS.stateDir };
  } catch {
    throw new Refusal(2, usage);
  }
}
