/** Checks what was asked on `/v1/responses`, so that nothing unchecked is translated or sent on. Pure. */
import type { z } from "zod";
import type { JsonObject } from "#src/json.ts";
import { Problem } from "#src/problem.ts";
import { refuseReserved } from "../question.ts";
import { type Document, document } from "./document.ts";

const NOT_KEPT = "No response is kept here: send the whole conversation as input.";

/** What cannot be done, and what would be missed if it were left undone in silence. */
const CANNOT: Readonly<Record<string, string>> = {
  previous_response_id: NOT_KEPT,
  conversation: NOT_KEPT,
  previous_response: NOT_KEPT,
  previous_input_messages: NOT_KEPT,
  background: "No response is kept here that could be fetched later: send it without background.",
  prompt: "No prompt templates are kept here: send instructions and input.",
  context_management: "The input is taken as it is: nothing compacts it here.",
  moderation: "Nothing is moderated here.",
  // Engines' own ways to give an answer its form.
  ...Object.fromEntries(
    ["structured_outputs", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "grammar"].map((param) => [
      param,
      "Ask for the form of the answer by text.format.",
    ]),
  ),
  // Left out, an answer would be longer, or of another form, than was meant.
  messages: "messages is a field of /v1/chat/completions; here it is input.",
  max_tokens: "max_tokens is a field of /v1/chat/completions; here it is max_output_tokens.",
  max_completion_tokens: "max_completion_tokens is a field of /v1/chat/completions; here it is max_output_tokens.",
  response_format: "response_format is a field of /v1/chat/completions; here it is text.format.",
};

/** A pair of metadata is named by its key, which the caller made up, but not at any length. */
const LONGEST_PARAM = 64;

/**
 * Checks a document.
 *
 * @returns the fields that the gateway knows, and no others
 * @throws Problem `invalid_value` or `unsupported_value`, with `param` naming the field
 */
export function documentOf(body: JsonObject): Document {
  refuseReserved(body);
  for (const [param, message] of Object.entries(CANNOT)) {
    // Clients send what they do not use as null or false.
    if (body[param] != null && body[param] !== false) throw new Problem("unsupported_value", { param, message });
  }
  const result = document.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const { path, code, message } = issue === undefined ? NOWHERE : innermost(issue);
  const param = path.join(".").slice(0, LONGEST_PARAM).toWellFormed() || null;
  throw new Problem(code, { param, message: `${param ?? "The body"}: ${message}` });
}

type Wrong = {
  readonly path: readonly PropertyKey[];
  readonly code: "invalid_value" | "unsupported_value";
  readonly message: string;
};
const NOWHERE: Wrong = { path: [], code: "invalid_value", message: "is wrong" };

/** Of a choice the branch that came furthest: it is the one that was meant. */
function innermost(issue: z.core.$ZodIssue, above: readonly PropertyKey[] = []): Wrong {
  const path = [...above, ...issue.path];
  if (issue.code !== "invalid_union") return { path, code: "invalid_value", message: issue.message };
  // No branch has this name: a kind of item, part or tool that is not taken here.
  if (issue.discriminator !== undefined) {
    return { path, code: "unsupported_value", message: "this type is not supported here" };
  }
  const branches = issue.errors.flatMap(([first]) => (first === undefined ? [] : [innermost(first, path)]));
  const furthest = branches.sort((one, other) => other.path.length - one.path.length)[0];
  return furthest === undefined || furthest.path.length === path.length
    ? { path, code: "invalid_value", message: issue.message }
    : furthest;
}
