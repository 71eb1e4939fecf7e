/** `npm run token -- NAME`: prints a fresh access token of a demo principal, for a stack that runs. */
import { parseArgs } from "node:util";
import { fetchToken } from "./stack/issuer.ts";
import { issuerKeysPath, readIssuerKeys } from "./stack/issuer-keys.ts";
import { DEFAULT_OPTIONS } from "./stack/options.ts";
import { isPrincipal, PRINCIPAL_NAMES } from "./stack/principals.ts";
import { Refusal } from "./stack/refusal.ts";
import { readStackFile } from "./stack/stack-file.ts";

try {
  console.log(await tokenFor(process.argv.slice(2)));
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = error instanceof Refusal ? error.exitCode : 1;
}

async function tokenFor(args: string[]): Promise<string> {
  const { name, root } = read(args);
  const stack = readStackFile({ root });
  if (stack === null) {
    throw new Refusal(
      1,
      `No stack runs with the state folder ${root}. Start one with npm start, or name its folder with --state DIR.`,
    );
  }
  const secret = readIssuerKeys(issuerKeysPath({ root }))?.clients[name];
  if (secret === undefined || Object.keys(stack.tokens).length === 0) {
    throw new Refusal(1, `The running stack uses the issuer ${stack.issuer}, which is not ours: get a token there.`);
  }
  return fetchToken(stack.issuer, name, secret).catch((error: unknown) => {
    throw new Refusal(1, `The issuer ${stack.issuer} gives no token (${String(error)}). Is the stack still running?`);
  });
}

function read(args: string[]): { name: string; root: string } {
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
