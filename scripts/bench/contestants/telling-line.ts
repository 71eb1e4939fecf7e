/** One line of why a part failed, for a table: the message of a failure shows twenty lines of log. */
import type { PartFailure } from "#scripts/stack/part-failure.ts";

const SHOWN = 200;

/** The first line of its log that speaks of an error: what follows is advice. Without one, the last line of all. */
export function tellingLine(failure: PartFailure): string {
  const [said = "", ...log] = failure.message.split("\n").filter((line) => line.trim() !== "");
  const line = log.find((text) => /error\b|failed|refused|cannot|not found/i.test(text)) ?? log.at(-1) ?? said;
  return line.trim().slice(0, SHOWN);
}
