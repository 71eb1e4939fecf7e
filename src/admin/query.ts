/** A query string, checked to its last parameter. Pure. */
import type { z } from "zod";
import { Problem } from "#src/problem.ts";

/** A parameter that does not exist is named in the refusal, but not at any length. */
const LONGEST_NAME = 64;

/**
 * The parameters of a URL by a schema that is strict.
 *
 * @throws Problem `invalid_value` naming the parameter that is unknown, repeated or wrong
 */
export function queryOf<T>(schema: z.ZodType<T>, url: string): T {
  const { searchParams } = new URL(url);
  for (const name of searchParams.keys()) if (searchParams.getAll(name).length > 1) throw wrong(name, "is repeated");
  const result = schema.safeParse(Object.fromEntries(searchParams));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") throw wrong(issue.keys[0] ?? "", "is no parameter of this route");
  throw wrong(String(issue?.path[0] ?? ""), issue?.message ?? "is wrong");
}

function wrong(parameter: string, reason: string): Problem {
  const name = parameter.slice(0, LONGEST_NAME).toWellFormed();
  return new Problem("invalid_value", { param: name, message: `${name}: ${reason}` });
}
