/** What was asked for, in a query or in a body, checked to its last field by a schema that is strict. Pure. */
import { z } from "zod";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";

/** A field that does not exist is named in the refusal, but not at any length. */
const LONGEST_NAME = 64;

/** A name in the ledger that has to fit exactly. Postgres takes no NUL. */
export const nameField = z.string().regex(/^[^\0]{1,512}$/u, "1 to 512 characters");

/** How many of a list to answer with, as a query says it. */
export function limitField(standard: number, most: number) {
  const range = `a number from 1 to ${most}`;
  return z
    .string()
    .regex(/^[1-9]\d{0,5}$/, range)
    .transform(Number)
    .refine((limit) => limit <= most, range)
    .default(standard);
}

/**
 * The parameters of a URL.
 *
 * @throws Problem `invalid_value` naming the parameter that is unknown, repeated or wrong
 */
export function queryOf<T>(schema: z.ZodType<T>, url: string): T {
  const { searchParams } = new URL(url);
  for (const name of searchParams.keys())
    if (searchParams.getAll(name).length > 1) throw wrongField(name, "is repeated");
  return checked(schema, Object.fromEntries(searchParams), "is no parameter of this route");
}

/**
 * The members of a document.
 *
 * @throws Problem `invalid_value` naming the member that is unknown or wrong
 */
export function membersOf<T>(schema: z.ZodType<T>, document: JsonObject): T {
  return checked(schema, document, "there is no such field");
}

function checked<T>(schema: z.ZodType<T>, fields: JsonObject, unknown: string): T {
  const result = schema.safeParse(fields);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue?.code === "unrecognized_keys") throw wrongField(issue.keys[0] ?? "", unknown);
  throw wrongField(issue?.path.join(".") || "the body", issue?.message ?? "is wrong");
}

/**
 * A field that is wrong, for a check that no schema can make alone.
 *
 * @param reason in the gateway's words, never the caller's text
 */
export function wrongField(field: string, reason: string): Problem {
  const name = field.slice(0, LONGEST_NAME).toWellFormed();
  return new Problem("invalid_value", { param: name, message: `${name}: ${reason}` });
}
