/** The conductor of `/v1/responses`: an inference like any other, whose problems name the caller's own fields. */
import { asProblem } from "#src/problem.ts";
import type { KnownCall } from "../call.ts";
import { ask } from "../resume.ts";
import { inOwnWords } from "./field-names.ts";

/**
 * Answers one request for a response.
 *
 * @throws Problem for every refusal and for failures before the first byte
 */
export async function respond(call: KnownCall): Promise<Response> {
  try {
    return await ask(call);
  } catch (thrown) {
    throw inOwnWords(asProblem(thrown));
  }
}
