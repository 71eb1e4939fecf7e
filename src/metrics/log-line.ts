/**
 * One structured line per request. It never holds a prompt, an answer, a credential, a query string or a path that a
 * caller made up: the route's pattern stands for the path.
 */
import type { Problem } from "#src/problem.ts";

/** Filled in along the way, written once. */
export type LogLine = {
  requestId: string;
  method: string;
  route: string;
  status?: number;
  code?: string;
  cause?: string;
  userId?: string;
  model?: string;
  host?: string | null;
  cache?: string;
  tookMs?: number;
};

/** Writes the line where the platform collects logs. */
export function writeLogLine(line: LogLine): void {
  console.log(JSON.stringify(line));
}

/** What failed, for the line only: a caller sees the table's sentence. */
export function noteProblem(line: LogLine, problem: Problem): void {
  line.code = problem.code;
  const { cause } = problem.facts;
  if (cause !== undefined) line.cause = describe(cause);
}

/** A cause in one line, without the text that it may quote. */
export function describe(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  // V8 quotes the text it could not parse, which may be a prompt or an answer.
  return cause instanceof SyntaxError ? cause.name : `${cause.name}: ${cause.message}`;
}
