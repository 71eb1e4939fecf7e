/** The Worker's variables as a dotenv file, in the dialect that wrangler reads. Pure. */
import { Refusal } from "./refusal.ts";

/**
 * One `NAME='value'` per line.
 *
 * @throws Refusal (exit code 2) for a value that the dialect cannot carry; the value is not shown
 */
export function dotenv(variables: Readonly<Record<string, string>>): string {
  return Object.entries(variables)
    .map(([name, value]) => `${name}=${quoted(name, value)}\n`)
    .join("");
}

function quoted(name: string, value: string): string {
  const quote = ["'", '"', "`"].find((mark) => !value.includes(mark) && !(mark === '"' && value.includes("\\")));
  if (quote === undefined || /[\r\n\0]/.test(value)) {
    throw new Refusal(
      2,
      `The value of ${name} cannot be handed to the Worker: it holds a line break or every kind of quote.`,
    );
  }
  // wrangler expands $NAME after the quotes are gone; a backslash keeps the dollar sign.
  return quote + value.replaceAll("$", "\\$") + quote;
}
