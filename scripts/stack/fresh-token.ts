/** A fresh token of a demo principal, from the issuer of a stack that runs. */
import { fetchToken } from "./issuer.ts";
import { issuerKeysPath, readIssuerKeys } from "./issuer-keys.ts";
import type { PrincipalName } from "./principals.ts";
import { Refusal } from "./refusal.ts";
import { readStackFile, type StackFile } from "./stack-file.ts";

/**
 * The running stack, and a token.
 *
 * @param root the stack's state folder
 * @param advice said when the stack's issuer is not ours
 * @throws Refusal (exit code 1) when there is no stack or its issuer gives none
 */
export async function freshToken(
  root: string,
  name: PrincipalName,
  advice: string,
): Promise<{ stack: StackFile; token: string }> {
  const stack = readStackFile({ root });
  if (stack === null) {
    throw new Refusal(
      1,
      `No stack runs with the state folder ${root}. Start one with npm start, or name its folder with --state DIR.`,
    );
  }
  const secret = readIssuerKeys(issuerKeysPath({ root }))?.clients[name];
  if (secret === undefined || Object.keys(stack.tokens).length === 0) {
    throw new Refusal(1, `The running stack uses the issuer ${stack.issuer}, which is not ours: ${advice}`);
  }
  const token = await fetchToken(stack.issuer, name, secret).catch((error: unknown) => {
    throw new Refusal(1, `The issuer ${stack.issuer} gives no token (${String(error)}). Is the stack still running?`);
  });
  return { stack, token };
}
