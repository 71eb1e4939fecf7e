/**
 * Problems that are found in the question as chat has it name chat's fields; the caller wrote others. Pure.
 */
import { Problem } from "#src/problem.ts";

const RENAMED: readonly (readonly [RegExp, string])[] = [
  [/^messages\b/, "input"],
  [/^max(_completion)?_tokens$/, "max_output_tokens"],
  [/^response_format\b/, "text.format"],
  [/^reasoning_effort$/, "reasoning.effort"],
  [/^verbosity$/, "text.verbosity"],
];

/** The problem as the caller of `/v1/responses` knows its fields. */
export function inOwnWords(problem: Problem): Problem {
  const { param, ...facts } = problem.facts;
  if (param == null) return problem;
  const message = problem.message
    .replaceAll(/\bmax(_completion)?_tokens\b/g, "max_output_tokens")
    .replaceAll(/\b(in|of) the messages\b/g, "$1 the input");
  const renamed = RENAMED.reduce((name, [pattern, own]) => name.replace(pattern, own), param);
  return new Problem(problem.code, { ...facts, param: renamed, message });
}
