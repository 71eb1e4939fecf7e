/** What a part's failure looks like to a person: who, how, and the end of its log. Reads logs, watches nothing. */
import { readFileSync } from "node:fs";

const SHOWN_LOG_LINES = 20;

/** Whose log the message shows, and which of its lines would only push the telling ones out of sight. */
export type Logged = { readonly name: string; readonly logFile: string; readonly noise?: RegExp | undefined };

/** A part does not do its work any more. The message names it, says how, and shows the end of its log. */
export class PartFailure extends Error {
  override readonly name: string = "PartFailure";
  readonly part: string;

  /** @param how follows the part's name in the sentence: "is not ready after 20 s" */
  constructor(part: Logged, how: string) {
    super(`${part.name} ${how}. The last lines of ${part.logFile}:\n${lastLines(part)}`);
    this.part = part.name;
  }
}

/** The process of a part ended. */
export class PartEnded extends PartFailure {
  override readonly name = "PartEnded";
  readonly exitCode: number | null;

  constructor(part: Logged, exitCode: number | null, signal: NodeJS.Signals | null) {
    super(part, `ended ${exitCode === null ? `by ${signal ?? "an unknown signal"}` : `with exit code ${exitCode}`}`);
    this.exitCode = exitCode;
  }
}

/** The process of a part runs, but does not answer: not yet, or not any more. */
export class PartSilent extends PartFailure {
  override readonly name = "PartSilent";
}

function lastLines({ logFile, noise }: Logged): string {
  try {
    const lines = readFileSync(logFile, "utf8").trimEnd().split("\n");
    const telling = noise === undefined ? lines : lines.filter((line) => !noise.test(line));
    return telling.slice(-SHOWN_LOG_LINES).join("\n");
  } catch {
    return "(no log)";
  }
}
